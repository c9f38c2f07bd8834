// How this household decides: two nods above an amount, caps of all watches together, how long newcomers are kept short. What is
// signed is shown as sentences first.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}. The rules come from the verified log.

import { serviceNow } from "./api.js";
import { announce, focusHeading, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { twoNote } from "./people.js";
import { PERIODS, newcomerMost, newcomersOf } from "./house-rules.js";
import { decimal, fromDecimal, money, problemText, t } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const SHORT_DAYS = [1, 2, 3, 7, 14, 30];

/** The rules that are being written. */
let draft = null;

export const left = () => { draft = null; };

/** The cap of a watch that is enrolled now. */
export function newWatchCap(ctx) {
  const { balance, book } = ctx.state.home;
  return newcomersOf(book.houseRules()).per_payment ?? newcomerMost(balance.currency);
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
  if (read.cap && read.cap.minor > newcomerMost(currency).minor) return { problem: "house-cap" };
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

export function page(ctx) {
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
