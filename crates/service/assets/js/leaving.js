// The household's data: how long what is kept, all of it as one file, and erasing the household. What is signed is shown in words
// first; what waits is shown on every page.
//
// `ctx` is what app.js lends: {state, render, act}.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { icon, notice } from "./frame.js";
import { askBox, askButton, asksFor, mayISign } from "./guardians.js";
import { ERASE_DELAY_MS } from "./members.js";
import { guardianName } from "./people.js";
import { span } from "./spans.js";
import { money, t, when } from "./texts.js";
import { verifyMerchantCertificate } from "./verify.js";

/** What is left in the wallet, in words, or null. Money on a card or a bank account stays where it is. */
const rest = (home) => (home.rail === "wallet" && home.balance.minor > 0 ? money(home.balance) : null);

/** For the household page. */
export function leavingCard(ctx) {
  const { home } = ctx.state;
  return h("section.card", { testid: "your-data" },
    h("h2", {}, t("leaving.title")),
    h("p.soft", {}, t("leaving.more")),
    h("a.plain", { href: "/api/guardian/archive", download: true, testid: "take-out" }, icon("download"), t("leaving.take-out")),
    h("p.soft", { testid: "keeps" }, t("leaving.keeps", { span: span(home.keep.orders_days, "days") })),
    !home.book.folded.erasing && mayISign(home) && eraseRow(ctx));
}

function eraseRow(ctx) {
  const { home } = ctx.state;
  const label = [icon("trash"), t("leaving.erase")];
  if (!asksFor("erase")) {
    return askButton(ctx, "plain.stop", "erase", label, "erase", { erase: {} }, t("leaving.erase-when", { time: when(serviceNow() + ERASE_DELAY_MS) }));
  }
  return h("div.erase", { testid: "erase-words" },
    h("h3", {}, t("leaving.erase-title")),
    h("ul", {},
      h("li", {}, t("leaving.erase-goes")),
      h("li", {}, t("leaving.erase-stays", { span: span(home.keep.books_years, "years") })),
      rest(home) && h("li", {}, t("leaving.erase-rest", { rest: rest(home) })),
      h("li", {}, t("leaving.erase-undo"))),
    askBox(ctx, "erase"));
}

/** On every page, while the household is to be erased. */
export function leavingNotice(ctx) {
  const { home } = ctx.state;
  const { erasing } = home.book.folded;
  if (!erasing) return null;
  const waits = erasing.from > serviceNow();
  const by = erasing.by === home.guardian.guardian ? t("leaving.asked-you") : t("leaving.asked", { name: guardianName(home, erasing.by) });
  const then = waits ? t("leaving.then", { time: when(erasing.from) }) : t("leaving.now");
  return h("div.frozen", { testid: "to-be-erased", key: "to-be-erased" },
    notice("bad", `${by} ${then}`,
      rest(home) && h("p", { testid: "erase-rest" }, t("leaving.rest", { rest: rest(home) })),
      mayISign(home) && !asksFor("keep")
        && h("div.buttons", {}, askButton(ctx, "plain", "keep", t("leaving.keep"), "keep", { object: erasing.entry }, t("leaving.keep-sure"))),
      askBox(ctx, "keep")));
}

// ---- orders of which only the books are left ------------------------------------------------------------------------------------------

/** What can be shown of an order whose messages are no longer kept. Only the shop is verified; the rest is the service's word. */
export async function takeCut(view, root) {
  return { ...view.cut, shop: (await verifyMerchantCertificate(view.certificate, root)).payload.name };
}

const nameOf = (state, cut) => state.home.names.get(cut.wearer)?.name ?? t("wearer.unknown");
const deleted = (state) => t("leaving.cut", { span: span(state.home.keep.orders_days, "days") });

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
