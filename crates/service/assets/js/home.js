// The home page: what waits, the balance, who wears a watch, and the last orders.
//
// `ctx` is what app.js lends: {state, render, nameOf, askedTotal, entries, waitingOrders, refreshHome}.

import { awayCard } from "./away.js";
import { h } from "./dom.js";
import { avatar, icon, inDemo, notice } from "./frame.js";
import { guardianCards } from "./guardians.js";
import { firstNodSaid, hasNodded } from "./nods.js";
import { pastOrder } from "./past-order.js";
import { reportCard } from "./pins.js";
import { pushPrompt } from "./push.js";
import { refreshSessions, sessionNotices } from "./sessions.js";
import { money, problemText, t, timeLeft } from "./texts.js";

/** Earlier orders that are listed; the history has all. */
const RECENT = 5;

export const left = () => {};

export async function changed(ctx, kind) {
  if (kind === null || kind === "session") await refreshSessions();
}

export function page(ctx) {
  const { state } = ctx;
  const { balance, book } = state.home;
  const waiting = ctx.waitingOrders();
  const past = ctx.entries().filter((entry) => !entry.error && entry.view.state !== "waiting").slice(0, RECENT);
  const watches = [...book.watches.values()];
  return [
    h("h1.unseen", {}, t("home.title")),
    state.problem && notice("bad", problemText(state.problem)),
    state.home.stopped && notice("bad", t(state.home.stopped === "closed" ? "home.closed" : "home.frozen")),
    awayCard(ctx),
    ...waiting.map((entry) => waitingCard(ctx, entry)),
    ...sessionNotices(ctx),
    ...guardianCards(ctx),
    pushPrompt(ctx),
    ...watches.map((watch) => reportCard(state.home, watch)),
    h("section.card.balance", { "aria-label": t("home.balance") },
      ...(state.home.rail === "wallet"
        ? [h("p", {}, t("home.balance")), h("p.amount", { testid: "balance" }, money(balance))]
        : [h("p", { testid: "rail" }, t(`home.rail-${state.home.rail}`))]),
      watches.length > 0 && h("ul.wearers", {}, ...wearersOf(state.home, watches).map(({ name, count }) =>
        h("li", {}, avatar(name), h("span", {}, name), count > 1 && h("span", {}, t("home.watches", { count })))))),
    watches.length === 0 && h("section.card.center", {},
      h("span.tile", {}, icon("watch", "large")), h("p.lead", {}, t("home.no-watch")),
      h("a.main", { href: "#/pair", testid: "pair" }, icon("plus"), t("home.add-watch"))),
    waiting.length === 0 && watches.length > 0 && h("p.quiet", {}, icon("check"), t("home.nothing")),
    h("section.card", {},
      h("h2", {}, t("home.history")),
      past.length === 0 ? h("p.soft", {}, t("home.no-history")) : h("ul.history", {}, ...past.map((entry) => pastOrder(ctx, entry))),
      past.length > 0 && h("a.plain", { href: "#/history", testid: "history" }, icon("clock"), t("home.all"))),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/rules", testid: "rules" }, icon("list"), t("home.rules")),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/wallet" }, icon("wallet"), t("nav.wallet")),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/household" }, icon("person"), t("nav.household")),
  ];
}

function wearersOf(home, watches) {
  const counts = new Map();
  for (const { wearer } of watches) counts.set(wearer, (counts.get(wearer) ?? 0) + 1);
  return [...counts].map(([wearer, count]) => ({ name: home.names.get(wearer)?.name ?? t("wearer.unknown"), count }));
}

function waitingCard(ctx, entry) {
  const { state } = ctx;
  const { view } = entry;
  if (entry.error) {
    return h("a.card.waiting.bad", { href: `#/order/${view.order_id}`, key: view.order_id },
      icon("warning", "large"), h("div", {}, h("p.name", {}, t("order.unbelievable")), h("p.soft", {}, problemText(entry.error))), icon("next"));
  }
  const name = ctx.nameOf(entry.order);
  return h("a.card.waiting", { href: `#/order/${view.order_id}`, key: view.order_id, testid: "waiting-order" },
    avatar(name),
    h("div", {},
      h("p.name", {}, t("home.asks", { name })),
      entry.order.first && h("p.nodded", { testid: "waiting-nod" }, hasNodded(state, entry.order) ? t("nods.one-more") : firstNodSaid(state, entry.order)),
      h("p.soft", {}, h("bdi", {}, entry.order.certificate.payload.name), " · ", t("order.time-left", { time: timeLeft(entry.ends - performance.now()) }))),
    h("strong.amount", {}, money(entry.order.first?.payload.total ?? ctx.askedTotal(entry.order))),
    icon("next"));
}
