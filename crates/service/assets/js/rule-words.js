// What standing rules say, in words: all of one, what one did to an order, what an entry of the log did to one.

import { h } from "./dom.js";
import { anyOf, day, hour, money, t } from "./texts.js";

/** Kinds of shops as core::Category has them, by their codes: a rule names codes. Rented cars, 91 codes, are left out. */
export const KINDS = {
  food: "5411 5422 5441 5451 5462 5499 5811 5812 5813 5814",
  school: "5111 5943 8211 8220 8241 8244 8249 8299 8351",
  books: "2741 5192 5942 5994",
  toys: "5945",
  transport: "4011 4111 4112 4121 4131 4411 4511 4784 4789 5541 5542 5940 7512 7523",
  clothes: "5137 5139 5611 5621 5631 5641 5651 5655 5661 5681 5691 5697 5698 5699 7296",
  health: "4119 5122 5912 5975 5976 5977 7230 7297 7298 8011 8021 8031 8041 8042 8043 8049 8050 8062 8071 8099",
  fun: "4899 5733 5735 5815 5816 5817 5818 5941 5970 5971 5995 7032 7829 7832 7841 7911 7922 7929 7932 7933 7941 7991 7992 7993 7994 7996 7997 7998 7999",
};
/** Single codes that a rule may name beside whole kinds, or of one. */
const NAMED = ["4111", "5411", "5812", "5814", "5816", "5921", "5942", "5943", "5945", "5993"];
/** Of these, what is of no kind. */
const APART = ["5921", "5993"];

/** Rules that nobody has ended, of watches that are still there; their time may be over. */
export const heldRules = ({ book }) => book.mandates.filter(({ ended, mandate }) => ended === null && book.watches.has(mandate.watch));

export const nameOf = (home, watch) => home.names.get(home.book.watchEver(watch)?.wearer)?.name ?? t("wearer.unknown");

/** The shops of the household that this page knows, by id: what the operator vouched for. */
export function knownShops(state) {
  const shops = new Map(state.shops);
  for (const { order } of state.orders.values()) if (order) shops.set(order.certificate.payload.merchant, order.certificate.payload);
  return shops;
}

const codesOf = (kind) => KINDS[kind].split(" ");
export const codeName = (mcc) => (NAMED.includes(mcc) ? t(`mcc.${mcc}`) : mcc);
/** What a rule can be about: codes, and what they are together. */
export const categories = () => [
  ...Object.keys(KINDS).map((kind) => [codesOf(kind), t(`category.${kind}`)]), ...APART.map((mcc) => [[mcc], codeName(mcc)]),
];

/** Whole kinds by their names, and what is left by its own. */
function categoryNames(codes) {
  const whole = Object.keys(KINDS).filter((kind) => codesOf(kind).every((mcc) => codes.includes(mcc)));
  const rest = codes.filter((mcc) => !whole.some((kind) => codesOf(kind).includes(mcc)));
  return [...whole.map((kind) => t(`category.${kind}`)), ...rest.map(codeName)];
}

export const placeName = ({ city, country }) => (city ? `${city} (${country})` : country);

/** All of a rule, one sentence each. */
export function ruleWords(state, rule) {
  const name = nameOf(state.home, rule.watch);
  const shops = knownShops(state);
  const choice = (key, chosen, names) => chosen && t(`rule.${key}-${chosen.kind}`, { what: anyOf(names(chosen.of)) });
  return [
    rule.approve ? t("rule.approves", { name, total: money(rule.approve) }) : t("rule.approves-nothing", { name }),
    choice("shops", rule.shops, (ids) => ids.map((id) => shops.get(id)?.name ?? t("rule.unknown-shop"))),
    choice("categories", rule.categories, categoryNames),
    choice("places", rule.places, (places) => places.map(placeName)),
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
