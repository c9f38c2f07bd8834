// /recover: a guardian whose passkey is lost comes back with a printed code: the code makes a key, the key signs a new passkey
// into the household log, and everyone who counts has two days to object. The code never leaves this page.

import { get, post, serviceNow } from "./api.js";
import { randomId } from "./bytes.js";
import { announce, focusHeading, h, patch } from "./dom.js";
import { busyButton, icon, logo, notice, topBar } from "./frame.js";
import { RECOVERY_DELAY_MS } from "./members.js";
import { VerifyError, signJws, textProblem, typedText } from "./messages.js";
import { createPasskey, createSoftwareKey, support } from "./passkey.js";
import { readRecoveryCode, recoveryKey } from "./recovery-code.js";
import { day, onLanguage, problemText, startTexts, t, when } from "./texts.js";
import { writePin } from "./pinned.js";
import { relyingParty } from "./trust.js";
import { LogBook, nameDigest } from "./verify.js";

const MAX_NAME = 40;

const state = { service: null, can: null, code: "", name: "", step: "welcome", busy: false, problem: null, pair: null, book: null, root: null, made: null, joins: null };
let root;

async function start() {
  root = document.getElementById("page");
  await startTexts("recover");
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
  document.title = `${t("recover.title")} · ${t("brand")}`;
  root = patch(root, h("div", { id: "page", class: "page" }, topBar(), h("main.narrow", {}, ...view())));
}

const field = (label, testid, name) => h("label.field", {}, h("span", {}, label),
  h("input", {
    type: "text", value: state[name], testid, autocomplete: "off", autocapitalize: "characters", spellcheck: "false", maxlength: 80,
    oninput: (event) => { state[name] = event.target.value; },
  }));

function view() {
  const problem = state.problem && notice("bad", problemText(state.problem));
  if (state.step === "done") {
    return [
      h("div.hero", {}, h("span.big-tick", {}, icon("check", "huge")), h("h1", { testid: "recovering" }, t("recover.done", { time: when(state.joins) })),
        h("p.lead", {}, t("recover.done-more"))),
      h("a.plain", { href: "/app" }, t("login.start")),
    ];
  }
  if (state.step === "found") {
    const software = state.service.demo && !state.can?.passkey;
    return [
      h("h1", {}, t("recover.found")),
      h("p.lead", {}, t("recover.words", { time: when(serviceNow() + RECOVERY_DELAY_MS) })),
      field(t("join.name"), "guardian-name", "name"),
      problem,
      software && notice("wait", t("passkey.software-note")),
      busyButton("button.main", { type: "button", testid: "recover", onclick: () => recover(software) }, state.busy, icon("key"),
        software ? t("join.start-software") : t("recover.now")),
    ];
  }
  return [
    h("div.hero", {}, logo(), h("h1", {}, t("recover.title")), h("p.lead", {}, t("recover.lead"))),
    field(t("recover.code"), "recovery-code", "code"),
    problem,
    state.service && busyButton("button.main", { type: "button", testid: "recovery-start", onclick: find }, state.busy, icon("next"), t("recover.next")),
  ];
}

/** Runs one step at a person's touch. */
async function step(run) {
  if (state.busy) return;
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    await run();
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
  focusHeading();
}

/** The household that the code belongs to, its log verified. */
const find = () => step(async () => {
  const secret = await readRecoveryCode(state.code);
  if (!secret) throw { code: "recovery-mistyped" };
  state.pair = await recoveryKey(secret);
  await load();
  state.step = "found";
});

async function load() {
  const found = await post("/api/recovery/start", { key: state.pair.key });
  const [first, ...rest] = found.log;
  const book = await LogBook.found(first, null, relyingParty(state.service, null));
  for (const wire of rest) await book.append(wire);
  if (book.household !== found.household || !book.folded.recovery.has(state.pair.key)) throw new VerifyError("other-household");
  Object.assign(state, { book, root: found.root });
}

const recover = (software) => step(async () => {
  const said = typedText(state.name);
  const wrong = textProblem(said, MAX_NAME);
  if (wrong) throw { code: `text-${wrong}` };
  const { service } = state;
  const guardian = state.made?.guardian ?? randomId();
  const label = `${t("brand")} · ${day(Date.now())}`;
  state.made ??= { guardian, ...(software ? await createSoftwareKey(service) : await createPasskey(service, guardian, label)) };
  await load(); // the log may have grown meanwhile
  const { book } = state;
  const { credential } = state.made;
  const name = { name: said, salt: randomId() };
  const entry = {
    v: 1, household: book.household, seq: book.heads.length, prev: book.head, guardian, at: Math.max(serviceNow(), book.lastAt),
    entry: { recover: { ...state.made, name: await nameDigest(name.salt, name.name) } },
  };
  const { wire } = await signJws("recovery", entry, state.pair.privateKey);
  await book.append(wire); // as everyone else will
  const { joins } = await post("/api/recovery", { entry: wire, name });
  writePin({
    household: book.household, founding: book.heads[0], root: state.root, demo: book.rp.demo_keys, seq: book.heads.length - 1, head: book.head, credential,
  });
  Object.assign(state, { step: "done", joins, pair: null, code: "" });
  announce(t("recover.done", { time: when(joins) }));
});

start();
