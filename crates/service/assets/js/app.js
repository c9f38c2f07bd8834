// The guardian's pages, for whoever is logged in (login.js). Starts by checking the household log against what this browser
// pinned; then follows the household's events. Pages: #/order/ID, and those of `FETCHED`.

import { get, post, serviceNow } from "./api.js";
import { utf8 } from "./bytes.js";
import { cutPage, takeCut } from "./cut.js";
import { announce, focusHeading, h, patch } from "./dom.js";
import { erasingNotice } from "./erasing.js";
import { follow } from "./events.js";
import { icon, inDemo, logo, notice, offlineBar, topBar } from "./frame.js";
import { freezeButton, freezeNotice } from "./freeze.js";
import { VerifyError, readEntry } from "./messages.js";
import { firstNodSaid } from "./nods.js";
import { endingSaid, orderPage } from "./order.js";
import { signWithPasskey } from "./passkey.js";
import { guardianName } from "./people.js";
import { ruleNote } from "./rule-words.js";
import { forgetAsked } from "./signing.js";
import { money, onLanguage, problemText, t, when, withTexts } from "./texts.js";
import { believe } from "./trust.js";
import { askedTotal as askedOf, verifyOrderView } from "./verify.js";

const KINDS = ["log", "pairing", "order", "requote", "decision", "outcome", "result", "refund", "balance", "pin", "session"];
const ASK_MS = 30_000;
/**
 * Pages that are fetched when somebody first goes there, each a script of its own: `page(ctx, id)` gives its elements, `left(next)`
 * forgets what was half done, `changed(ctx, kind)` hears of events (null: of all that may have been missed). A push leads to an order
 * while a child waits, so only that page comes at once.
 */
const FETCHED = {
  home: () => withTexts("home", import("./home.js")),
  household: () => withTexts("household", import("./household.js")),
  guardians: () => withTexts("guardians", import("./guardians.js")),
  settings: () => withTexts("settings", import("./settings.js")),
  pair: () => withTexts("pairing", import("./pairing.js")),
  invite: () => withTexts("invite", import("./invite.js")),
  codes: () => withTexts("codes", import("./codes.js")),
  rules: () => withTexts("rules", import("./rules.js")),
  history: () => withTexts("history", import("./history.js")),
  wallet: () => withTexts("wallet", import("./wallet.js")),
};
/** Pages that show time running; the others are drawn anew only when something happened, so that a form keeps still. */
const TICKING = ["home", "order", "pair", "invite"];

const state = {
  /** starting, closed (login.js has the page), ready, unreachable, or broken (what the service says does not verify). */
  phase: "closed",
  service: null,
  can: null,
  /** The verified household: book, trust, names, guardian, balance. */
  home: null,
  /** By order id: {view, order (verified), error or cut (what is left of it), ends, askEnds}. */
  orders: new Map(),
  /** Where the household bought lately, once a page has asked (shops.js). */
  shops: new Map(),
  live: null,
  liveLostAt: null,
  busy: false,
  problem: null,
  /** Why a guardian's freeze did not come about. Only another tap takes it away, or another page. */
  freezeProblem: null,
  loadingOrder: false,
  /** The browser's offer to install this page as an app. */
  installPrompt: null,
};
/** The fetched pages, by name. */
const fetched = new Map();
let stopFollowing = null;
let usedCredential = null;
/** Where an order's page leads back to. */
let listPage = "#/";
let closed = null;

const ctx = {
  state, render, refreshOrder, refreshHome, sign: signEntry, act, mustPropose, take, nameOf, askedTotal, entries, waitingOrders, logOut,
};

/** A browser offers once, maybe before anybody is logged in. */
function offered(event) {
  event.preventDefault();
  state.installPrompt = event;
  render();
}

addEventListener("beforeinstallprompt", offered);
addEventListener("appinstalled", () => {
  state.installPrompt = null;
  render();
});

// ---- start, end ----------------------------------------------------------------------------------------------------------------

/**
 * Takes the page; `door` is {service, can, usedCredential, closed}, and {household, order} where these have been asked for. `closed()`
 * gives the page back when the session has ended.
 */
export async function open(door) {
  const first = closed === null;
  ({ closed, usedCredential } = door);
  Object.assign(state, { service: door.service, can: door.can, phase: "starting" });
  if (first) {
    onLanguage(render);
    addEventListener("hashchange", onRoute);
    setInterval(tick, 1000);
  }
  await enter(door);
}

async function enter({ household, order } = {}) {
  const { page, id } = route();
  try {
    const wanted = page === "order" ? (order ?? get(`/api/guardian/orders/${id}`)).catch(() => null) : null;
    const script = fetchPage(page);
    script.catch(() => {}); // waited for below
    await refreshHome(household);
    const view = await wanted;
    if (view) await take(view);
    await script;
  } catch (error) {
    trouble(error);
  }
  render();
  if (state.phase === "ready" && !stopFollowing) {
    listen();
    pushScript().then(({ startPush }) => startPush(ctx)).catch(() => {}); // without notifications everything else works
  }
}

function trouble(error) {
  if (error.code === "not-logged-in" || error.code === "not-pinned") {
    end();
  } else if (error instanceof VerifyError) {
    Object.assign(state, { phase: "broken", problem: error });
  } else {
    state.problem = error;
    if (state.phase === "starting") state.phase = "unreachable";
  }
}

function end() {
  stopFollowing?.();
  stopFollowing = null;
  state.phase = "closed";
  closed();
}

async function logOut() {
  stopFollowing?.();
  stopFollowing = null;
  await pushScript().then(({ endPush }) => endPush()).catch(() => {});
  await post("/api/guardian/logout").catch(() => {});
  state.orders.clear();
  state.shops.clear();
  state.home = null;
  location.hash = "#/";
  end();
}

// ---- what the service says, verified before it is kept --------------------------------------------------------------------------

function listen() {
  stopFollowing = follow("/api/guardian/events", KINDS, {
    onEvent,
    onOpen: refreshAll,
    onState(live) {
      if (live === "live") state.liveLostAt = null;
      else state.liveLostAt ??= Date.now();
      state.live = live;
      render();
    },
  });
}

async function refreshAll() {
  try {
    await refreshHome();
    await refreshOrders();
    const { page, id } = route();
    if (page === "order" && !state.orders.has(id)) await refreshOrder(id);
    await fetched.get(page)?.changed?.(ctx, null);
  } catch (error) {
    trouble(error);
  }
  render();
}

async function onEvent(kind, data) {
  try {
    if (["log", "balance", "pin"].includes(kind)) await refreshHome();
    if (kind === "pin") await tellPin(data.watch);
    await fetched.get(route().page)?.changed?.(ctx, kind);
    if (data.order) {
      await refreshOrder(data.order);
      if (kind === "order") tellOrder(data.order);
      if (kind === "decision") tellRule(data.order);
      if (kind === "decision") announce(firstNodSaid(state, state.orders.get(data.order)?.order));
      if (kind === "outcome") await refreshHome();
      if (kind === "decision") tellDecision(data.order);
      if (kind === "outcome" || kind === "result") announce(endingSaid(state.orders.get(data.order), kind, state.home.names));
    }
  } catch (error) {
    trouble(error);
  }
  render();
}

function tellOrder(id) {
  const entry = state.orders.get(id);
  if (!entry?.order || entry.view.state !== "waiting" || !(entry.view.asked ?? []).includes(state.home.guardian.guardian)) return;
  announce(t("home.asks-said", { name: nameOf(entry.order), total: money(askedTotal(entry.order)) }));
  if (inDemo() && ["home", "pair"].includes(route().page)) location.hash = `#/order/${id}`;
}

function tellDecision(id) {
  const decision = state.orders.get(id)?.order?.decision?.payload;
  if (!decision || decision.guardian === state.home.guardian.guardian) return;
  announce(t(`order.answered.${decision.verdict}`, { name: guardianName(state.home, decision.guardian), time: when(decision.at) }));
}

/** Paid or to be paid without anybody's nod. */
function tellRule(id) {
  const entry = state.orders.get(id);
  if (entry?.order && !entry.order.decision && !entry.order.first) announce(ruleNote(state, entry)?.text);
}

async function tellPin(watch) {
  const { openReport, reportWords } = await withTexts("pins", import("./pins.js"));
  const report = openReport(state.home, watch);
  const wearer = state.home.book.watches.get(watch)?.wearer;
  if (report && !report.answer) announce(reportWords(report, state.home.names.get(wearer)?.name ?? t("wearer.unknown")));
}

async function refreshHome(asked = get("/api/guardian/household")) {
  const household = await asked;
  const believed = await believe(household, usedCredential);
  const { balance } = household;
  state.home = {
    ...believed,
    /** What the operator did to it: closed or frozen. */
    rail: household.rail,
    stopped: household.closed ? "closed" : household.frozen ? "frozen" : null,
    /** A guardian's freeze: {by, at}. The service's word, like the balance. */
    freeze: household.freeze ?? null,
    /** How long what is kept: {orders_days, books_years}. */
    keep: household.keep,
    /** By guardian, until when they are away. The service's word too. */
    away: new Map(household.away.map(({ guardian, until }) => [guardian, until])),
    balance: typeof balance === "number" ? { minor: balance, currency: household.currency } : { minor: balance.minor, currency: balance.currency },
  };
  state.phase = "ready";
  state.problem = null;
  if (state.home.freeze) state.freezeProblem = null;
}

async function refreshOrders() {
  const { orders } = await get("/api/guardian/orders");
  for (const view of orders) await take(view);
}

async function refreshOrder(id) {
  state.loadingOrder = !state.orders.has(id);
  try {
    await take(await get(`/api/guardian/orders/${id}`));
  } catch (error) {
    if (error.code !== "order-unknown" && error.code !== "not-found") throw error;
  } finally {
    state.loadingOrder = false;
  }
  render();
}

/** Verifies an order view and keeps it; what does not verify is kept only as its error. */
async function take(view) {
  const entry = {
    view,
    order: null,
    error: null,
    ends: performance.now() + (view.left_ms ?? 0),
    askEnds: performance.now() + (view.ask?.left_ms ?? ASK_MS),
  };
  try {
    try {
      if (view.cut) entry.cut = await takeCut(view, state.home.trust.root);
      else entry.order = await verifyOrderView(view, state.home.book, state.home.trust);
    } catch (error) {
      if (!["unknown-log-head", "unknown-watch", "unknown-mandate"].includes(error.code)) throw error;
      await refreshHome(); // the log may have grown since
      entry.order = await verifyOrderView(view, state.home.book, state.home.trust);
    }
  } catch (error) {
    entry.error = error instanceof VerifyError ? error : new VerifyError("malformed-message", String(error));
  }
  state.orders.set(view.order_id, entry);
}

/** Whether another guardian must second this entry (as it goes into the log). */
function mustPropose(entry) {
  return state.home.book.mustPropose(readEntry(entry), serviceNow());
}

/** Signs the next entry of the household log and sends it; proposes it where another guardian must agree. */
async function signEntry(change, beside) {
  await refreshHome();
  const { book, guardian } = state.home;
  const said = {
    v: 1, household: book.household, seq: book.heads.length, prev: book.head, guardian: guardian.guardian,
    at: Math.max(serviceNow(), book.lastAt), entry: mustPropose(change) ? { propose: change } : change,
  };
  const wire = await signWithPasskey(state.service, "log", utf8(JSON.stringify(said)), guardian.credential);
  await book.assertion("log", wire);
  await post("/api/guardian/log", { entry: wire, ...beside });
  await refreshHome();
}

/** Signs an entry at a person's touch; `done` follows when the service has it. */
async function act(entry, done) {
  if (state.busy) return;
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    await signEntry(entry, {});
    done();
  } catch (error) {
    trouble(error);
    state.problem = error;
  }
  state.busy = false;
  render();
}

// ---- pages ---------------------------------------------------------------------------------------------------------------------------

function route() {
  const [, page = "", id = ""] = location.hash.split("/");
  return { page: page in FETCHED || page === "order" ? page : "home", id };
}

async function onRoute() {
  const { page, id } = route();
  for (const [name, script] of fetched) if (name !== page) script.left(page);
  forgetAsked();
  if (page !== "order") listPage = page === "history" ? "#/history" : "#/";
  Object.assign(state, { problem: null, freezeProblem: null });
  render();
  await fetchPage(page).catch(trouble);
  focusHeading();
  if (state.phase === "ready") fetched.get(page)?.changed?.(ctx, null).then(render, trouble);
  if (page === "order" && state.phase === "ready" && !state.orders.has(id)) {
    state.loadingOrder = true;
    render();
    await refreshOrder(id).catch(trouble);
    render();
  }
}

function pushScript() {
  return withTexts("push", import("./push.js"));
}

/** Fetches the page's script and words where it has its own. */
async function fetchPage(page) {
  if (!(page in FETCHED) || fetched.has(page)) return;
  try {
    fetched.set(page, await FETCHED[page]());
  } finally {
    render();
  }
}

function tick() {
  const { activeElement } = document;
  if (state.phase !== "ready" || !TICKING.includes(route().page)) return;
  if (activeElement?.nodeName === "SELECT") return; // an open list must not be touched
  render();
}

function render() {
  if (state.phase === "closed") return;
  const { page, id } = route();
  const ready = state.phase === "ready";
  const waiting = ready ? waitingOrders().length : 0;
  document.title = `${waiting && page !== "order" ? `(${waiting}) ` : ""}${t("app.title")} · ${t("brand")}`;
  const back = ready && page !== "home" ? { href: page === "order" ? listPage : "#/", label: t("back") } : null;
  const next = h("div.page", { id: "page", "data-view": ready ? page : state.phase },
    topBar({ live: ready ? state.live ?? "connecting" : null, back, more: ready && freezeButton(ctx) }),
    ready && erasingNotice(ctx),
    ready && freezeNotice(ctx),
    ready && offlineBar(state.live, state.liveLostAt),
    h(`main.narrow.${page}`, { key: `${state.phase}-${page}-${id}` }, ...content(page, id)),
    ready && page !== "order" && !inDemo() && bottomBar(page));
  patch(document.getElementById("page"), next);
}

function content(page, id) {
  switch (state.phase) {
    case "starting": return [h("div.hero", {}, logo(), h("p.lead", {}, t("loading")))];
    case "unreachable": return [
      h("h1", {}, t("app.unreachable")), notice("bad", problemText(state.problem)),
      h("button.main", { type: "button", onclick: () => { state.phase = "starting"; enter(); } }, icon("undo"), t("again")),
    ];
    case "broken": return brokenPage();
    default: break;
  }
  if (page === "order" && state.orders.get(id)?.cut) return cutPage(ctx, state.orders.get(id));
  if (page === "order") return orderPage(ctx, id);
  return fetched.get(page)?.page(ctx, id) ?? [unfetched()];
}

function brokenPage() {
  return [
    h("h1", {}, t("broken.title")),
    notice("bad", problemText(state.problem), h("p", {}, t("broken.more"))),
    h("p.code", { testid: "verify-error" }, state.problem.code),
    h("button.plain", { type: "button", onclick: () => { state.phase = "starting"; enter(); } }, icon("undo"), t("again")),
    h("button.plain", { type: "button", onclick: logOut }, icon("out"), t("household.log-out")),
  ];
}

/** A page whose script has not come: it may be of an edition that the service no longer has. */
function unfetched() {
  return state.problem
    ? h("section.card.center", {}, notice("bad", problemText(state.problem)),
      h("button.main", { type: "button", onclick: () => location.reload() }, icon("undo"), t("again")))
    : h("p.lead", {}, t("loading"));
}

function nameOf(order) {
  return state.home.names.get(order.order.payload.wearer)?.name ?? t("wearer.unknown");
}

function askedTotal({ bill, order, requote }) {
  return requote ? { minor: requote.payload.total, currency: requote.payload.currency } : askedOf(bill.payload, order.payload.without);
}

/** All orders that are known, the newest first. */
function entries() {
  const startOf = ({ order, cut, view }) => order?.order.payload.created ?? (cut ? view.received : Infinity);
  return [...state.orders.values()].sort((one, other) => startOf(other) - startOf(one));
}

function waitingOrders() {
  return entries().filter((entry) => entry.error || entry.view.state === "waiting");
}

function bottomBar(page) {
  const link = (target, href, symbol, label) =>
    h("a", { href, "aria-current": page === target ? "page" : null }, icon(symbol), h("span", {}, label));
  return h("nav.bottom", { "aria-label": t("nav.label") },
    link("home", "#/", "home", t("nav.home")),
    link("history", "#/history", "clock", t("nav.history")),
    link("wallet", "#/wallet", "wallet", t("nav.wallet")),
    link("rules", "#/rules", "list", t("nav.rules")),
    link("household", "#/household", "person", t("nav.household")));
}
