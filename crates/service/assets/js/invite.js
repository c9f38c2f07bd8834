// Inviting another guardian: a code or a link with a secret, the digits that both compare, the signature that lets them in.
//
// `ctx` is what app.js lends: {state, render, sign, mustPropose}. The secret never leaves this page but in the link.

import { get, post, serviceNow } from "./api.js";
import { toBase64Url, utf8 } from "./bytes.js";
import { announce, h } from "./dom.js";
import { avatar, busyButton, icon, notice } from "./frame.js";
import { PROMPT_MS } from "./passkey.js";
import { twoNote } from "./people.js";
import { codeBox, qrCanvas } from "./qr.js";
import { problemText, t, timeLeft } from "./texts.js";
import { checkDigits, nameDigest, verifyGuardianClaim } from "./verify.js";

/** {step, pairing, secret, link, ends, claim, name, digits, problem}, or null. */
let now = null;

/** An invitation that is not used is given up. */
export function left() {
  if (["showing", "claimed"].includes(now?.step)) post(`/api/guardian/joins/${now.pairing}/close`).catch(() => {});
  now = null;
}

async function begin(ctx) {
  const mine = { step: "starting", problem: null };
  now = mine;
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
export async function changed(ctx, kind) {
  const mine = now;
  if ((kind && kind !== "pairing") || !mine?.pairing || mine.step === "done") return;
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

export function page(ctx) {
  const heading = h("h1", {}, t("guardians.invite"));
  if (!now) begin(ctx);
  const mine = now;
  const restart = h("button.main", { type: "button", testid: "invite-again", onclick: () => { now = null; ctx.render(); } }, icon("undo"), t("pair.again"));
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
    entry["add-guardian"].counts_from += PROMPT_MS;
    await ctx.sign(entry, {});
    mine.step = "done";
    mine.secret = null;
  } catch (error) {
    mine.problem = error;
  }
  mine.busy = false;
  ctx.render();
}
