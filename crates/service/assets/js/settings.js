// How this household decides: two nods above an amount, caps of all watches together, how long newcomers are kept short; and who
// of the guardians is away. What is signed is shown as sentences first.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose, refreshHome, minorOf}. The rules come from the verified log; who is
// away is the service's word, and changes nobody's rights.

import { post, serviceNow } from "./api.js";
import { announce, focusHeading, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { guardianName, twoNote } from "./people.js";
import { PERIODS, newcomersOf, wantsTwoNods } from "./house-rules.js";
import { acts, counts } from "./members.js";
import { day, decimal, fromDecimal, money, problemText, t, when } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const SHORT_DAYS = [1, 2, 3, 7, 14, 30];
const AWAY_DAYS = [1, 3, 7, 14, 30, 60];
/** What one payment of a new watch may not exceed at first, unless the household says less; in major units of the currency. */
const NEW_WATCH_CAP_MAJOR = 200;

/** The rules that are being written, and the days of an absence that is being chosen. */
let draft = null;
const leaving = { days: 7, busy: false, problem: null };

export const forgetSettings = () => { draft = null; };

/** The cap of a watch that is enrolled now. */
export function newWatchCap(ctx) {
  const usual = { minor: ctx.minorOf(NEW_WATCH_CAP_MAJOR), currency: ctx.state.home.balance.currency };
  const most = newcomersOf(ctx.state.home.book.houseRules()).per_payment;
  return most && most.minor < usual.minor ? most : usual;
}

// ---- in words ---------------------------------------------------------------------------------------------------------------

const days = (ms) => Math.round(ms / DAY_MS);

/** All of a household's rules, one sentence each. */
export function houseWords(rules) {
  const young = newcomersOf(rules);
  const words = [
    rules.two_nods_above ? t("house.two", { total: money(rules.two_nods_above) }) : t("house.one"),
    ...PERIODS.filter((name) => rules.caps?.[name]).map((name) => t(`house.${name}`, { total: money(rules.caps[name]) })),
    t("house.watch-days", { count: days(young.watch_ms) }),
    t("house.guardian-days", { count: days(young.guardian_ms) }),
  ];
  if (young.per_payment) words.splice(-1, 0, t("house.new-cap", { total: money(young.per_payment) }));
  return words;
}

const list = (rules) => h("ul.sentences", {}, ...houseWords(rules).map((words) => h("li", {}, words)));

/** The sentences of the rules that an entry sets, or null. */
export const houseSentences = ({ kind, content }) => (kind === "set-house-rules" ? list(content) : null);

// ---- on an order ---------------------------------------------------------------------------------------------------------------

/** Another guardian's nod that this one would second; null where there is none, or its guardian no longer counts. */
export function othersNod({ home }, { first, decision }) {
  if (!first || decision || first.payload.guardian === home.guardian.guardian) return null;
  return counts(home.book.folded.members.get(first.payload.guardian), serviceNow()) ? first : null;
}

/** Whether this guardian has nodded and waits for another one; then to the same lines. */
export const hasNodded = ({ home }, { first, decision }) => Boolean(first && !decision && first.payload.guardian === home.guardian.guardian);

/** Who has nodded, and that another one must; null where one nod is enough. */
export function nodsNote(ctx, { order }, total) {
  const { home } = ctx.state;
  if (order.first && !order.decision) {
    const { guardian, at } = order.first.payload;
    const own = guardian === home.guardian.guardian;
    const words = own ? t("nods.you", { time: when(at) }) : t("nods.other", { name: guardianName(home, guardian) });
    return h("div.nods", { testid: "first-nod" }, h("p.badge.wait", {}, icon("person"), words), awayWords(home));
  }
  if (!total || !wantsTwoNods(home.book.houseRules(), total)) return null;
  return h("div.nods", { testid: "two-nods" }, h("p.badge.wait", {}, icon("person"), t("nods.two")), awayWords(home));
}

function awayWords(home) {
  const others = awayNow(home).filter(([guardian]) => guardian !== home.guardian.guardian);
  return others.map(([guardian, until]) => h("p.soft", { key: guardian, testid: "away-note" }, t("away.other", { name: guardianName(home, guardian), day: day(until) })));
}

/** What to say to who listens, when somebody nodded first; null where that was this guardian or nobody. */
export function firstNodSaid({ home }, order) {
  const first = order && othersNod({ home }, order);
  return first ? t("nods.other", { name: guardianName(home, first.payload.guardian) }) : null;
}

// ---- away ----------------------------------------------------------------------------------------------------------------------

const awayNow = (home) => [...home.away].filter(([, until]) => until > serviceNow());

export function awayBadge(home, guardian) {
  const until = home.away.get(guardian);
  return until > serviceNow() && h("p.nodded", { testid: "away" }, t("away.until", { day: day(until) }));
}

async function setAway(ctx, until) {
  if (leaving.busy) return;
  Object.assign(leaving, { busy: true, problem: null });
  ctx.render();
  try {
    await post("/api/guardian/away", until === null ? {} : { until });
    await ctx.refreshHome();
    announce(until === null ? t("away.back-said") : t("away.said", { day: day(until) }));
  } catch (error) {
    leaving.problem = error;
  }
  leaving.busy = false;
  ctx.render();
}

/** On the home page, while this guardian is away: one tap brings them back. */
export function awayCard(ctx) {
  const { home } = ctx.state;
  const until = home.away.get(home.guardian.guardian);
  if (!(until > serviceNow())) return null;
  return h("section.card", { key: "away", testid: "away-card" },
    h("p.name", {}, t("away.you", { day: day(until) })),
    h("p.soft", {}, t("away.you-more")),
    leaving.problem && notice("bad", problemText(leaving.problem)),
    busyButton("button.main", { type: "button", testid: "away-back", onclick: () => setAway(ctx, null) }, leaving.busy, icon("undo"), t("away.back")));
}

/** On the page of guardians: going away. */
export function goAway(ctx) {
  const { home } = ctx.state;
  if (home.away.get(home.guardian.guardian) > serviceNow()) return awayCard(ctx);
  const members = [...home.book.folded.members.values()].filter((member) => acts(member, serviceNow()));
  if (members.length < 2) return null;
  return h("section.card.form", { key: "go-away" },
    h("h2", {}, t("away.title")),
    h("p.soft", {}, t("away.more")),
    leaving.problem && notice("bad", problemText(leaving.problem)),
    h("label.field", {}, h("span", {}, t("away.days")),
      h("select", { value: String(leaving.days), testid: "away-days", onchange: (event) => { leaving.days = Number(event.target.value); ctx.render(); } },
        ...AWAY_DAYS.map((count) => h("option", { value: String(count), selected: count === leaving.days }, t("rule.days", { count }))))),
    busyButton("button.plain", { type: "button", testid: "away-go", onclick: () => setAway(ctx, Math.floor(serviceNow() + leaving.days * DAY_MS)) },
      leaving.busy, icon("clock"), t("away.go")));
}

// ---- the page -------------------------------------------------------------------------------------------------------------------

/** On the page of rules: what holds, and the way to change it. */
export function houseCard(ctx) {
  return h("section.card", { testid: "house-rules" },
    h("h2", {}, t("house.title")),
    list(ctx.state.home.book.houseRules()),
    h("a.plain", { href: "#/settings", testid: "house-edit" }, icon("pencil"), t("house.change")));
}

function begin(home) {
  const rules = home.book.houseRules();
  const typed = (amount) => (amount ? decimal(amount.minor, amount.currency) : "");
  const young = newcomersOf(rules);
  return {
    two: typed(rules.two_nods_above),
    ...Object.fromEntries(PERIODS.map((name) => [name, typed(rules.caps?.[name])])),
    watch: days(young.watch_ms), guardian: days(young.guardian_ms), cap: typed(young.per_payment),
  };
}

/** The rules as the form says them, or why not. */
function written(ctx) {
  const { home } = ctx.state;
  const { currency } = home.balance;
  const before = home.book.houseRules();
  const read = {};
  for (const field of ["two", ...PERIODS, "cap"]) {
    const typed = draft[field].trim();
    if (!typed) continue;
    const minor = fromDecimal(typed, currency);
    if (!minor) return { problem: "rule-amount" };
    read[field] = { minor, currency };
  }
  if (read.cap && read.cap.minor > ctx.minorOf(NEW_WATCH_CAP_MAJOR)) return { problem: "house-cap" };
  const rules = {};
  if (read.two) rules.two_nods_above = read.two;
  if (PERIODS.some((name) => read[name])) {
    // Another midnight would be a loosening: the one that was signed first stays.
    rules.caps = { utc_minutes: before.caps?.utc_minutes ?? -new Date(serviceNow()).getTimezoneOffset() };
    for (const name of PERIODS) if (read[name]) rules.caps[name] = read[name];
  }
  const young = { watch_ms: draft.watch * DAY_MS, guardian_ms: draft.guardian * DAY_MS };
  if (read.cap) young.per_payment = read.cap;
  if (before.newcomers || read.cap || draft.watch > 1 || draft.guardian > 1) rules.newcomers = young;
  const alone = !home.book.folded.needTwo(serviceNow());
  const more = read.two && (!before.two_nods_above || read.two.minor < before.two_nods_above.minor);
  return alone && more ? { problem: "house-alone" } : { rules };
}

export function settingsPage(ctx) {
  const { home, problem, busy } = ctx.state;
  draft ??= begin(home);
  const result = written(ctx);
  const { currency } = home.balance;
  const change = (field) => (event) => {
    draft[field] = event.target.value;
    ctx.render();
  };
  const sum = (field) => h("label.field", {}, h("span", {}, t(`house.field.${field}`, { currency })),
    h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: draft[field], testid: `house-${field}`, oninput: change(field) }));
  const choose = (field) => h("label.field", {}, h("span", {}, t(`house.field.${field}`)),
    h("select", { value: String(draft[field]), testid: `house-${field}`, onchange: (event) => { draft[field] = Number(event.target.value); ctx.render(); } },
      ...[...new Set([...SHORT_DAYS, draft[field]])].sort((one, other) => one - other)
        .map((count) => h("option", { value: String(count), selected: count === draft[field] }, t("rule.days", { count })))));
  return [
    h("h1", {}, t("house.title")),
    h("p.lead", {}, t("house.lead")),
    h("section.card.form", {}, h("h2", {}, t("house.two-title")), h("p.soft", {}, t("house.two-more")), sum("two")),
    h("section.card.form", {}, h("h2", {}, t("house.caps-title")), h("p.soft", {}, t("house.caps-more")), ...PERIODS.map(sum)),
    h("section.card.form", {}, h("h2", {}, t("house.new-title")), h("p.soft", {}, t("house.new-more")), choose("watch"), sum("cap"), choose("guardian")),
    ...review(ctx, result, problem, busy),
  ];
}

function review(ctx, { problem: wrong, rules }, problem, busy) {
  if (wrong) return [notice("wait", problemText({ code: wrong }))];
  const entry = { "set-house-rules": rules };
  return [
    h("section.card", { testid: "house-words", "aria-live": "polite" }, h("h2", {}, t("rules.you-sign")), list(rules)),
    problem && notice("bad", problemText(problem)),
    twoNote(ctx, entry),
    busyButton("button.main", { type: "button", testid: "house-sign", onclick: () => sign(ctx, entry) }, busy, icon("key"), t("rules.sign")),
  ];
}

function sign(ctx, entry) {
  const proposed = ctx.mustPropose(entry);
  return ctx.act(entry, () => {
    draft = null;
    announce(t(proposed ? "guardians.needs-two" : "house.signed"));
    location.hash = proposed ? "#/guardians" : "#/rules";
    focusHeading();
  });
}
