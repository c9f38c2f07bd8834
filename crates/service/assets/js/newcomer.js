// /newcomer#CODE: somebody who was invited becomes a guardian: makes a passkey, proves to have seen the link, compares six
// digits with the one who invited them. The secret in the link never leaves this page.

import { get, post, serviceNow } from "./api.js";
import { fromBase64Url, randomId, utf8 } from "./bytes.js";
import { announce, focusHeading, h, patch } from "./dom.js";
import { busyButton, icon, logo, notice, topBar } from "./frame.js";
import { textProblem, typedText } from "./messages.js";
import { createPasskey, createSoftwareKey, signWithPasskey, support } from "./passkey.js";
import { day, onLanguage, problemText, startTexts, t } from "./texts.js";
import { writePin } from "./pinned.js";
import { relyingParty } from "./trust.js";
import { checkDigits, nameDigest, proveGuardian, verifyGuardianClaim } from "./verify.js";

const MAX_NAME = 40;
/** How often the page asks what became of the claim. */
const LOOK_MS = 2_000;

const code = readCode(location.hash.slice(1));
const state = { service: null, can: null, name: "", step: "welcome", busy: false, problem: null, digits: null, made: null };
let root;

/** What the link says, or null. */
function readCode(fragment) {
  try {
    const said = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(fromBase64Url(fragment)));
    const texts = ["pairing", "household", "founding", "root", "secret"].every((name) => typeof said[name] === "string");
    return said["nodpay-join"] === 1 && texts && fromBase64Url(said.secret)?.length === 16 ? said : null;
  } catch {
    return null;
  }
}

async function start() {
  root = document.getElementById("page");
  await startTexts("newcomer");
  onLanguage(render);
  try {
    state.service = await get("/api/service");
    state.can = await support(state.service);
  } catch (error) {
    state.problem = error;
  }
  render();
}

function render() {
  document.title = `${t("newcomer.title")} · ${t("brand")}`;
  root = patch(root, h("div", { id: "page", class: "page" }, topBar(), h("main.narrow", {}, ...view())));
}

function view() {
  if (!code) return [h("h1", {}, t("newcomer.title")), notice("bad", t("newcomer.no-link"))];
  if (state.step === "done") return done();
  if (state.step === "claimed") return compare();
  const software = state.service?.demo && !state.can?.passkey;
  return [
    h("div.hero", {}, logo(), h("h1", {}, t("newcomer.title")), h("p.lead", {}, t("newcomer.lead"))),
    h("label.field", {}, h("span", {}, t("join.name")),
      h("input", {
        type: "text", value: state.name, testid: "guardian-name", autocomplete: "off", maxlength: 80,
        oninput: (event) => { state.name = event.target.value; },
      })),
    notice("info", t("newcomer.words")),
    state.problem && notice("bad", problemText(state.problem)),
    software && notice("wait", t("passkey.software-note")),
    state.service && busyButton("button.main", { type: "button", testid: "claim", onclick: () => claim(software) }, state.busy,
      icon("key"), software ? t("join.start-software") : t("join.start")),
    h("p.soft", {}, t("join.no-password")),
  ];
}

function compare() {
  return [
    h("h1", {}, t("newcomer.compare")),
    h("section.card.center", {}, h("p.lead", {}, t("newcomer.compare-more")), h("p.digits", { testid: "check-digits" }, state.digits)),
    state.problem && notice("bad", problemText(state.problem)),
    h("p.soft", {}, t("newcomer.waiting")),
  ];
}

function done() {
  return [
    h("div.hero", {}, h("span.big-tick", {}, icon("check", "huge")), h("h1", { testid: "admitted" }, t("newcomer.done")),
      h("p.lead", {}, t("newcomer.done-more"))),
    h("a.main", { href: "/app", testid: "to-app" }, icon("key"), t("login.start")),
  ];
}

/** Passkey, then the claim; what was made is kept when a later step fails. */
async function claim(software) {
  if (state.busy) return;
  const said = typedText(state.name);
  const wrong = textProblem(said, MAX_NAME);
  if (wrong || serviceNow() >= code.expires) {
    state.problem = { code: wrong ? `text-${wrong}` : "pairing-expired" };
    render();
    return;
  }
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    const { service } = state;
    const rp = relyingParty(service, null);
    const guardian = state.made?.guardian ?? randomId();
    const label = `${t("brand")} · ${day(Date.now())}`;
    const made = state.made ?? { guardian, ...(software ? await createSoftwareKey(service) : await createPasskey(service, guardian, label)) };
    state.made = made;
    const { credential } = made;
    const name = { name: said, salt: randomId() };
    const { pairing, household, founding } = code;
    const asked = {
      v: 1, pairing, household,
      guardian: { ...made, name: await nameDigest(name.salt, name.name) },
    };
    const secret = fromBase64Url(code.secret);
    asked.proof = await proveGuardian(secret, asked);
    const wire = await signWithPasskey(service, "guardian-claim", utf8(JSON.stringify(asked)), credential);
    const verified = await verifyGuardianClaim(wire, rp, { pairing, household, secret });
    await post(`/api/joins/${pairing}/claim`, { claim: wire, name });
    // Whose household it is the link said, and this browser keeps it.
    writePin({ household, founding, root: code.root, demo: rp.demo_keys, seq: 0, head: founding, credential });
    state.digits = await checkDigits(verified.digest);
    state.step = "claimed";
    history.replaceState(null, "", location.pathname + location.search);
    announce(t("pair.compare-said", { digits: state.digits }));
    setTimeout(look, LOOK_MS);
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
  focusHeading();
}

/** Whether the one who invited has signed. */
async function look() {
  try {
    const { state: stands } = await get(`/api/joins/${code.pairing}`);
    state.problem = stands === "closed" ? { code: "pairing-closed" } : null;
    if (stands === "done") {
      state.step = "done";
      announce(t("newcomer.done"));
    }
  } catch (error) {
    state.problem = error;
  }
  render();
  if (state.step === "claimed" && state.problem?.code !== "pairing-closed") setTimeout(look, LOOK_MS);
  else focusHeading();
}

start();
