// Where the guardian is signed in: a card that lists it and signs out there, and a notice when somebody signed in elsewhere.
//
// `ctx` is what app.js lends: {state, render}. The list is the service's word; it moves no money.

import { get, post } from "./api.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { problemText, t, when } from "./texts.js";

const KNOWN = "nodpay.known-sessions";

/** Of this guardian, as the service listed them last. */
let sessions = [];
let busy = false;
let problem = null;

const known = () => {
  try {
    return JSON.parse(localStorage.getItem(KNOWN)) ?? [];
  } catch {
    return [];
  }
};

function keepKnown(ids) {
  try {
    localStorage.setItem(KNOWN, JSON.stringify(ids));
  } catch {
    // a browser without storage asks again
  }
}

/** Reads the list again. */
export async function refreshSessions() {
  sessions = (await get("/api/guardian/sessions")).sessions;
  const still = known().filter((id) => sessions.some(({ session }) => session === id));
  if (still.length !== known().length) keepKnown(still);
}

/** `iPhone · Safari`. */
const deviceWords = ({ device }) => {
  const [system, browser] = device.split("/");
  if (system === "other" && browser === "other") return t("device.unknown");
  return [system, browser].filter((word) => word !== "other").map((word) => t(`device.${word}`)).join(" · ");
};

async function end(ctx, path, said) {
  busy = true;
  problem = null;
  ctx.render();
  try {
    await post(path);
    await refreshSessions();
    announce(said);
  } catch (error) {
    problem = error;
  }
  busy = false;
  ctx.render();
}

const endOne = (ctx, one) => end(ctx, `/api/guardian/sessions/${one.session}/end`, t("sessions.ended", { device: deviceWords(one) }));

/** Those that began after this one, and that nobody has answered for yet. */
export function sessionNotices(ctx) {
  const own = sessions.find((one) => one.own);
  const answered = known();
  const news = own ? sessions.filter((one) => !one.own && one.since > own.since && !answered.includes(one.session)) : [];
  return news.map((one) => h("section.card.signed-in", { key: one.session, testid: "signed-in-elsewhere" },
    notice("wait", t("sessions.elsewhere", { device: deviceWords(one), time: when(one.since) })),
    problem && notice("bad", problemText(problem)),
    h("div.buttons", {},
      h("button.plain", { type: "button", testid: "signed-in-mine", onclick: () => { keepKnown([...answered, one.session]); ctx.render(); } }, t("sessions.mine")),
      busyButton("button.plain.stop", { type: "button", testid: "signed-in-end", onclick: () => endOne(ctx, one) }, busy, icon("out"), t("sessions.end")))));
}

/** For the household page. */
export function sessionsCard(ctx) {
  const others = sessions.filter((one) => !one.own);
  return h("section.card", { testid: "sessions" },
    h("h2", {}, t("sessions.title")),
    problem && notice("bad", problemText(problem)),
    h("ul.plain-list", {}, ...[...sessions].sort((one, other) => other.own - one.own).map((one) =>
      h("li.member", { key: one.session, testid: "device", "data-own": one.own },
        h("span.tile", {}, icon("phone")),
        h("div", {},
          h("p.name", {}, deviceWords(one)),
          h("p.soft", {}, one.own ? t("sessions.here") : t("sessions.seen", { time: when(one.seen) }))),
        !one.own && h("button.round", {
          type: "button", testid: "session-end", disabled: busy, "aria-label": t("sessions.end-on", { device: deviceWords(one) }), onclick: () => endOne(ctx, one),
        }, icon("out"))))),
    others.length > 1 && busyButton("button.plain", {
      type: "button", testid: "sessions-end-others", onclick: () => end(ctx, "/api/guardian/sessions/end-others", t("sessions.ended-others")),
    }, busy, icon("out"), t("sessions.end-others")),
    h("p.soft", {}, t("sessions.more")));
}
