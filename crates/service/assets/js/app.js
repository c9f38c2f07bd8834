// The guardian's pages, for whoever is logged in (login.js). Starts by checking the household log against what this browser
// pinned; then follows the household's events. Pages: #/ (home), #/order/ID, #/household, #/guardians, #/settings,
// and those of `FETCHED`.

import { get, post, serviceNow } from "./api.js";
import { announce, download, focusHeading, h, patch } from "./dom.js";
import { follow } from "./events.js";
import { avatar, busyButton, icon, inDemo, logo, notice, offlineBar, topBar } from "./frame.js";
import {
  freezeButton, freezeNotice, guardianCards, guardianEntryWords, guardiansPage, leaveGuardians,
} from "./guardians.js";
import { VerifyError, readEntry, utf8 } from "./messages.js";
import { endingSaid, orderPage, standing } from "./order.js";
import { forgetPinAsk, openReport, pinControls, pinEntryWords, reportCard, reportWords } from "./pins.js";
import { acts } from "./members.js";
import { cutPage, cutRow, leavingCard, leavingNotice, takeCut } from "./leaving.js";
import { guardianName } from "./people.js";
import { ruleLogWords, ruleNote } from "./rule-words.js";
import { awayCard, firstNodSaid, forgetSettings, hasNodded, settingsPage } from "./settings.js";
import { refreshSessions, sessionNotices, sessionsCard } from "./sessions.js";
import { signWithPasskey } from "./passkey.js";
import { endPush, pushCard, pushPrompt, startPush } from "./push.js";
import { day, exponentOf, money, onLanguage, problemText, t, timeLeft, when, withTexts } from "./texts.js";
import { anchorFile, believe } from "./trust.js";
import { askedTotal as askedOf, verifyOrderView } from "./verify.js";

const KINDS = ["log", "pairing", "order", "requote", "decision", "outcome", "result", "refund", "balance", "pin", "session"];
const ASK_MS = 30_000;
/** Earlier orders that the home page lists; the history has all. */
const RECENT = 5;
/**
 * Pages that are fetched when somebody first goes there, each a script of its own: `page(ctx, id)` gives its elements, `left(next)`
 * forgets what was half done, `changed(ctx, kind)` hears of events.
 */
const FETCHED = {
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
  /** By order id: {view, order (verified) or error, ends, askEnds}. */
  orders: new Map(),
  live: null,
  liveLostAt: null,
  busy: false,
  problem: null,
  loadingOrder: false,
  removing: null,
};
/** The fetched pages, by name. */
const fetched = new Map();
let stopFollowing = null;
let usedCredential = null;
/** Where an order's page leads back to. */
let listPage = "#/";
let closed = null;

const ctx = { state, render, refreshOrder, refreshHome, sign: signEntry, act, minorOf, mustPropose, take, historyRow };

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
    await refreshHome(household);
    const view = await wanted;
    if (view) await take(view);
    await fetchPage(page);
  } catch (error) {
    trouble(error);
  }
  render();
  if (state.phase === "ready" && !stopFollowing) {
    listen();
    startPush(ctx);
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
  await endPush().catch(() => {});
  await post("/api/guardian/logout").catch(() => {});
  state.orders.clear();
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
    await refreshSessions();
    await fetched.get(page)?.changed?.(ctx, null);
  } catch (error) {
    trouble(error);
  }
  render();
}

async function onEvent(kind, data) {
  try {
    if (["log", "balance", "pin"].includes(kind)) await refreshHome();
    if (kind === "session") await refreshSessions();
    if (kind === "pin") tellPin(data.watch);
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

function tellPin(watch) {
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

function minorOf(major) {
  return major * 10 ** exponentOf(state.home.balance.currency);
}

function removeWatch(watch) {
  return act({ "remove-watch": watch }, () => {
    announce(t("household.removed"));
    state.removing = null;
  });
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
  return { page: page in FETCHED || ["order", "household", "guardians", "settings"].includes(page) ? page : "home", id };
}

async function onRoute() {
  const { page, id } = route();
  for (const [name, script] of fetched) if (name !== page) script.left(page);
  leaveGuardians();
  state.removing = null;
  forgetPinAsk();
  if (page !== "settings") forgetSettings();
  if (page !== "order") listPage = page === "history" ? "#/history" : "#/";
  state.problem = null;
  render();
  await fetchPage(page).catch(trouble);
  focusHeading();
  if (page === "order" && state.phase === "ready" && !state.orders.has(id)) {
    state.loadingOrder = true;
    render();
    await refreshOrder(id).catch(trouble);
    render();
  }
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
    ready && leavingNotice(ctx),
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
  if (page === "household") return householdPage();
  if (page === "guardians") return guardiansPage(ctx);
  if (page === "settings") return settingsPage(ctx);
  if (page in FETCHED) return fetched.get(page)?.page(ctx, id) ?? [unfetched()];
  return homePage();
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

const nameOf = (order) => state.home.names.get(order.order.payload.wearer)?.name ?? t("wearer.unknown");
const askedTotal = ({ bill, order, requote }) =>
  requote ? { minor: requote.payload.total, currency: requote.payload.currency } : askedOf(bill.payload, order.payload.without);
const entries = () => [...state.orders.values()].sort((one, other) => startOf(other) - startOf(one));
const startOf = (entry) => entry.order?.order.payload.created ?? (entry.cut ? entry.view.received : Infinity);
const waitingOrders = () => entries().filter((entry) => entry.error || entry.view.state === "waiting");

function homePage() {
  const { balance, book } = state.home;
  const waiting = waitingOrders();
  const past = entries().filter((entry) => !entry.error && entry.view.state !== "waiting").slice(0, RECENT);
  const watches = [...book.watches.values()];
  return [
    h("h1.unseen", {}, t("home.title")),
    state.problem && notice("bad", problemText(state.problem)),
    state.home.stopped && notice("bad", t(state.home.stopped === "closed" ? "home.closed" : "home.frozen")),
    awayCard(ctx),
    ...waiting.map(waitingCard),
    ...sessionNotices(ctx),
    ...guardianCards(ctx),
    pushPrompt(ctx),
    ...watches.map((watch) => reportCard(state.home, watch)),
    h("section.card.balance", { "aria-label": t("home.balance") },
      ...(state.home.rail === "wallet"
        ? [h("p", {}, t("home.balance")), h("p.amount", { testid: "balance" }, money(balance))]
        : [h("p", { testid: "rail" }, t(`home.rail-${state.home.rail}`))]),
      watches.length > 0 && h("ul.wearers", {}, ...wearersOf(watches).map(({ name, count }) =>
        h("li", {}, avatar(name), h("span", {}, name), count > 1 && h("span", {}, t("home.watches", { count })))))),
    watches.length === 0 && h("section.card.center", {},
      h("span.tile", {}, icon("watch", "large")), h("p.lead", {}, t("home.no-watch")),
      h("a.main", { href: "#/pair", testid: "pair" }, icon("plus"), t("home.add-watch"))),
    waiting.length === 0 && watches.length > 0 && h("p.quiet", {}, icon("check"), t("home.nothing")),
    h("section.card", {},
      h("h2", {}, t("home.history")),
      past.length === 0 ? h("p.soft", {}, t("home.no-history")) : h("ul.history", {}, ...past.map(historyRow)),
      past.length > 0 && h("a.plain", { href: "#/history", testid: "history" }, icon("clock"), t("home.all"))),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/rules", testid: "rules" }, icon("list"), t("home.rules")),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/wallet" }, icon("wallet"), t("nav.wallet")),
    watches.length > 0 && inDemo() && h("a.plain", { href: "#/household" }, icon("person"), t("nav.household")),
  ];
}

function wearersOf(watches) {
  const counts = new Map();
  for (const { wearer } of watches) counts.set(wearer, (counts.get(wearer) ?? 0) + 1);
  return [...counts].map(([wearer, count]) => ({ name: state.home.names.get(wearer)?.name ?? t("wearer.unknown"), count }));
}

function waitingCard(entry) {
  const { view } = entry;
  if (entry.error) {
    return h("a.card.waiting.bad", { href: `#/order/${view.order_id}`, key: view.order_id },
      icon("warning", "large"), h("div", {}, h("p.name", {}, t("order.unbelievable")), h("p.soft", {}, problemText(entry.error))), icon("next"));
  }
  const name = nameOf(entry.order);
  return h("a.card.waiting", { href: `#/order/${view.order_id}`, key: view.order_id, testid: "waiting-order" },
    avatar(name),
    h("div", {},
      h("p.name", {}, t("home.asks", { name })),
      entry.order.first && h("p.nodded", { testid: "waiting-nod" }, hasNodded(state, entry.order) ? t("nods.one-more") : firstNodSaid(state, entry.order)),
      h("p.soft", {}, h("bdi", {}, entry.order.certificate.payload.name), " · ", t("order.time-left", { time: timeLeft(entry.ends - performance.now()) }))),
    h("strong.amount", {}, money(entry.order.first?.payload.total ?? askedTotal(entry.order))),
    icon("next"));
}

function historyRow(entry) {
  if (entry.cut) return cutRow(ctx, entry);
  const { order, view } = entry;
  const kind = order.outcome?.payload.outcome ?? standing(view);
  const total = order.outcome?.payload.total ?? order.decision?.payload.total ?? askedTotal(order);
  const look = { paid: "good", holding: "wait", approved: "wait", paying: "wait" }[kind] ?? "stop";
  const symbol = { paid: "check", holding: "clock", approved: "clock", paying: "clock", expired: "clock", failed: "warning" }[kind] ?? "cross";
  return h("li", { key: view.order_id },
    h("a.past", { href: `#/order/${view.order_id}`, testid: "past-order", "data-outcome": kind },
      h(`span.tile.${look}`, {}, icon(symbol)),
      h("span.what", {},
        h("span.name", {}, h("bdi", {}, order.certificate.payload.name)),
        h("span.soft", {}, `${nameOf(order)} · ${when(order.order.payload.created)} · ${t(`outcome.${kind}`)}`),
        order.mandate && h("span.soft", { testid: "past-rule" }, ruleNote(state, entry).text),
        view.refunded && h("span.soft", { testid: "past-refunded" }, t("history.refunded", { total: money(view.refunded) }))),
      h(`span.amount${kind === "paid" ? "" : ".soft"}`, {}, money(total))));
}

function householdPage() {
  const { book, guardian, names, trust } = state.home;
  return [
    h("h1", {}, t("household.title")),
    state.problem && notice("bad", problemText(state.problem)),
    h("section.card", {},
      h("h2", {}, t("household.guardians")),
      h("ul.plain-list", {}, ...[...book.folded.members.values()].filter((member) => acts(member, serviceNow())).map(({ guardian: one }) =>
        h("li.member", {}, h("span.tile", {}, icon("person")), h("div", {},
          h("p.name", {}, one.guardian === guardian.guardian ? t("household.you") : guardianName(state.home, one.guardian)))))),
      h("a.plain", { href: "#/guardians", testid: "guardians" }, icon("person"), t("guardians.manage"))),
    h("section.card", {},
      h("h2", {}, t("household.watches")),
      book.watches.size === 0 && h("p.soft", {}, t("home.no-watch")),
      h("ul.plain-list", {}, ...[...book.watches.values()].map((watch) => watchRow(watch, names.get(watch.wearer)?.name ?? t("wearer.unknown")))),
      h("a.plain", { href: "#/pair", testid: "pair" }, icon("plus"), t("home.add-watch"))),
    pushCard(),
    sessionsCard(ctx),
    h("section.card", {},
      h("h2", {}, t("files.anchor-title")),
      h("p.soft", {}, t("files.anchor-more")),
      h("button.plain", { type: "button", testid: "anchor", onclick: () => download("nodpay-anchor.json", anchorFile(book, trust)) }, icon("download"), t("files.anchor"))),
    leavingCard(ctx),
    h("section.card", {},
      h("h2", {}, t("household.log")),
      h("ol.log", {}, ...book.entries.map((entry) => h("li", {}, h("span", {}, logWords(entry)), h("time.soft", {}, when(entry.at)))))),
    h("button.plain", { type: "button", testid: "logout", onclick: logOut }, icon("out"), t("household.log-out")),
  ];
}

function watchRow(watch, name) {
  const enrolled = state.home.book.entries.find(({ entry }) => entry.kind === "enrol-watch" && entry.content.watch === watch.watch);
  const asking = state.removing === watch.watch;
  const capped = watch.new_watch_cap.until > serviceNow();
  return h("li.member", { key: watch.watch },
    h("span.tile", {}, icon("watch")),
    h("div", {},
      h("p.name", {}, t("household.watch-of", { name })),
      h("p.soft", {}, t("household.since", { day: day(enrolled.at) })),
      capped && h("p.soft", {}, t("household.capped", { cap: money(watch.new_watch_cap.per_payment), until: when(watch.new_watch_cap.until) })),
      asking && h("div.ask", {},
        h("p", {}, t("household.remove-sure", { name })),
        h("div.buttons", {},
          h("button.plain", { type: "button", onclick: () => { state.removing = null; render(); } }, t("cancel")),
          busyButton("button.main.stop", { type: "button", testid: "remove-confirm", onclick: () => removeWatch(watch.watch) }, state.busy, t("household.remove-now"))))),
    !asking && h("button.round", { type: "button", testid: "remove-watch", "aria-label": t("household.remove", { name }), onclick: () => { state.removing = watch.watch; render(); } }, icon("trash")),
    !asking && h("div.controls", {}, ...pinControls(ctx, watch, name)));
}

function logWords(entry) {
  const words = guardianEntryWords(state.home, entry);
  if (words) return words;
  const { kind, content } = entry.entry;
  if (kind === "set-mandate" || kind === "end-mandate") return ruleLogWords(entry.entry, state.home.book);
  const watch = kind === "enrol-watch" ? content : state.home.book.watchEver(content.watch ?? content);
  const name = watch && (state.home.names.get(watch.wearer)?.name ?? t("wearer.unknown"));
  if (kind === "pin-command" || kind === "set-session") return pinEntryWords(entry.entry, name);
  return t(`log.${kind}`, { name });
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
