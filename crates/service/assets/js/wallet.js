// The wallet: what there is and what is held, every movement in words, pocket money, and how money gets in.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}. Balance and movements are the service's word, like in any bank's
// app; each payment of them links to its order, which this page verifies. Pocket money is a signed rule of the household log.

import { get, serviceNow } from "./api.js";
import { randomId } from "./bytes.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { MAX_MANDATE_LIFE_MS } from "./mandates.js";
import { twoNote } from "./people.js";
import { codeBox, qrCanvas } from "./qr.js";
import { heldRules, nameOf } from "./rule-words.js";
import { offsetsBetween } from "./rules.js";
import { day, decimal, fromDecimal, money, problemText, t, when } from "./texts.js";
import { cardTopUp, forget } from "./topup.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const MINUTE_MS = 60_000;
/** How often pocket money comes, and the rule's cap for it. */
const CAPS = { week: "per_week", month: "per_month" };
const LOOKS = { "top-up": ["good", "plus"], standing: ["good", "clock"], card: ["good", "plus"], refund: ["good", "undo"], payment: ["stop", "shop"], "close-out": ["stop", "out"] };

/** What the service said last; older movements that were asked for; the pocket money being set up. */
let wallet = null;
let older = [];
let next = null;
let loading = false;
let problem = null;
let draft = null;
let copied = null;
let amount = "";

/** Another page was opened: what was typed is forgotten, and the wallet is read anew by the next visit. */
export function left() {
  draft = null;
  copied = null;
  problem = null;
  wallet = null;
  forget();
}

/** Reads the wallet again, from the newest movement on. */
export async function changed(ctx) {
  if (loading) return;
  loading = true;
  try {
    wallet = await get("/api/guardian/wallet");
    older = [];
    next = wallet.next ?? null;
    problem = null;
  } catch (error) {
    problem = error;
  }
  loading = false;
  ctx.render();
}

async function loadOlder(ctx) {
  if (loading) return;
  loading = true;
  ctx.render();
  try {
    const page = await get(`/api/guardian/wallet?before=${encodeURIComponent(next)}`);
    older.push(...page.movements);
    next = page.next ?? null;
  } catch (error) {
    problem = error;
  }
  loading = false;
  ctx.render();
}

export function page(ctx) {
  const { state } = ctx;
  if (!wallet && !problem) queueMicrotask(() => changed(ctx));
  return [
    h("h1", {}, t("wallet.title")),
    (problem ?? state.problem) && notice("bad", problemText(problem ?? state.problem)),
    state.home.stopped && notice("bad", t(state.home.stopped === "closed" ? "home.closed" : "home.frozen")),
    ...(wallet ? [balanceCard(), pocketCard(ctx), state.home.stopped !== "closed" && topUpCard(ctx), statementCard(ctx)] : [h("p.quiet", {}, t("loading"))]),
  ];
}

function balanceCard() {
  const { available, held, holds, rail } = wallet;
  return h("section.card.balance", { "aria-label": t("home.balance") },
    h("p", {}, t("wallet.available")),
    h("p.amount", { testid: "wallet-available" }, money(available)),
    rail !== "wallet" && h("p.soft", {}, t(`home.rail-${rail}`)),
    held.minor > 0 && h("p", { testid: "wallet-held" }, t("wallet.held", { total: money(held) })),
    holds.length > 0 && h("ul.plain-list", {}, ...holds.map((hold) => h("li", { key: hold.order },
      h("a.past", { href: `#/order/${hold.order}` },
        h("span.tile.wait", {}, icon("clock")),
        h("span.what", {}, h("span.name", {}, h("bdi", {}, hold.shop)), h("span.soft", {}, when(hold.at))),
        h("span.amount", {}, money(hold.amount)))))));
}

// ---- pocket money ------------------------------------------------------------------------------------------------------------------

/** Rules that let a child spend so much a week or month without asking. */
const pocketRules = (home) => heldRules(home).filter(({ mandate }) =>
  mandate.until > serviceNow() && mandate.approve && (mandate.per_week || mandate.per_month));

/** The local week's or month's first day, counted from 1970-01-01: as the service counts what was spent. */
function firstDay(every) {
  const now = new Date(serviceNow());
  const [year, month, date] = [now.getFullYear(), now.getMonth(), every === "month" ? 1 : now.getDate()];
  const number = Math.floor(Date.UTC(year, month, date) / DAY_MS);
  return every === "week" ? number - ((number + 3) % 7) : number;
}

function spentIn(watch, every) {
  return wallet.spent.find((one) => one.watch === watch && one.every === every && one.first === firstDay(every))?.spent ?? 0;
}

function pocketCard(ctx) {
  const { home } = ctx.state;
  const watches = [...home.book.watches.keys()];
  if (watches.length === 0) return null;
  const rules = pocketRules(home);
  return h("section.card", { testid: "pocket-money" },
    h("h2", {}, t("wallet.pocket-title")),
    rules.length === 0 && !draft && h("p.soft", {}, t("wallet.pocket-lead")),
    h("ul.plain-list", {}, ...rules.map(({ mandate }) => pocketRow(home, mandate))),
    ...wallet.standing.map((one) => h("p.soft", { key: one.schedule, testid: "standing" },
      t(`wallet.standing-${one.every}`, { total: money(one.amount), day: day(one.next) }))),
    draft ? pocketForm(ctx, watches) : h("button.plain", { type: "button", testid: "pocket-new", onclick: () => { draft = { watch: watches[0], amount: "", every: "week", fresh: randomId() }; ctx.render(); } },
      icon("plus"), t("wallet.pocket-new")));
}

function pocketRow(home, mandate) {
  const every = mandate.per_week ? "week" : "month";
  const cap = mandate[CAPS[every]];
  const left = Math.max(0, cap.minor - spentIn(mandate.watch, every));
  return h("li.member", { key: mandate.mandate, testid: "pocket-rule" },
    h("span.tile", {}, icon("watch")),
    h("div", {},
      h("p.name", {}, t(`wallet.pocket-${every}`, { name: nameOf(home, mandate.watch), total: money(cap) })),
      h("p.soft", {}, t(`wallet.pocket-left-${every}`, { total: money({ minor: left, currency: cap.currency }) })),
      h("progress.time", { max: cap.minor, value: left, "aria-label": t(`wallet.pocket-left-${every}`, { total: money({ minor: left, currency: cap.currency }) }) }),
      h("p.soft", {}, t("rule.until", { day: day(mandate.until) }))),
    h("a.round", { href: `#/rules/${mandate.mandate}`, "aria-label": t("rules.change") }, icon("pencil")));
}

/** The rule that is signed, or null where the amount is none. */
function pocketRule(currency) {
  const minor = fromDecimal(draft.amount, currency);
  if (!minor) return null;
  const now = Math.floor(serviceNow() / MINUTE_MS) * MINUTE_MS;
  const until = now + MAX_MANDATE_LIFE_MS;
  const total = { minor, currency };
  return {
    mandate: draft.fresh, version: 1, name: t("wallet.pocket-title"), watch: draft.watch, until, outside: "ask", windows: [],
    offsets: offsetsBetween(now, until), approve: total, [CAPS[draft.every]]: total,
  };
}

function pocketForm(ctx, watches) {
  const { state } = ctx;
  const { currency } = state.home.balance;
  const change = (field) => (event) => {
    draft[field] = event.target.value;
    ctx.render();
  };
  const rule = pocketRule(currency);
  const entry = rule && { "set-mandate": rule };
  const name = nameOf(state.home, draft.watch);
  return h("div.form", { key: "pocket-form" },
    watches.length > 1 && h("label.field", {}, h("span", {}, t("rule.field.watch")),
      h("select", { value: draft.watch, onchange: change("watch") }, ...watches.map((watch) =>
        h("option", { value: watch, selected: watch === draft.watch }, nameOf(state.home, watch))))),
    h("label.field", {}, h("span", {}, t("wallet.pocket-amount", { currency })),
      h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: draft.amount, testid: "pocket-amount", oninput: change("amount") })),
    h("label.field", {}, h("span", {}, t("wallet.pocket-every")),
      h("select", { value: draft.every, testid: "pocket-every", onchange: change("every") }, ...Object.keys(CAPS).map((every) =>
        h("option", { value: every, selected: every === draft.every }, t(`wallet.every-${every}`))))),
    rule && h("p", { testid: "pocket-words" }, t(`wallet.pocket-words-${draft.every}`, { name, total: money(rule.approve), day: day(rule.until) })),
    entry && twoNote(ctx, entry),
    h("div.buttons", {},
      h("button.plain", { type: "button", onclick: () => { draft = null; ctx.render(); } }, t("cancel")),
      busyButton("button.main", {
        type: "button", testid: "pocket-sign", disabled: !rule,
        onclick: () => {
          const proposed = ctx.mustPropose(entry);
          return ctx.act(entry, () => {
            draft = null;
            announce(t(proposed ? "guardians.needs-two" : "wallet.pocket-signed"));
          });
        },
      }, state.busy, icon("key"), t("wallet.pocket-sign"))));
}

// ---- bringing money in -------------------------------------------------------------------------------------------------------------

/** In groups of four, as banks print it. */
const grouped = (text) => text.replace(/(.{4})(?=.)/g, "$1 ");

function copyRow(ctx, label, text, testid, shown = grouped(text)) {
  return h("div.copy", { key: testid },
    h("div", {}, h("p.soft", {}, label), h("p.name", { testid }, shown)),
    h("button.round", {
      type: "button", "aria-label": t("wallet.copy", { what: label }),
      onclick: async () => {
        await navigator.clipboard?.writeText(text).catch(() => {});
        copied = testid;
        announce(t("wallet.copied", { what: label }));
        ctx.render();
      },
    }, icon(copied === testid ? "check" : "copy")));
}

/** EPC069-12: a bank's app reads a transfer from it. Euros only. */
const transferCode = ({ name, iban, bic = "" }, reference, minor) =>
  ["BCD", "002", "1", "SCT", bic, name.slice(0, 70), iban, minor ? `EUR${decimal(minor, "EUR")}` : "", "", reference, "", ""].join("\n").trimEnd();

function topUpCard(ctx) {
  const { currency, top_up: { account, card, reference, words } } = wallet;
  const typed = amount.trim() ? fromDecimal(amount, currency) : 0;
  return h("section.card", { testid: "top-up" },
    h("h2", {}, t("wallet.top-up-title")),
    ...cardTopUp(ctx, wallet.top_up, currency, changed),
    words && h("p.words", { testid: "top-up-words" }, words),
    account && h("p.soft", {}, t("wallet.top-up-bank")),
    !account && !words && h("p.soft", {}, t(card ? "wallet.top-up-else" : "wallet.top-up-ask")),
    account && copyRow(ctx, t("wallet.payee"), account.name, "top-up-payee", h("bdi", {}, account.name)),
    account && copyRow(ctx, t("wallet.iban"), account.iban, "top-up-iban"),
    copyRow(ctx, t("wallet.reference"), reference, "top-up-reference"),
    account && currency === "EUR" && h("details", {},
      h("summary", {}, t("wallet.scan")),
      h("label.field", {}, h("span", {}, t("wallet.scan-amount", { currency })),
        h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: amount, testid: "top-up-amount", oninput: (event) => { amount = event.target.value; ctx.render(); } })),
      typed !== null && codeBox(transferCode(account, reference, typed), "top-up-code", () => qrCanvas(transferCode(account, reference, typed), t("wallet.scan")))),
    h("p.soft", {}, t("wallet.top-up-more")));
}

// ---- statement --------------------------------------------------------------------------------------------------------------------

function statementCard(ctx) {
  const movements = [...wallet.movements, ...older];
  return h("section.card", {},
    h("h2", {}, t("wallet.statement")),
    movements.length === 0 ? h("p.soft", {}, t("wallet.empty")) : h("ul.history", { testid: "statement" }, ...movements.map(movementRow)),
    next && busyButton("button.plain", { type: "button", testid: "wallet-more", onclick: () => loadOlder(ctx) }, loading, t("home.more")));
}

function movementRow({ at, change, kind, order, reason, shop, transfer }) {
  const [look, symbol] = LOOKS[kind] ?? ["wait", "list"];
  const inside = [
    h(`span.tile.${look}`, {}, icon(symbol)),
    h("span.what", {},
      h("span.name", {}, t(`wallet.${kind}`, { shop: shop ?? "" })),
      h("span.soft", {}, [when(at), reason].filter(Boolean).join(" · "))),
    h(`span.amount${change > 0 ? ".in" : ""}`, {}, `${change > 0 ? "+" : "\u2212"}${money({ minor: Math.abs(change), currency: wallet.currency })}`),
  ];
  return h("li", { key: transfer, testid: "movement", "data-kind": kind },
    order ? h("a.past", { href: `#/order/${order}` }, ...inside) : h("div.past", {}, ...inside));
}
