// What a watch says of its PIN, and what the guardian may answer: unlock it, or let the child choose a new one. And for how
// long the watch on the wrist needs no new PIN. Each answer is a signed entry of the household log, its words shown first.
//
// `ctx` is what app.js lends: {state, render, act}. The reports in `state.home.pins` were verified (trust.js).

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { twoNote } from "./people.js";
import { t, when } from "./texts.js";

const MINUTE_MS = 60_000;
/** What the page offers; the log takes up to eight hours. */
const SESSIONS_MIN = [0, 15, 30, 60];

/** What is about to be signed: {watch, entry, words}. */
let asking = null;

export const forgetPinAsk = () => {
  asking = null;
};

/** The watch's report, while there is something about it that a guardian should know; `answer` is the last word to it. */
export function openReport(home, watch) {
  const report = home.pins.get(watch);
  if (!report || report.state === "ok") return null;
  if (report.state === "waiting" && report.until <= serviceNow()) return null;
  const said = home.book.entries.findLast(({ entry }) => entry.kind === "pin-command" && entry.content.nonce === report.nonce);
  return { ...report, answer: said?.entry.content.command ?? null };
}

export function reportWords(report, name) {
  if (report.answer) return t(`pin.answered.${report.answer}`, { name });
  return t(`pin.state.${report.state}`, { name, count: report.wrong, until: when(report.until ?? 0) });
}

/** A card for the home page, which leads to the watch; nothing where nothing is asked. */
export function reportCard(home, { watch, wearer }) {
  const report = openReport(home, watch);
  if (!report || report.answer) return null;
  const name = home.names.get(wearer)?.name ?? t("wearer.unknown");
  return h("a.card.waiting", { href: "#/household", key: watch, testid: "pin-report" },
    icon("key", "large"), h("div", {}, h("p.name", {}, reportWords(report, name)), h("p.soft", {}, t("pin.look"))), icon("next"));
}

/** For a watch on the household page. */
export function pinControls(ctx, { watch }, name) {
  const { home } = ctx.state;
  const report = openReport(home, watch);
  const minutes = home.book.sessionMs(watch, home.book.heads.length) / MINUTE_MS;
  const open = asking?.watch === watch;
  const ask = (entry, words) => () => {
    asking = { watch, entry, words };
    ctx.render();
  };
  const command = (what) => h("button.plain", {
    type: "button", testid: `pin-${what}`,
    onclick: ask({ "pin-command": { watch, nonce: report.nonce, command: what } }, t(`pin.sure.${what}`, { name })),
  }, t(`pin.${what}`));
  const chosen = (event) => {
    const count = Number(event.target.value);
    ask({ "set-session": { watch, session_ms: count * MINUTE_MS } }, sessionWords(count, name))();
  };
  const shown = open ? asking.entry["set-session"]?.session_ms / MINUTE_MS : NaN;
  const current = Number.isNaN(shown) ? minutes : shown;
  return [
    report && notice(report.answer ? "info" : "wait", reportWords(report, name),
      !report.answer && !open && h("div.buttons", {}, report.state !== "asked-new-pin" && command("unlock"), command("new-pin"))),
    !asking?.entry["pin-command"] && h("label.field", {}, h("span", {}, t("session.label")),
      h("select", { value: String(current), testid: "session", onchange: chosen },
        ...[...new Set([...SESSIONS_MIN, minutes])].sort((one, other) => one - other).map((count) =>
          h("option", { value: String(count), selected: count === current }, count === 0 ? t("session.off") : t("session.for", { count }))))),
    open && h("div.ask", {},
      h("p", {}, asking.words),
      twoNote(ctx, asking.entry),
      h("div.buttons", {},
        h("button.plain", { type: "button", onclick: () => { asking = null; ctx.render(); } }, t("cancel")),
        busyButton("button.main", { type: "button", testid: "pin-sign", onclick: () => ctx.act(asking.entry, forgetPinAsk) }, ctx.state.busy, icon("key"), t("pin.sign")))),
  ];
}

const sessionWords = (count, name) => (count === 0 ? t("session.sure-off", { name }) : t("session.sure", { name, count }));

/** An entry of the log in words. */
export function pinEntryWords({ kind, content }, name) {
  if (kind === "pin-command") return t(`log.pin-command.${content.command}`, { name });
  return t(content.session_ms === 0 ? "log.set-session-off" : "log.set-session", { name, count: content.session_ms / MINUTE_MS });
}
