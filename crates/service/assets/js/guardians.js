// The guardians of a household: who they are, removals and objections, proposals that wait for a second guardian.
// What is signed is shown in words first.
//
// `ctx` is what app.js lends: {state, render, act, refreshHome, mustPropose}.

import { serviceNow } from "./api.js";
import { awayBadge, goAway } from "./away.js";
import { h } from "./dom.js";
import { avatar, icon, notice } from "./frame.js";
import { acts } from "./members.js";
import { guardianName, mayISign, openProposals } from "./people.js";
import { heldRules, ruleLogWords, ruleSentences } from "./rule-words.js";
import { houseSentences } from "./settings.js";
import { loadShops } from "./shops.js";
import { askBox, askButton, isAsked } from "./signing.js";
import { day, problemText, t, when } from "./texts.js";

// ---- names and standing -------------------------------------------------------------------------------------------------

const membersNow = (home) => [...home.book.folded.members.values()].filter((member) => acts(member, serviceNow()));
const comingMembers = (home) => [...home.book.folded.members.values()].filter((member) => member.recovery && serviceNow() < member.joins);

// ---- what waits for this guardian ---------------------------------------------------------------------------------------------

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

/** Rules, pocket money too, that are over within a week; of a short one, within its last quarter. */
function endingRules(home) {
  const now = serviceNow();
  const isEnding = ({ mandate: { until }, seq }) => now < until && until - now < Math.min(WEEK_MS, (until - home.book.entries[seq].at) / 4);
  return heldRules(home).filter(isEnding);
}

/** Cards for the home page: proposals to second, removals and recoveries to object to, rules that end, and the codes not yet printed. */
export function guardianCards(ctx) {
  const { home } = ctx.state;
  const mine = home.book.folded.members.get(home.guardian.guardian);
  const card = (testid, text) => h("a.card.waiting", { href: "#/guardians", key: testid, testid },
    icon("person", "large"), h("div", {}, h("p.name", {}, text), h("p.soft", {}, t("pin.look"))), icon("next"));
  const others = openProposals(home).filter(([, { by }]) => by !== home.guardian.guardian);
  return [
    mine.leaving && card("leaving-card", t("guardians.you-leave", { time: when(mine.leaving.at) })),
    ...comingMembers(home).map(({ guardian, joins }) =>
      card(`recovery-${guardian.guardian}`, t("guardians.recovering", { name: guardianName(home, guardian.guardian), time: when(joins) }))),
    mayISign(home) && others.length > 0 && card("proposal-card", t("guardians.proposals-wait", { count: others.length })),
    ...(mayISign(home) ? endingRules(home) : []).map(({ mandate: { mandate, name, until } }) =>
      h("a.card.waiting", { href: `#/rules/${mandate}`, key: `ending-${mandate}`, testid: "rule-ending" },
        icon("clock", "large"), h("div", {}, h("p.name", {}, t("rules.ending", { rule: name, time: when(until) })), h("p.soft", {}, t("rules.ending-more"))), icon("next"))),
    mayISign(home) && home.book.folded.recovery.size === 0 && h("a.card.waiting", { href: "#/codes", key: "codes-reminder", testid: "codes-reminder" },
      icon("key", "large"), h("div", {}, h("p.name", {}, t("codes.reminder")), h("p.soft", {}, t("codes.reminder-more"))), icon("next")),
  ];
}

// ---- the page of guardians ------------------------------------------------------------------------------------------------------

export const left = () => {};

/** A proposed rule may name shops that the orders this page has do not. */
export async function changed(ctx, kind) {
  if ((kind === null || kind === "log") && openProposals(ctx.state.home).length > 0) await loadShops(ctx);
}

export function page(ctx) {
  const { home, problem } = ctx.state;
  const proposals = openProposals(home);
  const coming = comingMembers(home);
  return [
    h("h1", {}, t("household.guardians")),
    problem && notice("bad", problemText(problem)),
    !mayISign(home) && notice("info", t("guardians.you-new", { time: when(home.book.folded.members.get(home.guardian.guardian).countsFrom) })),
    proposals.length > 0 && h("section.card", {}, h("h2", {}, t("guardians.proposals")),
      h("ul.plain-list", {}, ...proposals.map(([digest, proposal]) => proposalRow(ctx, digest, proposal)))),
    coming.length > 0 && h("section.card", {}, h("h2", {}, t("guardians.recoveries")),
      h("ul.plain-list", {}, ...coming.map((member) => recoveryRow(ctx, member)))),
    h("section.card", {},
      h("ul.plain-list", {}, ...membersNow(home).map((member) => memberRow(ctx, member))),
      mayISign(home) && h("a.plain", { href: "#/invite", testid: "invite" }, icon("plus"), t("guardians.invite"))),
    goAway(ctx),
    mayISign(home) && h("section.card", {},
      h("h2", {}, t("codes.title")),
      h("p.soft", {}, home.book.folded.recovery.size > 0 ? t("codes.left", { count: home.book.folded.recovery.size }) : t("codes.none")),
      h("a.plain", { href: "#/codes", testid: "codes" }, icon("key"), t("codes.make"))),
  ];
}

function memberRow(ctx, member) {
  const { home } = ctx.state;
  const { guardian } = member.guardian;
  const own = guardian === home.guardian.guardian;
  const name = guardianName(home, guardian);
  const since = home.book.entries[member.since].at;
  const key = `remove-${guardian}`;
  const objectKey = `object-${guardian}`;
  const asked = isAsked(key) || isAsked(objectKey);
  const words = own ? t("guardians.leave-sure") : t("guardians.remove-sure", { name });
  return h("li.member", { key: guardian, testid: "guardian", "data-own": String(own) },
    avatar(name),
    h("div", {},
      h("p.name", {}, own ? t("guardians.you", { name }) : name),
      h("p.soft", {}, t("household.since", { day: day(since) })),
      awayBadge(home, guardian),
      member.countsFrom > serviceNow() && h("p.badge.wait", { testid: "not-counting" }, icon("clock"), t("guardians.counts-from", { time: when(member.countsFrom) })),
      member.leaving && h("p.badge.stop", { testid: "leaving" }, t("guardians.leaves", { time: when(member.leaving.at) })),
      h("p.soft", {}, member.guardian.backup_eligible ? t("household.synced-key") : t("household.device-key")),
      member.guardian.shown_payments && h("p.soft", {}, t("household.shown-payments")),
      askBox(ctx, key), askBox(ctx, objectKey)),
    own && member.leaving && !asked
      && askButton(ctx, "plain", "object", t("guardians.object"), objectKey, { object: member.leaving.entry }, t("guardians.object-sure")),
    !member.leaving && !asked && mayISign(home) && membersNow(home).length > 1
      && askButton(ctx, "plain", "remove-guardian", own ? t("guardians.leave") : t("guardians.remove"), key, { "remove-guardian": guardian }, words));
}

function recoveryRow(ctx, member) {
  const { home } = ctx.state;
  const { guardian } = member.guardian;
  const key = `stop-${guardian}`;
  return h("li.member", { key: guardian, testid: "recovery" },
    h("span.tile", {}, icon("key")),
    h("div", {}, h("p", {}, t("guardians.recovering", { name: guardianName(home, guardian), time: when(member.joins) })), askBox(ctx, key)),
    mayISign(home) && !isAsked(key)
      && askButton(ctx, "plain", "stop-recovery", t("guardians.stop"), key, { object: member.recovery }, t("guardians.stop-sure")));
}

function proposalRow(ctx, digest, proposal) {
  const { home } = ctx.state;
  const own = proposal.by === home.guardian.guardian;
  const change = changeWords(home, proposal.change);
  const words = t("guardians.proposed", { name: guardianName(home, proposal.by), change });
  const [second, withdraw] = [`second-${digest}`, `withdraw-${digest}`];
  const asked = isAsked(second) || isAsked(withdraw);
  return h("li.member", { key: digest, testid: "proposal" },
    h("span.tile", {}, icon("pencil")),
    h("div", {}, h("p", {}, words), h("p.soft", {}, when(proposal.at)), ruleSentences(ctx.state, proposal.change), houseSentences(proposal.change),
      askBox(ctx, second), askBox(ctx, withdraw)),
    mayISign(home) && !asked && h("div.controls", {}, h("div.buttons", {},
      askButton(ctx, "plain", "withdraw", t("guardians.withdraw"), withdraw, { withdraw: digest }, t("guardians.withdraw-sure", { change })),
      !own && askButton(ctx, "main", "second", t("guardians.second"), second, { second: digest }, t("guardians.second-sure", { change })))));
}

/** A change in words. */
function changeWords(home, { kind, content }) {
  if (kind === "add-guardian") return t("change.add-guardian", { name: guardianName(home, content.guardian.guardian) });
  if (kind === "enrol-recovery") return t("change.enrol-recovery", { count: content.keys.length });
  if (kind === "unfreeze") return t("change.unfreeze");
  if (kind === "set-house-rules") return t("change.set-house-rules");
  if (kind === "set-mandate" || kind === "end-mandate") return ruleLogWords({ kind, content }, home.book);
  const watch = home.book.watchEver(content.watch);
  const name = home.names.get(watch?.wearer)?.name ?? t("wearer.unknown");
  return t(content.session_ms === 0 ? "log.set-session-off" : "log.set-session", { name, count: content.session_ms / 60_000 });
}

const ENTRIES = ["add-guardian", "remove-guardian", "object", "propose", "second", "withdraw", "enrol-recovery", "recover", "unfreeze", "erase"];

/** An entry of the log about guardians in words, or null. */
export function guardianEntryWords(home, { entry: { kind, content }, guardian }) {
  if (!ENTRIES.includes(kind)) return null;
  const by = guardianName(home, guardian);
  if (kind === "propose") return t("guardians.proposed", { name: by, change: changeWords(home, content) });
  if (["second", "withdraw"].includes(kind)) {
    return t(`log.${kind}`, { name: by, change: changeWords(home, home.book.folded.proposals.get(content).change) });
  }
  if (kind === "remove-guardian") return t("log.remove-guardian", { name: guardianName(home, content) });
  if (kind === "object" || kind === "erase") return t(`log.${kind}`, { name: by });
  if (kind === "recover") return t("log.recover", { name: by });
  return changeWords(home, { kind, content });
}
