// /app: the door. Who is not known to this browser logs in here; the guardian's pages (app.js) are fetched for whoever is, and
// give the page back when the session has ended.

import { Problem, get, post } from "./api.js";
import { focusHeading, h, patch } from "./dom.js";
import { busyButton, icon, logo, notice, topBar } from "./frame.js";
import { forgetPin, readPin } from "./pinned.js";
import { span } from "./spans.js";
import { day, onLanguage, problemText, startTexts, t, withTexts } from "./texts.js";

const state = {
  /** starting, login, unreachable, or open: the page is the guardian's pages'. */
  phase: "starting",
  service: null,
  can: null,
  /** Scripts that the login works with; the page shows before they have come. */
  passkey: null,
  bytes: null,
  /** When all of these are there. */
  prepared: null,
  busy: false,
  problem: null,
  /** The household that this browser knows was erased: {at, books_years}. */
  gone: null,
};

async function start() {
  const service = get("/api/service").catch((error) => error);
  const early = readPin() ? askEarly() : {};
  await startTexts("login");
  onLanguage(render);
  await enter(service, early);
}

/** What the guardian's pages will want first. Whoever awaits these hears of what went wrong. */
function askEarly() {
  const order = /^#\/order\/([\w-]+)$/.exec(location.hash)?.[1];
  const early = { household: get("/api/guardian/household"), order: order && get(`/api/guardian/orders/${order}`) };
  for (const asked of [early.household, early.order, import("./app.js")]) asked?.catch(() => {});
  return early;
}

async function enter(asked, early = {}) {
  const pinned = readPin() !== null;
  Object.assign(state, { phase: pinned ? "starting" : "login", problem: null, prepared: prepare(asked) });
  render();
  try {
    await state.prepared;
    if (pinned) await open(null, early);
  } catch (error) {
    Object.assign(state, { phase: "unreachable", problem: error });
  }
  render();
}

/** Learns what service this is, and what this browser can do with it. */
async function prepare(asked) {
  const scripts = Promise.all([import("./passkey.js"), import("./bytes.js")]).catch(() => {
    throw new Problem("offline");
  });
  const [service, [passkey, bytes]] = await Promise.all([asked, scripts]);
  if (service instanceof Error) throw service;
  Object.assign(state, { service, passkey, bytes, can: await passkey.support(service) });
}

/** Gives the page to the guardian's pages. `usedCredential` is the passkey that just logged in here. */
async function open(usedCredential, early = {}) {
  const pages = await withTexts("app", import("./app.js"));
  const { service, can } = state;
  state.phase = "open";
  await pages.open({ service, can, usedCredential, closed, ...early });
}

/** The session has ended. */
async function closed() {
  state.phase = "login";
  render();
  const pin = readPin();
  state.gone = pin && (await get(`/api/households/${pin.household}/erased`).catch(() => null));
  render();
}

async function logIn(software) {
  if (state.busy) return;
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    await state.prepared;
    const { service, passkey, bytes } = state;
    const { challenge } = await post("/api/guardian/login-challenge");
    const keys = software ? await passkey.softwareKeys(service) : [];
    const pinned = readPin()?.credential;
    const credential = software ? (keys.includes(pinned) ? pinned : keys.at(-1)) : null;
    if (software && !credential) throw new Problem("passkey-none");
    const wire = await passkey.signWithPasskey(service, "login", bytes.fromBase64Url(challenge), credential);
    await post("/api/guardian/login", { assertion: wire });
    await open(bytes.credentialOf(wire));
    if (location.hash === "" || location.hash === "#/") focusHeading();
  } catch (error) {
    Object.assign(state, { phase: "login", problem: error });
  }
  state.busy = false;
  render();
}

function render() {
  if (state.phase === "open") return;
  document.title = `${t("app.title")} · ${t("brand")}`;
  patch(document.getElementById("page"), h("div.page", { id: "page", "data-view": state.phase },
    topBar(),
    h("main.narrow.home", { key: state.phase }, ...content())));
}

function content() {
  if (state.phase === "starting") return [h("div.hero", {}, logo(), h("p.lead", {}, t("loading")))];
  if (state.phase === "unreachable") {
    return [
      h("h1", {}, t("app.unreachable")), notice("bad", problemText(state.problem)),
      h("button.main", { type: "button", onclick: () => enter(get("/api/service").catch((error) => error)) }, icon("undo"), t("again")),
    ];
  }
  if (state.gone) return gonePage(state.gone);
  const software = state.service?.demo && !state.can?.passkey;
  return [
    h("div.hero", {}, logo(), h("h1", {}, t("login.title")), h("p.lead", {}, t("login.lead"))),
    state.problem && notice("bad", problemText(state.problem)),
    software && notice("wait", t("passkey.software-note")),
    busyButton("button.main", { type: "button", testid: "login", onclick: () => logIn(software) }, state.busy, icon("key"), software ? t("login.start-software") : t("login.start")),
    state.service?.demo && !software && h("button.plain", { type: "button", testid: "login-software", onclick: () => logIn(true) }, t("login.start-software")),
    h("p.soft", {}, t("login.new")),
    h("a.plain", { href: "/recover" }, t("recover.title")),
  ];
}

function gonePage({ at, books_years: years }) {
  return [
    h("div.hero", { testid: "erased" }, logo(), h("h1", {}, t("erased.title")), h("p.lead", {}, t("erased.more", { day: day(at) }))),
    h("p.soft", {}, t("erased.books", { span: span(years, "years") })),
    h("button.main", {
      type: "button", testid: "erased-forget",
      onclick: () => { forgetPin(); state.gone = null; render(); },
    }, icon("check"), t("erased.forget")),
  ];
}

start();
