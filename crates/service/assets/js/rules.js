// The page of a guardian's standing rules: making and changing one, trying it on the last month, ending it. What is signed is
// shown as sentences first.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}. Rules come from the verified log (`state.home.book.mandates`).

import { post, serviceNow } from "./api.js";
import { randomId } from "./bytes.js";
import { announce, focusHeading, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { MAX_MANDATE_LIFE_MS, MAX_NAMED, WEEKDAYS } from "./mandates.js";
import { textProblem, typedText } from "./messages.js";
import { twoNote } from "./people.js";
import { categories, codeName, heldRules, knownShops, nameOf, placeName, sentences } from "./rule-words.js";
import { houseCard } from "./settings.js";
import { loadShops } from "./shops.js";
import { decimal, fromDecimal, money, problemText, t, when } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const MINUTE_MS = 60_000;
const MAX_NAME = 30;
const LIVES_DAYS = [7, 30, 90];
const AMOUNTS = ["approve", "per_payment", "per_day", "per_week", "per_month"];
const DAY_END = 24 * 60;

/** The rule that is being made or changed, and what the test said. */
let draft = null;
let ending = null;

export const left = () => {
  draft = null;
  ending = null;
};

/** A rule may name shops that the orders this page has do not. */
export async function changed(ctx, kind) {
  if (kind === null) await loadShops(ctx);
}

// ---- the page -------------------------------------------------------------------------------------------------------------------

/** Elements of the page: all rules, or the one that is open. */
export function page(ctx, id) {
  const { state } = ctx;
  const rules = heldRules(state.home);
  const open = id && (id === "new" ? null : rules.find(({ mandate }) => mandate.mandate === id)?.mandate);
  if (id && (id === "new" || open)) return editor(ctx, id, open);
  draft = null;
  return [
    h("h1", {}, t("rules.title")),
    h("p.lead", {}, t("rules.lead")),
    state.problem && notice("bad", problemText(state.problem)),
    ...rules.map(({ mandate }) => ruleCard(ctx, mandate)),
    houseCard(ctx),
    rules.length === 0 && h("p.quiet", {}, t("rules.none")),
    state.home.book.watches.size > 0 && h("a.main", { href: "#/rules/new", testid: "rule-new" }, icon("plus"), t("rules.new")),
  ];
}

function ruleCard(ctx, rule) {
  const { state } = ctx;
  const over = rule.until <= serviceNow();
  const asking = ending === rule.mandate;
  return h("section.card", { key: rule.mandate, testid: "rule" },
    h("h2", {}, h("bdi", {}, rule.name)),
    over && notice("wait", t("rules.over")),
    sentences(state, rule),
    asking
      ? h("div.ask", {},
        h("p", {}, t(rule.outside === "refuse" ? "rules.end-sure-refuse" : "rules.end-sure", { rule: rule.name })),
        twoNote(ctx, { "end-mandate": rule.mandate }),
        h("div.buttons", {},
          h("button.plain", { type: "button", onclick: () => { ending = null; ctx.render(); } }, t("cancel")),
          busyButton("button.main.stop", { type: "button", testid: "rule-end-confirm", onclick: () => end(ctx, rule) }, state.busy, icon("key"), t("rules.end-now"))))
      : h("div.buttons", {},
        h("button.plain", { type: "button", testid: "rule-end", onclick: () => { ending = rule.mandate; ctx.render(); } }, icon("trash"), t("rules.end")),
        h("a.plain", { href: `#/rules/${rule.mandate}`, testid: "rule-edit" }, icon("pencil"), t("rules.change"))));
}

function end(ctx, rule) {
  const entry = { "end-mandate": rule.mandate };
  const proposed = ctx.mustPropose(entry);
  return ctx.act(entry, () => {
    ending = null;
    announce(t(proposed ? "guardians.needs-two" : "rules.ended"));
  });
}

// ---- making one -----------------------------------------------------------------------------------------------------------------

function begin(state, id, rule) {
  const { home } = state;
  const amount = (name) => (rule?.[name] ? decimal(rule[name].minor, rule[name].currency) : "");
  const chosen = (choice) => ({ kind: choice?.kind ?? "any", of: new Set((choice?.of ?? []).map((one) => JSON.stringify(one))) });
  return {
    id, rule,
    watch: rule?.watch ?? [...home.book.watches.keys()][0],
    name: rule?.name ?? "",
    ...Object.fromEntries(AMOUNTS.map((name) => [name, amount(name)])),
    shops: chosen(rule?.shops), categories: chosen(rule?.categories), places: chosen(rule?.places),
    age: rule?.age === undefined ? "" : String(rule.age),
    windows: (rule?.windows ?? []).map(({ days, from, to }) => ({ days: new Set(days), from: time(from), to: time(to) })),
    outside: rule?.outside ?? "ask",
    days: 30,
    tested: null, testing: false, problem: null, shown: false,
  };
}

/** Local time over a rule's life, found minute by minute where it changes: the rule carries it, nobody looks it up. */
export function offsetsBetween(from, until, offsetAt = (at) => -new Date(at).getTimezoneOffset()) {
  const offsets = [{ from, minutes: offsetAt(from) }];
  for (let at = from; at < until; at += DAY_MS) {
    let [low, high] = [at, Math.min(at + DAY_MS, until)];
    if (offsetAt(low) === offsetAt(high)) continue;
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS || low + MINUTE_MS;
      if (middle >= high) break;
      if (offsetAt(middle) === offsetAt(low)) low = middle;
      else high = middle;
    }
    offsets.push({ from: high, minutes: offsetAt(high) });
  }
  return offsets;
}

/** As an `input` of an hour holds it. */
const time = (minutes) => `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
const minutesOf = (text) => {
  const [hours, minutes] = text.split(":").map(Number);
  return text === "" || Number.isNaN(hours + minutes) ? null : hours * 60 + minutes;
};

/** The rule as the form says it, in the two forms: `signed` goes into the log, `shown` is what the log will hold. Or why not. */
function written(state) {
  const { currency } = state.home.balance;
  const name = typedText(draft.name);
  if (textProblem(name, MAX_NAME)) return { problem: `text-${textProblem(name, MAX_NAME)}` };
  const now = Math.floor(serviceNow() / MINUTE_MS) * MINUTE_MS;
  const until = now + Math.min(draft.days * DAY_MS, MAX_MANDATE_LIFE_MS);
  const shown = {
    mandate: draft.rule?.mandate ?? (draft.fresh ??= randomId()), version: (draft.rule?.version ?? 0) + 1, name, watch: draft.watch,
    until, outside: draft.outside, windows: [], offsets: offsetsBetween(now, until),
  };
  for (const field of AMOUNTS) {
    const typed = draft[field].trim();
    if (!typed) continue;
    const minor = fromDecimal(typed, currency);
    if (!minor) return { problem: "rule-amount" };
    shown[field] = { minor, currency };
  }
  if (draft.age.trim()) {
    if (!/^[0-9]{1,2}$/.test(draft.age.trim())) return { problem: "rule-age" };
    shown.age = Number(draft.age);
  }
  for (const field of ["shops", "categories", "places"]) {
    const { kind, of } = draft[field];
    if (kind === "any") continue;
    if (of.size === 0) return { problem: "rule-nothing-chosen" };
    if (of.size > MAX_NAMED) return { problem: "rule-too-much-chosen" };
    shown[field] = { kind, of: [...of].map((one) => JSON.parse(one)) };
  }
  for (const { days, from, to } of draft.windows) {
    const [begins, ends] = [minutesOf(from), to === "00:00" ? DAY_END : minutesOf(to)];
    if (days.size === 0 || begins === null || ends === null || begins >= ends) return { problem: "rule-hours" };
    shown.windows.push({ days: WEEKDAYS.filter((one) => days.has(one)), from: begins, to: ends });
  }
  if (!shown.approve && shown.outside === "ask") return { problem: "rule-nothing" };
  const signed = { ...shown };
  for (const field of ["shops", "categories", "places"]) if (shown[field]) signed[field] = { [shown[field].kind]: shown[field].of };
  return { shown, signed };
}

function editor(ctx, id, rule) {
  const { state } = ctx;
  if (draft?.id !== id) draft = begin(state, id, rule);
  const result = written(state);
  const change = (field) => (event) => {
    Object.assign(draft, { [field]: event.target.value, tested: null, problem: null, shown: false });
    ctx.render();
  };
  const { currency } = state.home.balance;
  const sum = (field) => h("label.field", {}, h("span", {}, t(`rule.field.${field}`, { currency })),
    h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: draft[field], testid: `rule-${field}`, oninput: change(field) }));
  const watches = [...state.home.book.watches.values()];
  return [
    h("h1", {}, t(rule ? "rules.change-title" : "rules.new-title")),
    h("section.card.form", {},
      h("label.field", {}, h("span", {}, t("rule.field.name")),
        h("input", { type: "text", autocomplete: "off", maxlength: 60, value: draft.name, testid: "rule-name", oninput: change("name") })),
      h("p.soft", {}, t("rule.field.name-more")),
      !rule && watches.length > 1 && h("label.field", {}, h("span", {}, t("rule.field.watch")),
        h("select", { value: draft.watch, onchange: change("watch") }, ...watches.map(({ watch }) =>
          h("option", { value: watch, selected: watch === draft.watch }, nameOf(state.home, watch))))),
      sum("approve"), sum("per_payment"), sum("per_day"), sum("per_week"), sum("per_month")),
    choices(ctx, "shops", [...knownShops(state)].map(([shop, { name }]) => [[shop], name]), () => t("rule.unknown-shop")),
    choices(ctx, "categories", categories(), codeName),
    choices(ctx, "places", places(state), placeName),
    h("section.card.form", {},
      h("label.field", {}, h("span", {}, t("rule.field.age")),
        h("input", { type: "text", inputmode: "numeric", autocomplete: "off", value: draft.age, testid: "rule-age", oninput: change("age") })),
      ...hours(ctx),
      h("label.field", {}, h("span", {}, t("rule.field.outside")),
        h("select", { value: draft.outside, testid: "rule-outside", onchange: change("outside") },
          ...["ask", "refuse"].map((kind) => h("option", { value: kind, selected: kind === draft.outside }, t(`rule.outside-${kind}`))))),
      h("label.field", {}, h("span", {}, t("rule.field.days")),
        h("select", { value: String(draft.days), testid: "rule-days", onchange: (event) => { draft.days = Number(event.target.value); ctx.render(); } },
          ...LIVES_DAYS.map((count) => h("option", { value: String(count), selected: count === draft.days }, t("rule.days", { count })))))),
    ...review(ctx, result),
  ];
}

function places(state) {
  const seen = new Map();
  for (const { city, country } of knownShops(state).values()) seen.set(JSON.stringify({ city, country }), [[{ city, country }], placeName({ city, country })]);
  return [...seen.values()];
}

/** Options are chosen whole: what each holds, and its name. What was chosen before and is in none of these has a `name` of its own. */
function choices(ctx, field, options, name) {
  const chosen = draft[field];
  const known = options.map(([ones, label]) => ({ keys: ones.map((one) => JSON.stringify(one)), label }));
  const isChosen = ({ keys }) => keys.every((key) => chosen.of.has(key));
  const whole = new Set(known.filter(isChosen).flatMap(({ keys }) => keys));
  const others = [...chosen.of].filter((key) => !whole.has(key)).map((key) => ({ keys: [key], label: name(JSON.parse(key)) }));
  const all = [...known, ...others];
  if (all.length === 0) return null;
  const changed = () => {
    Object.assign(draft, { tested: null, shown: false });
    ctx.render();
  };
  return h("section.card.form", { key: field },
    h("label.field", {}, h("span", {}, t(`rule.field.${field}`)),
      h("select", { value: chosen.kind, testid: `rule-${field}`, onchange: (event) => { chosen.kind = event.target.value; changed(); } },
        ...["any", "only", "never"].map((kind) => h("option", { value: kind, selected: kind === chosen.kind }, t(`rule.choice.${kind}`))))),
    chosen.kind !== "any" && h("fieldset", {}, h("legend.unseen", {}, t(`rule.field.${field}`)),
      ...all.map((option) => h("label.check", {},
        h("input", {
          type: "checkbox", checked: isChosen(option), testid: `rule-${field}-option`,
          onchange: () => {
            const change = isChosen(option) ? (key) => chosen.of.delete(key) : (key) => chosen.of.add(key);
            option.keys.forEach(change);
            changed();
          },
        }),
        h("span", {}, h("bdi", {}, option.label))))));
}

function hours(ctx) {
  const changed = () => {
    Object.assign(draft, { tested: null, shown: false });
    ctx.render();
  };
  return [
    h("p.field", {}, h("span", {}, t("rule.field.hours"))),
    ...draft.windows.map((window, index) => h("fieldset.window", { key: String(index) },
      h("legend.unseen", {}, t("rule.field.hours")),
      h("div.chips", {}, ...WEEKDAYS.map((one) => h(`button.chip${window.days.has(one) ? ".on" : ""}`, {
        type: "button", "aria-pressed": String(window.days.has(one)), onclick: () => { if (!window.days.delete(one)) window.days.add(one); changed(); },
      }, t(`weekday.${one}`)))),
      h("div.row", {},
        h("label.field", {}, h("span", {}, t("rule.field.from")), h("input", { type: "time", value: window.from, onchange: (event) => { window.from = event.target.value; changed(); } })),
        h("label.field", {}, h("span", {}, t("rule.field.to")), h("input", { type: "time", value: window.to, onchange: (event) => { window.to = event.target.value; changed(); } })),
        h("button.round", { type: "button", "aria-label": t("rule.hours-remove"), onclick: () => { draft.windows.splice(index, 1); changed(); } }, icon("trash"))))),
    draft.windows.length < 7 && h("button.plain", {
      type: "button", testid: "rule-hours-add",
      onclick: () => { draft.windows.push({ days: new Set(WEEKDAYS), from: "15:00", to: "20:00" }); changed(); },
    }, icon("plus"), t("rule.hours-add")),
  ];
}

/** What will be signed, in sentences; what it would have done; the signature. */
function review(ctx, { problem, shown, signed }) {
  const { state } = ctx;
  if (problem) return [h("p.soft", { testid: "rule-incomplete" }, problemText({ code: problem }))];
  return [
    h("section.card", { testid: "rule-words", "aria-live": "polite" },
      h("h2", {}, t("rules.you-sign")),
      sentences(state, shown),
      h("p.soft", {}, t("rules.nod-above"))),
    draft.problem && notice("bad", problemText(draft.problem)),
    state.problem && notice("bad", problemText(state.problem)),
    busyButton("button.plain", { type: "button", testid: "rule-test", onclick: () => test(ctx, signed) }, draft.testing, icon("clock"), t("rules.test")),
    draft.tested && testTable(draft.tested),
    twoNote(ctx, { "set-mandate": signed }),
    busyButton("button.main", { type: "button", testid: "rule-sign", onclick: () => sign(ctx, signed) }, state.busy, icon("key"), t("rules.sign")),
  ];
}

async function test(ctx, mandate) {
  const mine = draft;
  Object.assign(mine, { testing: true, problem: null });
  ctx.render();
  try {
    mine.tested = await post("/api/guardian/rules/test", { mandate });
    announce(t("rules.tested", { count: mine.tested.orders.length }));
  } catch (error) {
    mine.problem = error;
  }
  mine.testing = false;
  ctx.render();
}

function testTable({ orders, cut }) {
  if (orders.length === 0) return notice("info", t("rules.test-none"));
  const answer = ({ answer: said, why, rule }) =>
    (said === "approve" ? t("rules.would-approve", { rule }) : t(`rules.would-${said}`, { rule, why: t(`why.${why}`) }));
  return h("section.card", { testid: "rule-tested" },
    h("h2", {}, t("rules.test-title")),
    h("table.tested", {},
      h("thead", {}, h("tr", {}, ...["order", "was", "would"].map((name) => h("th", { scope: "col" }, t(`rules.test.${name}`))))),
      h("tbody", {}, ...orders.map((order) => h("tr", { key: order.order_id, testid: "rule-tested-order", "data-answer": order.answer, "data-was": order.was },
        h("td", {}, h("a", { href: `#/order/${order.order_id}` }, h("bdi", {}, order.shop)), h("br"), `${when(order.at)} · ${money(order.total)}`),
        h("td", {}, t(`outcome.${order.was}`)),
        h("td", {}, answer(order)))))),
    cut && h("p.soft", {}, t("rules.test-cut")));
}

function sign(ctx, mandate) {
  const entry = { "set-mandate": mandate };
  const proposed = ctx.mustPropose(entry);
  return ctx.act(entry, () => {
    draft = null;
    announce(t(proposed ? "guardians.needs-two" : "rules.signed"));
    location.hash = proposed ? "#/guardians" : "#/rules";
    focusHeading();
  });
}
