// Orders of which only the books are left: their messages were deleted after a time.
//
// `ctx` is what app.js lends: {state}.

import { h } from "./dom.js";
import { icon } from "./frame.js";
import { span } from "./spans.js";
import { money, t, when } from "./texts.js";
import { verifyMerchantCertificate } from "./verify.js";

/** What can be shown of an order whose messages are no longer kept. Only the shop is verified; the rest is the service's word. */
export async function takeCut(view, root) {
  return { ...view.cut, shop: (await verifyMerchantCertificate(view.certificate, root)).payload.name };
}

const nameOf = (state, cut) => state.home.names.get(cut.wearer)?.name ?? t("wearer.unknown");
const deleted = (state) => t("cut.deleted", { span: span(state.home.keep.orders_days, "days") });

/** For lists of orders. */
export function cutRow({ state }, { view, cut }) {
  const paid = view.state === "paid";
  return h("li", { key: view.order_id },
    h("a.past", { href: `#/order/${view.order_id}`, testid: "past-order", "data-outcome": view.state },
      h(`span.tile.${paid ? "good" : "stop"}`, {}, icon(paid ? "check" : "cross")),
      h("span.what", {},
        h("span.name", {}, h("bdi", {}, cut.shop)),
        h("span.soft", {}, `${nameOf(state, cut)} · ${when(view.received)} · ${t(`outcome.${view.state}`)}`),
        h("span.soft", { testid: "past-cut" }, deleted(state))),
      h(`span.amount${paid ? "" : ".soft"}`, {}, money(cut.total))));
}

export function cutPage({ state }, { view, cut }) {
  return [
    h("h1", {}, h("bdi", {}, cut.shop)),
    h("section.card.center", {},
      h("p.amount", {}, money(cut.total)),
      h("p", {}, `${nameOf(state, cut)} · ${when(view.received)}`),
      h("p", {}, t(`outcome.${view.state}`)),
      view.refunded && h("p", {}, t("history.refunded", { total: money(view.refunded) })),
      h("p.soft", { testid: "cut" }, deleted(state))),
  ];
}
