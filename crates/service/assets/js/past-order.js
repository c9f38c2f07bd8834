// An order that was answered, as a row that leads to it: on the home page and in the history.
//
// `ctx` is what app.js lends: {state, nameOf}.

import { cutRow } from "./cut.js";
import { h } from "./dom.js";
import { icon } from "./frame.js";
import { finalTotal, standing } from "./order.js";
import { ruleNote } from "./rule-words.js";
import { money, t, when } from "./texts.js";

/** A row of a list. */
export function pastOrder(ctx, entry) {
  if (entry.cut) return cutRow(ctx, entry);
  const { order, view } = entry;
  const kind = order.outcome?.payload.outcome ?? standing(view);
  const look = { paid: "good", holding: "wait", approved: "wait", paying: "wait" }[kind] ?? "stop";
  const symbol = { paid: "check", holding: "clock", approved: "clock", paying: "clock", expired: "clock", failed: "warning" }[kind] ?? "cross";
  return h("li", { key: view.order_id },
    h("a.past", { href: `#/order/${view.order_id}`, testid: "past-order", "data-outcome": kind },
      h(`span.tile.${look}`, {}, icon(symbol)),
      h("span.what", {},
        h("span.name", {}, h("bdi", {}, order.certificate.payload.name)),
        h("span.soft", {}, `${ctx.nameOf(order)} · ${when(order.order.payload.created)} · ${t(`outcome.${kind}`)}`),
        order.mandate && h("span.soft", { testid: "past-rule" }, ruleNote(ctx.state, entry).text),
        view.refunded && h("span.soft", { testid: "past-refunded" }, t("history.refunded", { total: money(view.refunded) }))),
      h(`span.amount${kind === "paid" ? "" : ".soft"}`, {}, money(finalTotal(order)))));
}
