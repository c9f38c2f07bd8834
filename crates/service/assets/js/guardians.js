// The guardians of a household: who they are, inviting one, removals and objections, proposals that wait for a second
// guardian, the freeze, printed recovery codes. What is signed is shown in words first.
//
// `ctx` is what app.js lends: {state, render, sign, act, refreshHome}. What a person is doing here is kept in `now`, outside the
// verified state; an invitation's secret and codes not yet printed never leave this page.

import { get, post, serviceNow } from "./api.js";
import { announce, h } from "./dom.js";
import { avatar, busyButton, icon, notice } from "./frame.js";
import { acts, counts, isOpen } from "./members.js";
import { toBase64Url, utf8 } from "./messages.js";
import { codeBox, qrCanvas } from "./qr.js";
import { newRecoveryCode, readRecoveryCode, recoveryKey } from "./recovery-code.js";
import { ruleLogWords, ruleSentences } from "./rules.js";
import { awayBadge, goAway, houseSentences } from "./settings.js";
import { day, problemText, t, timeLeft, when } from "./texts.js";
import { checkDigits, nameDigest, verifyGuardianClaim } from "./verify.js";

const CODES = 6;

const now = {
  /** What is about to be signed: {key, entry, words}. */
  asking: null,
  /** {step, pairing, secret, link, ends, claim, name, digits, problem}. */
  invitation: null,
  /** {codes, keys, done}. */
  codes: null,
};

/** When a page is left: nothing half done stays, and an invitation that is not used is given up. */
export function leaveGuardians(page) {
  now.asking = null;
  if (page !== "codes") now.codes = null;
  if (page === "invite" || !now.invitation) return;
  if (["showing", "claimed"].includes(now.invitation.step)) post(`/api/guardian/joins/${now.invitation.pairing}/close`).catch(() => {});
  now.invitation = null;
}

// ---- names and standing -------------------------------------------------------------------------------------------------

export function guardianName(home, guardian) {
  return home.people.get(guardian)?.name ?? t("household.guardian");
}

const mayISign = (home) => counts(home.book.folded.members.get(home.guardian.guardian), serviceNow());
const membersNow = (home) => [...home.book.folded.members.values()].filter((member) => acts(member, serviceNow()));
const comingMembers = (home) => [...home.book.folded.members.values()].filter((member) => member.recovery && serviceNow() < member.joins);
export const openProposals = (home) => [...home.book.folded.proposals].filter(([, proposal]) => isOpen(proposal, serviceNow()));

// ---- signing, in words first ----------------------------------------------------------------------------------------------

/** A button that shows what will be signed. `entry` as it goes into the log. */
function askButton(ctx, look, testid, label, key, entry, words) {
  return h(`button.${look}`, {
    type: "button", testid,
    onclick: () => {
      now.asking = { key, entry, words };
      ctx.render();
    },
  }, label);
}

/** The words and the passkey button, where this is what is asked. */
function askBox(ctx, key) {
  const { asking } = now;
  if (asking?.key !== key) return null;
  return h("div.ask", {},
    h("p", {}, asking.words),
    twoNote(ctx, asking.entry),
    h("div.buttons", {},
      h("button.plain", { type: "button", onclick: () => { now.asking = null; ctx.render(); } }, t("cancel")),
      busyButton("button.main", { type: "button", testid: "guardians-sign", onclick: () => ctx.act(asking.entry, () => { now.asking = null; }) },
        ctx.state.busy, icon("key"), t("pin.sign"))));
}

/** That another guardian must agree, where one must. */
export function twoNote(ctx, entry) {
  return ctx.mustPropose(entry) ? h("p.soft", { testid: "needs-two" }, t("guardians.needs-two")) : null;
}

// ---- the freeze -------------------------------------------------------------------------------------------------------------

/** In the header of every page: one tap, no question. */
export function freezeButton(ctx) {
  const { home } = ctx.state;
  if (home.freeze) return null;
  return h("button.freeze", {
    type: "button", testid: "freeze",
    onclick: async () => {
      try {
        await post("/api/guardian/freeze");
        await ctx.refreshHome();
        announce(t("freeze.done"));
      } catch (error) {
        ctx.state.problem = error;
      }
      ctx.render();
    },
  }, icon("pause"), t("freeze.now"));
}

/** On every page, while a guardian's freeze holds. */
export function freezeNotice(ctx) {
  const { home } = ctx.state;
  if (!home.freeze) return null;
  const { by, at } = home.freeze;
  const entry = { unfreeze: { frozen_at: at } };
  const own = by === home.guardian.guardian;
  const proposed = openProposals(home).some(([, { change }]) => change.kind === "unfreeze" && change.content.frozen_at === at);
  const words = own ? t("freeze.by-you", { time: when(at) }) : t("freeze.by", { name: guardianName(home, by), time: when(at) });
  return h("div.frozen", { testid: "frozen", key: "frozen" },
    notice("bad", words,
      !proposed && mayISign(home) && now.asking?.key !== "unfreeze"
        && h("div.buttons", {}, askButton(ctx, "plain", "unfreeze", t("freeze.lift"), "unfreeze", entry, t("freeze.lift-sure"))),
      proposed && h("p", {}, h("a", { href: "#/guardians" }, t("freeze.proposed"))),
      askBox(ctx, "unfreeze")));
}

// ---- what waits for this guardian ---------------------------------------------------------------------------------------------

/** Cards for the home page: proposals to second, removals and recoveries to object to, and the codes not yet printed. */
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
    mayISign(home) && home.book.folded.recovery.size === 0 && h("a.card.waiting", { href: "#/codes", key: "codes-reminder", testid: "codes-reminder" },
      icon("key", "large"), h("div", {}, h("p.name", {}, t("codes.reminder")), h("p.soft", {}, t("codes.reminder-more"))), icon("next")),
  ];
}

// ---- the page of guardians ------------------------------------------------------------------------------------------------------

export function guardiansPage(ctx) {
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
  const asked = now.asking?.key === key || now.asking?.key === objectKey;
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
    mayISign(home) && now.asking?.key !== key
      && askButton(ctx, "plain", "stop-recovery", t("guardians.stop"), key, { object: member.recovery }, t("guardians.stop-sure")));
}

function proposalRow(ctx, digest, proposal) {
  const { home } = ctx.state;
  const own = proposal.by === home.guardian.guardian;
  const change = changeWords(home, proposal.change);
  const words = t("guardians.proposed", { name: guardianName(home, proposal.by), change });
  const [second, withdraw] = [`second-${digest}`, `withdraw-${digest}`];
  const asked = now.asking?.key === second || now.asking?.key === withdraw;
  return h("li.member", { key: digest, testid: "proposal" },
    h("span.tile", {}, icon("pencil")),
    h("div", {}, h("p", {}, words), h("p.soft", {}, when(proposal.at)), ruleSentences(ctx.state, proposal.change), houseSentences(proposal.change),
      askBox(ctx, second), askBox(ctx, withdraw)),
    mayISign(home) && !asked && h("div.controls", {}, h("div.buttons", {},
      askButton(ctx, "plain", "withdraw", t("guardians.withdraw"), withdraw, { withdraw: digest }, t("guardians.withdraw-sure", { change })),
      !own && askButton(ctx, "main", "second", t("guardians.second"), second, { second: digest }, t("guardians.second-sure", { change })))));
}

/** A change in words. */
export function changeWords(home, { kind, content }) {
  if (kind === "add-guardian") return t("change.add-guardian", { name: guardianName(home, content.guardian.guardian) });
  if (kind === "enrol-recovery") return t("change.enrol-recovery", { count: content.keys.length });
  if (kind === "unfreeze") return t("change.unfreeze");
  if (kind === "set-house-rules") return t("change.set-house-rules");
  if (kind === "set-mandate" || kind === "end-mandate") return ruleLogWords({ kind, content }, home.book);
  const watch = home.book.watchEver(content.watch);
  const name = home.names.get(watch?.wearer)?.name ?? t("wearer.unknown");
  return t(content.session_ms === 0 ? "log.set-session-off" : "log.set-session", { name, count: content.session_ms / 60_000 });
}

const ENTRIES = ["add-guardian", "remove-guardian", "object", "propose", "second", "withdraw", "enrol-recovery", "recover", "unfreeze"];

/** An entry of the log about guardians in words, or null. */
export function guardianEntryWords(home, { entry: { kind, content }, guardian }) {
  if (!ENTRIES.includes(kind)) return null;
  const by = guardianName(home, guardian);
  if (kind === "propose") return t("guardians.proposed", { name: by, change: changeWords(home, content) });
  if (["second", "withdraw"].includes(kind)) {
    return t(`log.${kind}`, { name: by, change: changeWords(home, home.book.folded.proposals.get(content).change) });
  }
  if (kind === "remove-guardian") return t("log.remove-guardian", { name: guardianName(home, content) });
  if (kind === "object") return t("log.object", { name: by });
  if (kind === "recover") return t("log.recover", { name: by });
  return changeWords(home, { kind, content });
}

// ---- inviting -------------------------------------------------------------------------------------------------------------------

async function begin(ctx) {
  const mine = { step: "starting", problem: null };
  now.invitation = mine;
  try {
    const { pairing, expires_in_ms: life } = await post("/api/guardian/joins");
    const secret = crypto.getRandomValues(new Uint8Array(16));
    const { home } = ctx.state;
    const code = {
      "nodpay-join": 1, pairing, household: home.book.household, founding: home.book.heads[0], root: home.trust.root,
      expires: serviceNow() + life, secret: toBase64Url(secret),
    };
    const link = `${location.origin}/newcomer#${toBase64Url(utf8(JSON.stringify(code)))}`;
    Object.assign(mine, { step: "showing", pairing, secret, link, ends: performance.now() + life });
    announce(t("invite.show"));
  } catch (error) {
    Object.assign(mine, { step: "failed", problem: error });
  }
  ctx.render();
}

/** An event about an invitation: looks whether the newcomer has answered. */
export async function invitationChanged(ctx) {
  const mine = now.invitation;
  if (!mine?.pairing || mine.step === "done") return;
  try {
    const { state, claim, name } = await get(`/api/guardian/joins/${mine.pairing}`);
    if (state === "claimed" && mine.step === "showing") {
      const { book } = ctx.state.home;
      const verified = await verifyGuardianClaim(claim, book.rp, { pairing: mine.pairing, household: book.household, secret: mine.secret });
      const named = (await nameDigest(name.salt, name.name)) === verified.payload.guardian.name;
      Object.assign(mine, { step: "claimed", claim: verified, name: named ? name.name : t("household.guardian"), digits: await checkDigits(verified.digest) });
      announce(t("pair.compare-said", { digits: mine.digits }));
    } else if (["closed", "expired"].includes(state)) {
      mine.step = "closed";
    }
  } catch (error) {
    Object.assign(mine, { step: "failed", problem: error });
  }
  ctx.render();
}

export function invitePage(ctx) {
  const heading = h("h1", {}, t("guardians.invite"));
  if (!now.invitation) begin(ctx);
  const mine = now.invitation;
  const restart = h("button.main", { type: "button", testid: "invite-again", onclick: () => { now.invitation = null; ctx.render(); } }, icon("undo"), t("pair.again"));
  if (mine.step === "starting") return [heading, h("p.lead", {}, t("loading"))];
  if (mine.step === "failed") return [heading, notice("bad", problemText(mine.problem)), restart];
  if (mine.step === "closed") return [heading, notice("bad", t("pair.closed")), restart];
  if (mine.step === "done") {
    return [
      h("div.hero", {}, h("span.big-tick", {}, icon("check", "huge")), h("h1", { testid: "invited" }, mine.proposed ? t("invite.proposed", { name: mine.name }) : t("invite.done", { name: mine.name }))),
      h("p.lead", {}, mine.proposed ? t("guardians.needs-two") : t("invite.done-more", { name: mine.name, hours: hoursShort(ctx) })),
      h("a.main", { href: "#/guardians" }, t("pair.home")),
    ];
  }
  if (mine.step === "showing") {
    const left = mine.ends - performance.now();
    if (left <= 0) return [heading, notice("bad", t("pair.expired")), restart];
    return [
      heading,
      h("p.lead", {}, t("invite.show")),
      codeBox(mine.pairing, "invitation-code", () => qrCanvas(mine.link, t("invite.code-label"), "L")),
      h("label.field", {}, h("span", {}, t("invite.link")), h("input", { type: "text", readonly: true, value: mine.link, testid: "invitation-link" })),
      h("p.soft.center", {}, icon("clock"), " ", t("invite.waiting", { time: timeLeft(left) })),
      notice("info", t("pair.secret-note")),
    ];
  }
  const entry = { "add-guardian": { guardian: mine.claim.payload.guardian, counts_from: serviceNow() + ctx.state.home.book.coolingMs } };
  return [
    heading,
    h("section.card.center", {},
      avatar(mine.name), h("p.lead", { testid: "newcomer-name" }, t("invite.asks", { name: mine.name })),
      h("p", {}, t("invite.compare")),
      h("p.digits", { testid: "check-digits" }, mine.digits)),
    notice("info", t("invite.words", { name: mine.name, hours: hoursShort(ctx) })),
    twoNote(ctx, entry),
    mine.problem && notice("bad", problemText(mine.problem)),
    busyButton("button.main", { type: "button", testid: "invite-confirm", onclick: () => admit(ctx, mine, entry) }, mine.busy, icon("key"), t("invite.confirm")),
    h("a.plain", { href: "#/guardians", testid: "invite-differ" }, t("pair.differ")),
  ];
}

const hoursShort = (ctx) => ctx.state.home.book.coolingMs / (60 * 60 * 1000);

async function admit(ctx, mine, entry) {
  if (mine.busy) return;
  Object.assign(mine, { busy: true, problem: null, proposed: ctx.mustPropose(entry) });
  ctx.render();
  try {
    // The passkey prompt may take a while: the day begins when it is signed.
    entry["add-guardian"].counts_from += 2 * 60_000;
    await ctx.sign(entry, {});
    mine.step = "done";
    mine.secret = null;
  } catch (error) {
    mine.problem = error;
  }
  mine.busy = false;
  ctx.render();
}

// ---- printed codes ----------------------------------------------------------------------------------------------------------------

async function makeCodes(ctx) {
  const mine = { codes: [], keys: [], done: false };
  for (let count = 0; count < CODES; count += 1) {
    const code = await newRecoveryCode();
    mine.codes.push(code);
    mine.keys.push((await recoveryKey(await readRecoveryCode(code))).key);
  }
  now.codes = mine;
  ctx.render();
}

export function codesPage(ctx) {
  const { home, problem } = ctx.state;
  const mine = now.codes;
  if (!mine) {
    return [
      h("h1", {}, t("codes.title")),
      h("p.lead", {}, t("codes.lead")),
      notice("info", t("codes.more")),
      home.book.folded.recovery.size > 0 && notice("wait", t("codes.replaces")),
      h("button.main", { type: "button", testid: "codes-make", onclick: () => makeCodes(ctx) }, icon("key"), t("codes.make")),
    ];
  }
  const entry = { "enrol-recovery": { keys: mine.keys } };
  return [
    h("h1", {}, t("codes.title")),
    h("section.card.codes", {},
      h("p", {}, t("codes.sheet", { address: `${location.host}/recover`, day: day(serviceNow()) })),
      h("ol", { testid: "code-list" }, ...mine.codes.map((code) => h("li.code", {}, code)))),
    problem && notice("bad", problemText(problem)),
    mine.done
      ? [notice("good", mine.proposed ? t("guardians.needs-two") : t("codes.done")), h("a.main", { href: "#/" }, t("pair.home"))]
      : [
        h("button.plain", { type: "button", testid: "codes-print", onclick: () => print() }, icon("download"), t("codes.print")),
        notice("info", t("codes.sure")),
        twoNote(ctx, entry),
        busyButton("button.main", {
          type: "button", testid: "codes-sign",
          onclick: () => {
            mine.proposed = ctx.mustPropose(entry);
            ctx.act(entry, () => { mine.done = true; });
          },
        }, ctx.state.busy, icon("key"), t("codes.sign")),
      ],
  ];
}
