// The household page: its guardians, its watches, where this guardian is signed in, what can be taken along, and the log in words.
//
// `ctx` is what app.js lends: {state, render, act, logOut}.

import { serviceNow } from "./api.js";
import { announce, download, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { guardianEntryWords } from "./guardians.js";
import { leavingCard } from "./leaving.js";
import { acts } from "./members.js";
import { guardianName } from "./people.js";
import { forgetPinAsk, pinControls, pinEntryWords } from "./pins.js";
import { pushCard } from "./push.js";
import { ruleLogWords } from "./rule-words.js";
import { refreshSessions, sessionsCard } from "./sessions.js";
import { day, money, problemText, t, when } from "./texts.js";
import { anchorFile } from "./trust.js";

/** The watch whose removal is asked about. */
let removing = null;

export function left() {
  removing = null;
  forgetPinAsk();
}

export async function changed(ctx, kind) {
  if (kind === null || kind === "session") await refreshSessions();
}

function removeWatch(ctx, watch) {
  return ctx.act({ "remove-watch": watch }, () => {
    announce(t("household.removed"));
    removing = null;
  });
}

export function page(ctx) {
  const { state } = ctx;
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
      h("ul.plain-list", {}, ...[...book.watches.values()].map((watch) => watchRow(ctx, watch, names.get(watch.wearer)?.name ?? t("wearer.unknown")))),
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
      h("ol.log", {}, ...book.entries.map((entry) => h("li", {}, h("span", {}, logWords(state.home, entry)), h("time.soft", {}, when(entry.at)))))),
    h("button.plain", { type: "button", testid: "logout", onclick: ctx.logOut }, icon("out"), t("household.log-out")),
  ];
}

function watchRow(ctx, watch, name) {
  const { state } = ctx;
  const enrolled = state.home.book.entries.find(({ entry }) => entry.kind === "enrol-watch" && entry.content.watch === watch.watch);
  const asking = removing === watch.watch;
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
          h("button.plain", { type: "button", onclick: () => { removing = null; ctx.render(); } }, t("cancel")),
          busyButton("button.main.stop", { type: "button", testid: "remove-confirm", onclick: () => removeWatch(ctx, watch.watch) }, state.busy, t("household.remove-now"))))),
    !asking && h("button.round", { type: "button", testid: "remove-watch", "aria-label": t("household.remove", { name }), onclick: () => { removing = watch.watch; ctx.render(); } }, icon("trash")),
    !asking && h("div.controls", {}, ...pinControls(ctx, watch, name)));
}

function logWords(home, entry) {
  const words = guardianEntryWords(home, entry);
  if (words) return words;
  const { kind, content } = entry.entry;
  if (kind === "set-mandate" || kind === "end-mandate") return ruleLogWords(entry.entry, home.book);
  const watch = kind === "enrol-watch" ? content : home.book.watchEver(content.watch ?? content);
  const name = watch && (home.names.get(watch.wearer)?.name ?? t("wearer.unknown"));
  if (kind === "pin-command" || kind === "set-session") return pinEntryWords(entry.entry, name);
  return t(`log.${kind}`, { name });
}
