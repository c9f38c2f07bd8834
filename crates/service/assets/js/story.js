// Who did what when: an order as a story, from the messages that this page has verified. Each step says who vouches for it. The
// order of steps is that of what had to come before what; the times are those that the signers' own clocks said.

import { leftOut, suggestionWords } from "./deciding.js";
import { h } from "./dom.js";
import { icon } from "./frame.js";
import { guardianName } from "./people.js";
import { ruleNote } from "./rule-words.js";
import { money, t, when } from "./texts.js";
import { askedTotal } from "./verify.js";

/** The story of a verified order. */
export function storyCard(state, entry) {
  return h("section.card", { key: "story", testid: "story", "aria-label": t("story.title") },
    h("h2", {}, t("story.title")),
    h("ol.story", {}, ...steps(state, entry).map(({ at, text, more, by, look = "", testid }) =>
      h(`li${look && `.${look}`}`, { testid },
        h("time.soft", {}, when(at)),
        h("div", {},
          h("p", {}, text),
          ...[more].flat().filter(Boolean).map((words) => h("p.quote", {}, h("bdi", {}, words))),
          h("p.by", {}, icon(by === "said" ? "person" : "shield"), t(`story.by-${by}`)))))));
}

function steps(state, { order, view }) {
  const said = order.order.payload;
  const bill = order.bill.payload;
  const { currency } = bill;
  const name = state.home.names.get(said.wearer)?.name ?? t("wearer.unknown");
  const shop = order.certificate.payload.name;
  const whole = money({ minor: bill.total, currency });
  const asked = money(askedTotal(bill, said.without));
  const left = leftOut(order);
  const told = [
    { at: bill.issued, by: order.bill.scanned ? "watch" : "shop", text: t(order.bill.scanned ? "story.code" : "story.bill", { name, shop, total: whole }) },
    ...before(state, { order, view }),
    { at: said.wearer_check.at, by: "watch", text: t(`story.checked-${said.wearer_check.method}`, { name }) },
    { at: said.created, by: "watch", text: t("story.asked", { name, shop, total: asked }), more: [left && t("story.without", { names: left }), said.reason && `“${said.reason}”`] },
    ...ruled(state, { order, view }),
    ...requoted(order, view),
    ...decided(state, order, bill),
  ];
  told.push(...suggested(state, order));
  if (order.payment) told.push({ at: order.payment.payload.at, by: "watch", text: t("story.payment", { name }), testid: "step-payment" });
  if (order.cancel) {
    told.push({ at: order.cancel.payload.at, by: "watch", look: "stop", text: t(`cancel-reason.${order.cancel.payload.reason}`, { name }), testid: "step-cancel" });
  }
  return [...told, ...ended(order, view, { name, shop })];
}

/** What a standing rule did. */
function ruled(state, { order, view }) {
  const note = ruleNote(state, { order, view });
  return note ? [{ at: order.order.payload.created, by: order.mandate ? "rule" : "said", look: note.kind, text: note.text, testid: "step-rule" }] : [];
}

/** What the shop did when lines were struck. */
function requoted({ requote, bill }, view) {
  const { currency } = bill.payload;
  const told = [];
  if (requote) told.push({ at: requote.payload.issued, by: "shop", text: t("story.requote", { total: money({ minor: requote.payload.total, currency }) }) });
  if (view.ask?.state === "refused") told.push({ at: view.received, by: "said", text: t("order.shop-says-no"), more: `“${view.ask.reason}”` });
  return told;
}

/** Who nodded, the first of two before the other, or said no. */
function decided(state, { first, decision }, bill) {
  const nods = [first && { ...first.payload, step: "first" }, decision && { ...decision.payload, step: "decision" }];
  return nods.filter(Boolean).map(({ guardian, verdict, at, total, struck, reason, step }) => {
    const who = whoIs(state, guardian);
    const items = bill.lines.filter((line) => struck.includes(line.id)).map((line) => line.name);
    return {
      at, by: "guardian", look: verdict === "approve" ? "good" : "stop", testid: `step-${step}`,
      text: t(step === "first" ? "story.first" : `story.${verdict}`, { who, total: money(total) }),
      more: [items.length > 0 && t("story.struck", { items: items.join(" · ") }), reason && `“${reason}”`],
    };
  });
}

/** What the guardian who said no would rather nod to. */
function suggested(state, order) {
  const { suggest, guardian, at } = order.decision?.payload ?? {};
  if (!suggest) return [];
  const words = suggestionWords(suggest, order).join(" · ");
  return [{ at, by: "guardian", text: t("story.suggested", { who: whoIs(state, guardian), words }), testid: "step-suggestion" }];
}

/** Suggestions on earlier orders of the same bill, as far as this page has read them. */
function before(state, { order, view }) {
  const { bill } = order.order.payload;
  const isBefore = (other) => other.order_id !== view.order_id && other.received <= view.received;
  return [...state.orders.values()]
    .filter((entry) => entry.order?.order.payload.bill === bill && isBefore(entry.view))
    .sort((one, other) => one.view.received - other.view.received)
    .flatMap((entry) => suggested(state, entry.order));
}

const whoIs = (state, guardian) => (guardian === state.home.guardian.guardian ? t("household.you") : guardianName(state.home, guardian));

/** How it ended, what the watch saw of that, and what came back later. */
function ended({ outcome, result }, view, { name, shop }) {
  const told = [];
  if (outcome) {
    const { outcome: kind, reason, at, total } = outcome.payload;
    const text = kind === "failed" ? `${t("ending.failed")}. ${t(`fail.${reason}`)}` : t(`story.outcome-${kind}`, { shop, total: money(total) });
    told.push({ at, by: "service", look: kind === "paid" ? "good" : "stop", text, testid: "step-outcome" });
  }
  if (result) {
    const { at, seen } = result.payload;
    told.push({ at, by: "watch", look: seen === "paid" ? "good" : "", text: t("story.result", { name, outcome: t(`outcome.${seen}`) }), testid: "result" });
  }
  for (const { at, amount, reason } of view.refunds ?? []) {
    told.push({ at, by: "said", look: "good", text: t("story.refund", { shop, total: money(amount) }), more: reason && `“${reason}”`, testid: "step-refund" });
  }
  for (const { opened, amount, state: is } of view.disputes ?? []) {
    told.push({ at: opened, by: "said", text: t(`dispute.${is}`, { total: money(amount) }) });
  }
  return told;
}
