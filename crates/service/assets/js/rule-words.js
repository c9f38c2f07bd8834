// What standing rules say, in words: all of one, what one did to an order, what an entry of the log did to one.

import { h } from "./dom.js";
import { anyOf, day, hour, money, t } from "./texts.js";

export const CATEGORIES = ["5411", "5812", "5814", "5942", "5943", "5945", "5816", "4111", "5921", "5993"];

export const nameOf = (home, watch) => home.names.get(home.book.watchEver(watch)?.wearer)?.name ?? t("wearer.unknown");

/** The shops of the household that this page knows, by id: what the operator vouched for. */
export function knownShops(state) {
  const shops = new Map(state.shops);
  for (const { order } of state.orders.values()) if (order) shops.set(order.certificate.payload.merchant, order.certificate.payload);
  return shops;
}

const categoryName = (mcc) => (CATEGORIES.includes(mcc) ? t(`mcc.${mcc}`) : mcc);
export const placeName = ({ city, country }) => (city ? `${city} (${country})` : country);

/** All of a rule, one sentence each. */
export function ruleWords(state, rule) {
  const name = nameOf(state.home, rule.watch);
  const shops = knownShops(state);
  const choice = (key, chosen, label) => chosen && t(`rule.${key}-${chosen.kind}`, { what: anyOf(chosen.of.map(label)) });
  return [
    rule.approve ? t("rule.approves", { name, total: money(rule.approve) }) : t("rule.approves-nothing", { name }),
    choice("shops", rule.shops, (id) => shops.get(id)?.name ?? t("rule.unknown-shop")),
    choice("categories", rule.categories, categoryName),
    choice("places", rule.places, placeName),
    rule.age !== undefined && t("rule.age", { age: rule.age }),
    ...rule.windows.map(({ days, from, to }) =>
      t("rule.window", { days: days.length === 7 ? t("rule.every-day") : anyOf(days.map((one) => t(`weekday.${one}`))), from: hour(from), to: hour(to) })),
    rule.per_payment && t("rule.per-payment", { total: money(rule.per_payment) }),
    rule.per_day && t("rule.per-day", { total: money(rule.per_day) }),
    rule.per_week && t("rule.per-week", { total: money(rule.per_week) }),
    rule.per_month && t("rule.per-month", { total: money(rule.per_month) }),
    t(`rule.outside-${rule.outside}`),
    t("rule.until", { day: day(rule.until) }),
  ].filter(Boolean);
}

/** The sentences of a rule that an entry sets, or null. */
export function ruleSentences(state, { kind, content }) {
  return kind === "set-mandate" ? sentences(state, content) : null;
}

export const sentences = (state, rule) => h("ul.sentences", {}, ...ruleWords(state, rule).map((words) => h("li", {}, words)));

/** Whose rule decided or asked, and why; null where none did. */
export function ruleNote(state, { order, view }) {
  const said = order.outcome?.payload;
  const judged = view.judged && state.home.book.mandates.find((one) => one.entry === view.judged.entry);
  const entry = order.mandate ?? judged;
  if (!entry) return null;
  const rule = entry.mandate.name;
  if (said?.rule) return { text: t("rule.refused", { rule, why: t(`why.${said.rule}`) }), kind: "stop" };
  if (order.mandate || (view.judged.answer === "approve" && !order.decision)) {
    return { text: t(said?.outcome === "paid" ? "rule.paid" : "rule.allowed", { rule }), kind: "good" };
  }
  if (view.judged.answer !== "ask") return null;
  return { text: t("rule.asked", { rule, why: t(`why.${view.judged.why}`) }), kind: "wait" };
}

export const ruleLogWords = ({ kind, content }, book) => {
  const id = kind === "end-mandate" ? content : content.mandate;
  const name = book.mandates.findLast(({ mandate }) => mandate.mandate === id)?.mandate.name ?? "";
  if (kind === "end-mandate") return t("log.end-mandate", { rule: name });
  return t(content.version === 1 ? "log.set-mandate" : "log.change-mandate", { rule: content.name });
};
