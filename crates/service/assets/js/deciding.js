// What a guardian says besides yes and no: a note, and with a refusal a suggestion; and what they want to know before: how much the
// wearer has spent. Only builds elements and keeps what is half typed in the draft of its order (see order.js).

import { get, serviceNow } from "./api.js";
import { announce, h } from "./dom.js";
import { icon } from "./frame.js";
import { goodsIcon } from "./goods.js";
import { HINTS, MAX_NOTE, VerifyError, typedText } from "./messages.js";
import { fromDecimal, listed, money, number, problemText, t } from "./texts.js";
import { checkSuggestion, suggestedLines } from "./verify.js";

/** Parts of an order's draft that are this file's. */
export const newSaying = () => ({ reason: "", noting: false, suggesting: false, only: null, hint: null, upTo: "" });

// ---- notes --------------------------------------------------------------------------------------------------------------------

const READY_NOTES = ["later", "enough", "talk"];

/** The guardian's own words, which the watch shows. */
export function noteField(ctx, draft, label) {
  const left = MAX_NOTE - [...typedText(draft.reason)].length;
  return [
    h("label.field", {}, h("span", {}, label),
      h("input", {
        type: "text", value: draft.reason, testid: "reason", maxlength: 2 * MAX_NOTE, autocomplete: "off", enterkeyhint: "done",
        oninput: (event) => change(ctx, draft, { reason: event.target.value }),
      })),
    left < 20 && h(`p${left < 0 ? ".wrong" : ".soft"}`, { role: left < 0 ? "alert" : null },
      left < 0 ? t("problem.text-too-long") : t("deciding.left", { count: left })),
  ];
}

export function readyNotes(ctx, draft) {
  return h("div.chips", {}, ...READY_NOTES.map((key) => h("button.chip", {
    type: "button", onclick: () => change(ctx, draft, { reason: t(`order.reason.${key}`) }),
  }, t(`order.reason.${key}`))));
}

/** A word with the nod: where lines are struck at once, else when it was asked for. */
export function nodNote(ctx, draft, struck, name) {
  if (!struck && !draft.noting) return null;
  return h("div.refusal", {}, ...noteField(ctx, draft, t(struck ? "order.why-struck" : "order.reason", { name })));
}

export function addNote(ctx, draft) {
  return h("button.text-button", {
    type: "button", testid: "add-note",
    onclick: () => {
      change(ctx, draft, { noting: true });
      document.querySelector("[data-testid=reason]")?.focus();
    },
  }, icon("pencil"), t("deciding.add-note"));
}

function change(ctx, draft, changed) {
  Object.assign(draft, changed, { signed: null, problem: null });
  ctx.render();
}

// ---- suggestions --------------------------------------------------------------------------------------------------------------

/** What is suggested, in the order of the signed message; null for nothing, undefined where it cannot be said so. */
export function suggestionOf(draft, order) {
  if (!draft.suggesting) return null;
  const bill = order.bill.payload;
  const lines = bill.lines.filter((line) => draft.only?.has(line.id)).map(({ id }) => ({ id, quantity: draft.only.get(id) }));
  const minor = draft.upTo.trim() === "" ? null : fromDecimal(draft.upTo, bill.currency);
  if (minor === null && draft.upTo.trim() !== "") return undefined;
  if (lines.length === 0 && !draft.hint && minor === null) return null;
  const said = {};
  if (lines.length > 0) said.lines = lines;
  if (draft.hint) said.hint = draft.hint;
  if (minor !== null) said.up_to = { minor, currency: bill.currency };
  try {
    checkSuggestion({ lines: [], ...said }, bill, order.order.payload.without);
  } catch (error) {
    if (!(error instanceof VerifyError)) throw error;
    return undefined;
  }
  return said;
}

/** What a signed suggestion says, a sentence each. */
export function suggestionWords(suggestion, order) {
  const named = suggestedLines({ lines: [], ...suggestion }, order.bill.payload, order.order.payload.without) ?? [];
  const words = named.map(({ line, quantity }) => (line.quantity > 1 ? t("deciding.so-many", { count: number(quantity), name: line.name }) : line.name));
  return [
    words.length > 0 && t("deciding.only", { names: listed(words) }),
    suggestion.hint && t(`deciding.hint.${suggestion.hint}`),
    suggestion.up_to && t("deciding.at-most", { total: money(suggestion.up_to) }),
  ].filter(Boolean);
}

/** Part of the refusal. `struck` is what is struck on the page: a first guess at what is not wanted. */
export function suggestionForm(ctx, entry, draft, struck) {
  const { order } = entry;
  const asked = order.bill.payload.lines.filter((line) => !order.order.payload.without.includes(line.id));
  if (!draft.suggesting) {
    return h("button.plain", {
      type: "button", testid: "suggest", "aria-expanded": "false",
      onclick: () => change(ctx, draft, { suggesting: true, only: struck.length > 0 && asked.length > 1 ? kept(asked, struck) : draft.only }),
    }, icon("pencil"), t("deciding.suggest"));
  }
  const chip = (on, testid, words, onclick) =>
    h(`button.chip${on ? ".on" : ""}`, { type: "button", testid, "aria-pressed": String(on), onclick }, words);
  const several = asked.length > 1 || asked.some((line) => line.quantity > 1);
  const said = suggestionOf(draft, order);
  return h("fieldset.suggestion", { testid: "suggestion" },
    h("legend", {}, t("deciding.suggest-what")),
    h("div.chips", {},
      several && chip(draft.only !== null, "suggest-only", t("deciding.only-these"),
        () => change(ctx, draft, { only: draft.only ? null : kept(asked, struck.length > 0 ? struck : asked.map((line) => line.id)) })),
      ...HINTS.map((hint) => chip(draft.hint === hint, `hint-${hint}`, t(`deciding.hint.${hint}`),
        () => change(ctx, draft, { hint: draft.hint === hint ? null : hint })))),
    draft.only && h("ul.only", {}, ...asked.map((line) => onlyRow(ctx, draft, line))),
    h("label.field", {}, h("span", {}, t("deciding.up-to", { currency: order.bill.payload.currency })),
      h("input", {
        type: "text", inputmode: "decimal", autocomplete: "off", value: draft.upTo, testid: "up-to",
        oninput: (event) => change(ctx, draft, { upTo: event.target.value }),
      })),
    said === undefined && h("p.wrong", { role: "alert", testid: "suggestion-wrong" }, t("deciding.wrong", { total: money({ minor: order.bill.payload.total, currency: order.bill.payload.currency }) })),
    said && h("p.soft", { testid: "suggestion-said" }, t("deciding.watch-says", { words: suggestionWords(said, order).join(" · ") })),
    h("p.soft", {}, t("deciding.only-a-word")));
}

const kept = (asked, struck) => new Map(asked.filter((line) => !struck.includes(line.id)).map((line) => [line.id, line.quantity]));

function onlyRow(ctx, draft, line) {
  const quantity = draft.only.get(line.id) ?? 0;
  const set = (count) => {
    const only = new Map(draft.only);
    if (count > 0) only.set(line.id, count);
    else only.delete(line.id);
    announce(t("deciding.so-many", { count: number(count), name: line.name }));
    change(ctx, draft, { only });
  };
  const step = (by, symbol, label) => h("button.round", {
    type: "button", testid: `only-${symbol}-${line.id}`, "aria-label": t(label, { name: line.name }),
    disabled: quantity + by < 0 || quantity + by > line.quantity, onclick: () => set(quantity + by),
  }, icon(symbol));
  return h("li", { key: line.id },
    h("label.check", {},
      h("input", { type: "checkbox", checked: quantity > 0, testid: `only-${line.id}`, onchange: (event) => set(event.target.checked ? line.quantity : 0) }),
      h("span.thing", {}, goodsIcon(line)), h("bdi", {}, line.name)),
    line.quantity > 1 && h("span.how-many", {},
      step(-1, "minus", "deciding.fewer"),
      h("span.amount", {}, t("deciding.of", { count: number(quantity), all: number(line.quantity) })),
      step(1, "plus", "deciding.more")));
}

/** What the guardian suggested, on the page of the order that they refused. */
export function suggestionNote(order) {
  const suggestion = order.decision?.payload.suggest;
  return suggestion && h("p", { testid: "suggested" }, t("deciding.suggested", { words: suggestionWords(suggestion, order).join(" · ") }));
}

/** The names of what an order leaves out, as it was suggested before; null where it is whole. */
export function leftOut(order) {
  const { without } = order.order.payload;
  const names = order.bill.payload.lines.filter((line) => without.includes(line.id)).map((line) => line.name);
  return names.length > 0 ? listed(names) : null;
}

/** An order that follows a suggestion: what it leaves out. */
export function askedAgain(order) {
  const names = leftOut(order);
  return names && h("p.badge.wait", { testid: "asked-again" }, icon("undo"), t("deciding.asks-again", { names }));
}

// ---- spending -----------------------------------------------------------------------------------------------------------------

/** By order: {key, sums or problem}; sums are the service's word, like the balance. */
const spendings = new Map();

/** The first moments of today and of this month, where the guardian is. */
function since() {
  const now = new Date(serviceNow());
  return { day: new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime(), month: new Date(now.getFullYear(), now.getMonth(), 1).getTime() };
}

async function load(ctx, id, key, { day, month }) {
  const kept = { key, sums: null, problem: null };
  spendings.set(id, kept);
  try {
    kept.sums = await get(`/api/guardian/orders/${id}/spending?day=${day}&month=${month}`);
  } catch (error) {
    kept.problem = error;
  }
  ctx.render();
}

/** The lowest cap that a standing rule sets for this watch. */
function capOf(ctx, order, field) {
  const now = serviceNow();
  const caps = ctx.state.home.book.mandates
    .filter(({ mandate, ended }) => ended === null && mandate.watch === order.order.payload.watch && now < mandate.until && mandate[field])
    .map(({ mandate }) => mandate[field].minor);
  return caps.length > 0 ? Math.min(...caps) : null;
}

/** Today's and this month's spending of the wearer, and what it is with this order; then that of all watches, where the household has caps. */
export function spendingCard(ctx, entry, terms, name) {
  const { view, order } = entry;
  const from = since();
  const key = `${from.day} ${ctx.state.home.balance.minor}`;
  const known = spendings.get(view.order_id);
  if (known?.key !== key) load(ctx, view.order_id, key, from);
  const { sums, problem } = spendings.get(view.order_id);
  const { caps = {} } = ctx.state.home.book.houseRules();
  const row = (part, spent, cap) => {
    const { currency } = spent;
    const after = terms && terms.total.currency === currency ? spent.minor + terms.total.minor : null;
    const over = cap !== null && after !== null && after > cap;
    return h("div", { testid: `spent-${part}` },
      h("dt", {}, t(`deciding.spent-${part}`)),
      h("dd", {}, h("span.amount", {}, money(spent)),
        after !== null && h(`span.soft${over ? ".over-cap" : ""}`, {}, " → ", t("deciding.with-this", { total: money({ minor: after, currency }) })),
        cap !== null && h(`span.soft${over ? ".over-cap" : ""}`, {}, " · ", t(over ? "deciding.over-cap" : "deciding.cap", { cap: money({ minor: cap, currency }) }))));
  };
  return h("section.card.spending", { testid: "spending", "aria-label": t("deciding.spent", { name }) },
    h("h2", {}, t("deciding.spent", { name })),
    problem && h("p.soft", {}, problemText(problem)),
    sums ? h("dl.sums", {},
      row("day", sums.day, capOf(ctx, order, "per_day")), row("month", sums.month, capOf(ctx, order, "per_month")),
      ...["day", "week", "month"].filter((part) => sums.house && caps[`per_${part}`])
        .map((part) => row(`house-${part}`, sums.house[part], caps[`per_${part}`].minor))) : !problem && h("p.soft", {}, t("loading")));
}
