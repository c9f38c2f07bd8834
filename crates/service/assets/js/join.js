// /join#INVITATION: a guardian founds a household: makes the passkey, signs the founding entry with it, done.

import { get, post, serviceNow } from "./api.js";
import { randomId, utf8 } from "./bytes.js";
import { announce, focusHeading, h, patch } from "./dom.js";
import { busyButton, icon, inDemo, logo, notice, topBar, withDemo } from "./frame.js";
import { textProblem, typedText } from "./messages.js";
import { createPasskey, createSoftwareKey, signWithPasskey, support } from "./passkey.js";
import { currencyName, day, onLanguage, problemText, startTexts, t } from "./texts.js";
import { writePin } from "./pinned.js";
import { relyingParty } from "./trust.js";
import { LogBook, nameDigest } from "./verify.js";

const CURRENCIES = ["CNY", "EUR", "USD", "GBP", "HKD", "JPY", "KRW", "SGD", "TWD", "AUD", "CAD", "CHF", "INR", "BRL"];

const MAX_NAME = 40;

const invitation = location.hash.slice(1);
const state = { service: null, can: null, currency: "CNY", name: null, step: "welcome", busy: false, problem: null, made: null };
let root;

async function start() {
  root = document.getElementById("page");
  await startTexts("join");
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
  document.title = `${t("join.title")} · ${t("brand")}`;
  const next = h("div", { id: "page", class: "page" }, topBar(), h("main.narrow", {}, ...view()));
  root = patch(root, next);
}

function view() {
  if (!invitation) return [h("h1", {}, t("join.title")), notice("bad", t("join.no-invitation"))];
  if (state.step === "done") return done();
  const software = state.service?.demo && !state.can?.passkey;
  return [
    h("div.hero", {}, logo(), h("h1", {}, t("join.title")), h("p.lead", {}, t("join.lead"))),
    !inDemo() && h("ol.plan", {},
      ...["passkey", "watch", "nod"].map((step) => h("li", {}, h("strong", {}, t(`join.plan.${step}`)), h("span", {}, t(`join.plan.${step}-more`))))),
    !inDemo() && h("label.field", {}, h("span", {}, t("join.name")),
      h("input", {
        type: "text", value: ownName(), testid: "guardian-name", autocomplete: "off", maxlength: 80,
        oninput: (event) => { state.name = event.target.value; },
      })),
    !inDemo() && h("label.field", {}, h("span", {}, t("join.currency")),
      h("select", { value: state.currency, testid: "currency", onchange: (event) => { state.currency = event.target.value; } },
        ...CURRENCIES.map((code) => h("option", { value: code, selected: code === state.currency }, `${code} · ${currencyName(code)}`)))),
    state.problem && notice("bad", problemText(state.problem)),
    software && notice("wait", t("passkey.software-note")),
    state.service && busyButton("button.main", { type: "button", testid: "join", onclick: () => found(software) }, state.busy,
      icon("key"), software ? t("join.start-software") : t("join.start")),
    state.service?.demo && !software && h("button.plain", { type: "button", testid: "join-software", onclick: () => found(true), disabled: state.busy },
      t("join.start-software")),
    software && state.can?.webauthn && h("button.plain", { type: "button", testid: "join-passkey", onclick: () => found(false), disabled: state.busy },
      t("join.start")),
    h("p.soft", {}, t("join.no-password")),
  ];
}

function done() {
  return [
    h("div.hero", {}, h("span.big-tick", {}, icon("check", "huge")), h("h1", { testid: "joined" }, t("join.done")),
      h("p.lead", {}, t("join.done-more"))),
    h("a.main", { href: withDemo("/app#/pair"), testid: "pair-first-watch" }, icon("watch"), t("join.pair")),
    h("a.plain", { href: withDemo("/app#/codes"), testid: "join-codes" }, icon("key"), t("codes.reminder")),
    h("a.plain", { href: withDemo("/app") }, t("join.later")),
  ];
}

/** What the child calls this guardian; the watch says it with each nod. */
const ownName = () => state.name ?? t("join.name-default");

/** Passkey, founding entry, household: in this order; what was made is kept when a later step fails. */
async function found(software) {
  if (state.busy) return;
  const said = typedText(ownName());
  const wrong = textProblem(said, MAX_NAME);
  if (wrong) {
    state.problem = { code: `text-${wrong}` };
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
    const made = state.made ?? {
      guardian, ...(software ? await createSoftwareKey(service) : await createPasskey(service, guardian, label)),
    };
    state.made = made;
    const { credential } = made;
    const household = randomId();
    const name = { name: said, salt: randomId() };
    const entry = {
      v: 1, household, seq: 0, guardian, at: serviceNow(), 
      entry: { found: { ...made, name: await nameDigest(name.salt, name.name) } },
    };
    const wire = await signWithPasskey(service, "log", utf8(JSON.stringify(entry)), credential);
    const book = await LogBook.found(wire, null, rp);
    await post("/api/guardian/found", { invitation, entry: wire, name, currency: state.currency });
    writePin({ household, founding: book.head, root: service.root, demo: rp.demo_keys, seq: 0, head: book.head, credential });
    state.step = "done";
    history.replaceState(null, "", location.pathname + location.search); // the invitation is used up
    if (inDemo()) {
      location.assign(withDemo("/app#/pair"));
      return;
    }
    announce(t("join.done"));
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
  if (state.step === "done") focusHeading();
}

start();
