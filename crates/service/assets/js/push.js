// Notifications on this phone: the service worker, the card with their settings, a gentle question on the home page, and the hint
// to install. The service is told the browser's subscription anew at each start, so it knows the session it belongs to.

import { Problem, get, post } from "./api.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, inDemo, notice } from "./frame.js";
import { language, onLanguage, t } from "./texts.js";

const DETAILS = ["plain", "total", "items"];
const ASKED = "nodpay.push.asked";
const INSTALLED_ASKED = "nodpay.install.asked";
/** A browser that does not reach its push service never answers. */
const SUBSCRIBE_MS = 20_000;

/** off-here (the service sends none), unsupported, ios, blocked, off or on; null until it is known. */
let standing = null;
let key = null;
let detail = "plain";
let busy = null;
let problem = null;
let tested = false;
let ctx = null;

const isIos = () => /iP(hone|ad|od)/.test(navigator.userAgent) || (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);
const isInstalled = () => matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;

/** Once a guardian is logged in. Never throws: without notifications everything else works. */
export async function startPush(app) {
  if (inDemo()) return;
  if (!ctx) {
    onLanguage(() => sync().catch(() => {}));
    navigator.serviceWorker?.addEventListener("message", ({ data }) => {
      if (typeof data?.open === "string") location.hash = data.open;
    });
  }
  ctx = app;
  try {
    const worker = navigator.serviceWorker && await navigator.serviceWorker.register("/sw.js", { scope: "/", updateViaCache: "none" });
    ({ key } = await get("/api/guardian/push"));
    if (worker && "PushManager" in window && "Notification" in window) await sync();
    else standing = isIos() && !isInstalled() ? "ios" : "unsupported";
  } catch (error) {
    standing = error.code === "push-off" ? "off-here" : standing ?? "unsupported";
  }
  ctx.render();
}

const subscription = async () => (await navigator.serviceWorker.ready).pushManager.getSubscription();

/** Tells the service what the browser has, and takes over what the service knows. */
async function sync(chosen) {
  if (!key || Notification.permission === "denied") {
    standing = key ? "blocked" : standing;
    return;
  }
  const own = await subscription();
  if (own && !fits(own)) await own.unsubscribe(); // made with a key of before
  standing = own && fits(own) && Notification.permission === "granted" ? "on" : "off";
  if (standing === "on") await tell(own, chosen);
}

const fits = ({ options }) => toBase64Url(options.applicationServerKey) === key;

async function tell(own, chosen) {
  const { endpoint, keys } = own.toJSON();
  const answer = await post("/api/guardian/push", { endpoint, ...keys, language: language(), ...(chosen && { detail: chosen }) });
  ({ detail } = answer);
}

function toBase64Url(buffer) {
  const bytes = String.fromCharCode(...new Uint8Array(buffer ?? []));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function act(what, work) {
  if (busy) return;
  busy = what;
  problem = null;
  tested = false;
  ctx.render();
  try {
    await work();
  } catch (error) {
    problem = error instanceof Problem ? error : new Problem("push-browser");
    if (problem.code === "push-unknown") standing = "off";
  }
  busy = null;
  ctx.render();
}

const turnOn = () => act("on", async () => {
  forget(ASKED);
  if (await Notification.requestPermission() === "denied") {
    standing = "blocked";
    return;
  }
  const { pushManager } = await navigator.serviceWorker.ready;
  const late = new Promise((_, reject) => { setTimeout(() => reject(new Problem("push-browser")), SUBSCRIBE_MS); });
  const own = await Promise.race([pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }), late]);
  await tell(own);
  standing = "on";
  announce(t("push.on-said"));
});

const turnOff = () => act("off", async () => {
  await endPush();
  announce(t("push.off-said"));
});

/** This phone is not woken any more; also before logging out. */
export async function endPush() {
  if (standing !== "on") return;
  const own = await subscription();
  standing = "off";
  if (!own) return;
  await post("/api/guardian/push/remove", { endpoint: own.endpoint });
  await own.unsubscribe();
}

const choose = (chosen) => act("detail", async () => tell(await subscription(), chosen));

const test = () => act("test", async () => {
  await post("/api/guardian/push/test", { endpoint: (await subscription())?.endpoint ?? "" });
  tested = true;
  announce(t("push.tested"));
});

// ---- what is shown -----------------------------------------------------------------------------------------------------------------

const wasAsked = (what) => {
  try {
    return localStorage.getItem(what) !== null;
  } catch {
    return false;
  }
};

function forget(what) {
  try {
    localStorage.setItem(what, "1");
  } catch {
    // a browser without storage asks again
  }
}

const words = (code) => notice("bad", t(`problem.${code}`));

/** On the household page. */
export function pushCard() {
  if (standing === null || standing === "off-here") return null;
  return h("section.card.push", { testid: "push-card", "data-standing": standing },
    h("h2", {}, t("push.title")),
    problem && words(problem.code),
    ...(standing === "on" ? whenOn() : whenOff()));
}

function whenOff() {
  if (standing === "ios") return [h("p.soft", {}, t("push.lead")), notice("info", t("push.ios"))];
  if (standing === "unsupported") return [notice("wait", t("push.unsupported"))];
  if (standing === "blocked") return [notice("wait", t("push.blocked"))];
  return [
    h("p.soft", {}, t("push.lead")),
    busyButton("button.main", { type: "button", testid: "push-on", onclick: turnOn }, busy === "on", t("push.turn-on")),
  ];
}

function whenOn() {
  return [
    h("p.badge.good", { testid: "push-is-on" }, icon("check"), t("push.is-on")),
    h("fieldset.field", {},
      h("legend", {}, t("push.detail")),
      ...DETAILS.map((one) => h("label.choice", {},
        h("input", { type: "radio", name: "push-detail", value: one, checked: detail === one, disabled: busy !== null, testid: `push-${one}`, onchange: () => choose(one) }),
        h("span", {}, t(`push.detail.${one}`))))),
    h("p.soft", {}, t("push.detail-more")),
    tested && notice("good", t("push.tested")),
    h("div.buttons", {},
      busyButton("button.plain", { type: "button", testid: "push-test", onclick: test }, busy === "test", t("push.test")),
      busyButton("button.plain", { type: "button", testid: "push-off", onclick: turnOff }, busy === "off", t("push.turn-off"))),
  ];
}

/** On the home page, once there is a watch: a question, asked once. */
export function pushPrompt({ state }) {
  if (inDemo() || state.home.book.watches.size === 0) return null;
  if ((standing === "off" || standing === "ios") && !wasAsked(ASKED)) {
    return h("section.card.push", { testid: "push-prompt" },
      h("h2", {}, t("push.title")),
      problem && words(problem.code),
      h("p.soft", {}, t(standing === "ios" ? "push.ios" : "push.lead")),
      h("div.buttons", {},
        standing === "off" && busyButton("button.main", { type: "button", testid: "push-on", onclick: turnOn }, busy === "on", t("push.turn-on")),
        laterButton(ASKED)));
  }
  if (!state.installPrompt || wasAsked(INSTALLED_ASKED)) return null;
  return h("section.card.push", { testid: "install-prompt" },
    h("h2", {}, t("install.title")),
    h("p.soft", {}, t("install.more")),
    h("div.buttons", {},
      h("button.main", { type: "button", testid: "install", onclick: install }, icon("download"), t("install.now")),
      laterButton(INSTALLED_ASKED)));
}

const laterButton = (what) => h("button.plain", {
  type: "button", testid: "push-later",
  onclick: () => {
    forget(what);
    ctx.render();
  },
}, t("push.later"));

async function install() {
  const asked = ctx.state.installPrompt;
  ctx.state.installPrompt = null;
  await asked.prompt();
  ctx.render();
}
