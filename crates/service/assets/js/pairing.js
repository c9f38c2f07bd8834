// Pairing a watch: this page makes the secret, shows it as a QR code, checks that the watch which answers has seen it, and
// the guardian signs the enrolment. The secret never leaves the page.

import { get, post, serviceNow } from "./api.js";
import { randomId, toBase64Url } from "./bytes.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, inDemo, notice } from "./frame.js";
import { newcomersOf } from "./house-rules.js";
import { textProblem, typedText } from "./messages.js";
import { PROMPT_MS } from "./passkey.js";
import { codeBox, qrCanvas } from "./qr.js";
import { newWatchCap } from "./settings.js";
import { money, problemText, t, timeLeft } from "./texts.js";
import { checkDigits, nameDigest, verifyPairingClaim } from "./verify.js";

const MAX_NAME = 40;
const HOUR_MS = 60 * 60 * 1000;

let now = null;

/** Forgets the secret and gives the pairing up, when the page is left or the numbers differ. */
export function left() {
  if (now?.pairing && now.step !== "done") post(`/api/guardian/pairings/${now.pairing}/close`).catch(() => {});
  now = null;
}

async function begin(ctx) {
  const { home, service } = ctx.state;
  const mine = { step: "starting", name: inDemo() ? t("pair.demo-name") : "", wearer: null, problem: null, busy: false };
  now = mine;
  try {
    const { pairing, expires_in_ms: life } = await post("/api/guardian/pairings");
    const secret = crypto.getRandomValues(new Uint8Array(16));
    const code = {
      "nodpay-pairing": 1,
      service: location.origin,
      pairing,
      household: home.book.household,
      founding: home.book.heads[0],
      root: home.trust.root,
      rp_id: service.rp_id,
      origins: service.origins,
      expires: serviceNow() + life,
      secret: toBase64Url(secret),
    };
    Object.assign(mine, { step: "showing", pairing, secret, text: JSON.stringify(code), ends: performance.now() + life });
    announce(t("pair.show"));
  } catch (error) {
    Object.assign(mine, { step: "failed", problem: error });
  }
  ctx.render();
}

/** An event about a pairing: looks whether the watch has answered. */
export async function changed(ctx, kind) {
  const mine = now;
  if ((kind && kind !== "pairing") || !mine?.pairing || mine.step === "done") return;
  try {
    const { state, key, claim } = await get(`/api/guardian/pairings/${mine.pairing}`);
    if (state === "claimed" && mine.step === "showing") {
      const { home } = ctx.state;
      mine.claim = await verifyPairingClaim(claim, key, { pairing: mine.pairing, household: home.book.household, secret: mine.secret });
      mine.digits = await checkDigits(mine.claim.digest);
      mine.step = "claimed";
      announce(t("pair.compare-said", { digits: mine.digits }));
    } else if (["closed", "done", "expired"].includes(state) && !mine.busy) {
      mine.step = "closed";
    }
  } catch (error) {
    Object.assign(mine, { step: "failed", problem: error });
  }
  ctx.render();
}

async function enrol(ctx) {
  const mine = now;
  const { home } = ctx.state;
  const typed = typedText(mine.name);
  const known = mine.wearer ? home.names.get(mine.wearer) : null;
  const problem = known ? null : textProblem(typed, MAX_NAME);
  if (mine.busy || problem) {
    mine.problem = problem ? { code: `text-${problem}` } : mine.problem;
    ctx.render();
    return;
  }
  Object.assign(mine, { busy: true, problem: null });
  ctx.render();
  try {
    const name = known ?? { name: typed, salt: randomId() };
    const { watch, key } = mine.claim.payload;
    await ctx.sign({
      "enrol-watch": {
        watch,
        key,
        wearer: mine.wearer ?? randomId(),
        wearer_name: await nameDigest(name.salt, name.name),
        new_watch_cap: {
          // The passkey prompt may take a while: the time begins when it is signed.
          until: serviceNow() + PROMPT_MS + newcomersOf(home.book.houseRules()).watch_ms,
          per_payment: newWatchCap(ctx),
        },
      },
    }, { wearer: { name: name.name, salt: name.salt }, pairing: mine.pairing });
    mine.step = "done";
    mine.name = name.name;
    mine.secret = null;
    mine.text = null;
    announce(t("pair.done", { name: name.name }));
    if (inDemo()) location.hash = "#/";
  } catch (error) {
    mine.problem = error;
  }
  mine.busy = false;
  ctx.render();
}

export function page(ctx) {
  if (!now) begin(ctx);
  const mine = now;
  const heading = h("h1", {}, t("pair.title"));
  if (mine.step === "starting") return [heading, h("p.lead", {}, t("loading"))];
  const restart = h("button.main", { type: "button", testid: "pair-again", onclick: () => { left(); ctx.render(); } }, icon("undo"), t("pair.again"));
  if (mine.step === "failed") return [heading, notice("bad", problemText(mine.problem)), restart];
  if (mine.step === "closed") return [heading, notice("bad", t("pair.closed")), restart];
  if (mine.step === "done") {
    return [
      h("div.hero", {}, h("span.big-tick", {}, icon("check", "huge")), h("h1", { testid: "paired" }, t("pair.done", { name: mine.name })), h("p.lead", {}, t("pair.done-more"))),
      h("a.main", { href: "#/" }, t("pair.home")),
    ];
  }
  if (mine.step === "showing") {
    const left = mine.ends - performance.now();
    if (left <= 0) return [heading, notice("bad", t("pair.expired")), restart];
    return [
      heading,
      h("p.lead", {}, t("pair.show")),
      codeBox(mine.pairing, "pairing-code", () => qrCanvas(mine.text, t("pair.code-label"), "L")),
      h("p.soft.center", {}, icon("clock"), " ", t("pair.waiting", { time: timeLeft(left) })),
      notice("info", t("pair.secret-note")),
    ];
  }
  return [heading, ...compare(ctx, mine)];
}

function compare(ctx, mine) {
  const { home } = ctx.state;
  const wearers = [...home.names];
  return [
    h("section.card.center", {},
      h("p.lead", {}, t("pair.compare")),
      h("p.digits", { testid: "check-digits" }, mine.digits)),
    wearers.length > 0 && h("fieldset.field", {}, h("legend", {}, t("pair.whose")),
      ...wearers.map(([wearer, { name }]) => choice(name, mine.wearer === wearer, () => { mine.wearer = wearer; ctx.render(); })),
      choice(t("pair.new-child"), mine.wearer === null, () => { mine.wearer = null; ctx.render(); })),
    mine.wearer === null && h("label.field", {}, h("span", {}, t("pair.name")),
      h("input", {
        type: "text", value: mine.name, testid: "wearer-name", autocomplete: "off", maxlength: 80,
        oninput: (event) => { mine.name = event.target.value; },
      })),
    notice("info", t("pair.cap", { cap: money(newWatchCap(ctx)), hours: newcomersOf(home.book.houseRules()).watch_ms / HOUR_MS })),
    h("p.soft", {}, t("pair.pin")),
    mine.problem && notice("bad", problemText(mine.problem)),
    busyButton("button.main", { type: "button", testid: "pair-confirm", onclick: () => enrol(ctx) }, mine.busy, icon("key"), t("pair.confirm")),
    h("button.plain", { type: "button", testid: "pair-differ", onclick: () => { location.hash = "#/"; } }, t("pair.differ")),
  ];
}

const choice = (label, checked, onchange) =>
  h("label.choice", {}, h("input", { type: "radio", name: "wearer", checked, onchange }), h("span", {}, label));
