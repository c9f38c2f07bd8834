// All orders of the household, by words and filters, newest first. The service looks for them; every order it gives is verified
// by this page before it is shown, like any other.
//
// `ctx` is what app.js lends: {state, render, take}, and what past-order.js needs. Filters and what was found live here until another page is opened.

import { get } from "./api.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { pastOrder } from "./past-order.js";
import { loadShops } from "./shops.js";
import { day, language, problemText, t } from "./texts.js";

const CATEGORIES = ["food", "school", "books", "toys", "transport", "clothes", "health", "fun", "other"];
const OUTCOMES = ["paid", "refused", "expired", "cancelled", "failed", "refunded", "open"];
const PAGE = 20;
const TYPING_MS = 500;

const nothing = () => ({ text: "", wearer: "", shop: "", category: "", outcome: "", from: "", to: "" });

/** `found` holds order ids; `run` counts searches, so that a late answer to an earlier one is dropped. */
let look = null;
let filters = nothing();
let run = 0;
let typing = 0;

/** Another page was opened: what was found may be old by the next visit, but an order leads back here. */
export function left(next) {
  if (next === "order") return;
  run += 1;
  look = null;
  clearTimeout(typing);
}

// ---- looking ----------------------------------------------------------------------------------------------------------------------

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** `2026-11-23`, as this device's calendar has it. */
function today() {
  const now = new Date();
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

function query(names, more = {}) {
  const chosen = names.filter((name) => filters[name]).map((name) => [name, filters[name]]);
  return new URLSearchParams([...chosen, ["tz", zone()], ...Object.entries(more)]).toString();
}

/** Looks on until a page is full; the service gives less where it has to look far. */
async function search(ctx, more) {
  run += 1;
  const mine = run;
  if (!more || !look) look = { found: [], next: null, lookedTo: null, problem: null, hasShops: look?.hasShops ?? false };
  look.busy = true;
  look.problem = null;
  ctx.render();
  const before = look.found.length;
  try {
    if (!look.hasShops) await loadShops(ctx);
    look.hasShops = true;
    do {
      const answer = await get(`/api/guardian/history?${query(Object.keys(filters), look.next ? { before: look.next } : {})}`);
      if (mine !== run) return;
      for (const view of answer.orders) await ctx.take(view);
      if (mine !== run) return;
      look.found.push(...answer.orders.map((view) => view.order_id));
      look.next = answer.next ?? null;
      look.lookedTo = answer.looked_to ?? null;
      ctx.render();
    } while (look.next && look.found.length - before < PAGE);
  } catch (error) {
    if (mine !== run) return;
    look.problem = error;
  }
  look.busy = false;
  announce(t("history.found", { count: look.found.length }));
  ctx.render();
}

function change(ctx, name, value, wait) {
  filters = { ...filters, [name]: value };
  clearTimeout(typing);
  if (wait) typing = setTimeout(() => search(ctx, false), TYPING_MS);
  else search(ctx, false);
}

// ---- the page ---------------------------------------------------------------------------------------------------------------------

/** Elements of the page. */
export function page(ctx) {
  if (!look) queueMicrotask(() => look ?? search(ctx, false));
  const { found = [], next = null, lookedTo = null, problem = null, busy = true } = look ?? {};
  const on = Object.entries(filters).filter(([name, value]) => value && name !== "text").length;
  return [
    h("h1", {}, t("history.title")),
    h("section.card.form", { "aria-label": t("history.search") },
      h("label.field", {}, h("span", {}, t("history.search")),
        h("input", {
          type: "search", value: filters.text, testid: "history-text", maxlength: 60, autocomplete: "off", enterkeyhint: "search",
          oninput: (event) => change(ctx, "text", event.target.value, true),
        })),
      h("details.filters", {},
        h("summary", { testid: "history-filters" }, icon("list"), on ? t("history.filters-on", { count: on }) : t("history.filters")),
        h("div.fields", {}, ...filterFields(ctx)),
        on > 0 && h("button.plain", {
          type: "button", testid: "history-clear", onclick: () => { filters = { ...nothing(), text: filters.text }; search(ctx, false); },
        }, t("history.clear")))),
    h("div.buttons", {},
      h("a.plain", { href: monthAddress(), testid: "month" }, icon("chart"), t("history.month")),
      h("details.filters", {},
        h("summary", { testid: "history-export" }, icon("download"), t("export.title")),
        h("div.form", {},
          h("p.soft", {}, t("export.more")),
          ...["csv", "ofx"].map((format) => h("a.plain", {
            href: `/api/guardian/export?${query(["from", "to", "wearer"], { format })}`, download: "", testid: `export-${format}`,
          }, t(`export.${format}`)))))),
    problem && notice("bad", problemText(problem)),
    h("section.card", { "aria-busy": busy ? "true" : null },
      h("h2.unseen", {}, t("history.results")),
      found.length > 0 && h("ul.history", { testid: "history-found" }, ...found.map((id) => row(ctx, id))),
      found.length === 0 && !busy && h("p.quiet", { testid: "history-none" }, t(on || filters.text ? "history.none" : "home.no-history")),
      busy && h("p.soft", { role: "status" }, t("history.looking")),
      next && lookedTo && h("p.soft", {}, t("history.looked-to", { day: day(lookedTo) })),
      next && busyButton("button.plain", { type: "button", testid: "history-more", onclick: () => search(ctx, true) }, busy, t("home.more"))),
  ];
}

function filterFields(ctx) {
  const { home, shops } = ctx.state;
  const wearers = [...home.names].map(([wearer, { name }]) => [wearer, name]);
  const select = (name, options) => h("label.field", {}, h("span", {}, t(`history.${name}`)),
    h("select", { value: filters[name], testid: `history-${name}`, onchange: (event) => change(ctx, name, event.target.value, false) },
      h("option", { value: "" }, t("history.any")),
      ...options.map(([value, label]) => h("option", { value, selected: filters[name] === value }, label))));
  const date = (name) => h("label.field", {}, h("span", {}, t(`history.${name}`)),
    h("input", { type: "date", value: filters[name], max: today(), testid: `history-${name}`, onchange: (event) => change(ctx, name, event.target.value, false) }));
  return [
    wearers.length > 1 && select("wearer", wearers),
    select("shop", [...shops].map(([shop, { name }]) => [shop, name]).sort(([, one], [, other]) => one.localeCompare(other, language()))),
    select("category", CATEGORIES.map((one) => [one, t(`category.${one}`)])),
    select("outcome", OUTCOMES.map((one) => [one, t(["open", "refunded"].includes(one) ? `history.outcome-${one}` : `outcome.${one}`)])),
    date("from"),
    date("to"),
  ];
}

function monthAddress() {
  const month = (filters.to || filters.from || today()).slice(0, 7);
  return `/app/month/${month}?${query(["wearer"], { lang: language() })}`;
}

function row(ctx, id) {
  const entry = ctx.state.orders.get(id);
  if (entry && !entry.error) return pastOrder(ctx, entry);
  return h("li", { key: id },
    h("a.past", { href: `#/order/${id}` },
      h("span.tile.stop", {}, icon("warning")),
      h("span.what", {}, h("span.name", {}, t("order.unbelievable")), entry && h("span.soft", {}, problemText(entry.error)))));
}
