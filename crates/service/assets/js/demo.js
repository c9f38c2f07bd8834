// /demo: till, watch and phone side by side. Till and phone are the real pages in frames; the watch is the real watch
// program, whose picture, elements, touches and camera frames travel over a WebSocket: one byte of kind, then the payload.
//
//   to the watch    T touch {"kind": "down|move|up", "x", "y"} · F camera frame: u16 width, u16 height, luma · A label tapped · L language
//   from the watch  P picture: u16 width, u16 height, RGB · E elements {"screen", "elements": […], "camera"}
//
// Knows nothing of messages and money; it only looks at the frames' pages to say what comes next and to show a code to the
// watch's camera.

import { get } from "./api.js";
import { h, patch } from "./dom.js";
import { icon, languageButton, logo, notice } from "./frame.js";
import { getKey } from "./keys.js";
import { language, onLanguage, problemText, startTexts, t } from "./texts.js";

const CAMERA = { width: 640, height: 480 };
const FRAME_MS = 125;
const RETRY_MS = 1_000;
const MAX_WAITING_BYTES = 1_500_000;
const STEPS = ["join", "pair", "confirm", "charge", "scan", "pin", "strike", "nod", "done"];
const SIDE_OF = {
  join: "phone", pair: "watch", taken: "watch", "choose-pin": "watch", confirm: "phone", charge: "till", scan: "watch", pin: "watch", strike: "phone", nod: "phone", done: "phone",
};

const state = { pages: null, problem: null, tab: "phone", step: "join", live: false, shown: { screen: "", elements: [], camera: false }, sees: "nothing", video: null, noCamera: false };
let root;
let socket = null;

const screen = document.createElement("canvas");
const touches = document.createElement("div");
const eye = document.createElement("canvas");
Object.assign(eye, CAMERA);

async function start() {
  root = document.getElementById("page");
  await startTexts("demo");
  onLanguage(() => {
    send("L", new TextEncoder().encode(language()));
    render();
  });
  screen.setAttribute("aria-hidden", "true");
  touches.className = "touches";
  render();
  try {
    state.pages = await findPages();
  } catch (error) {
    state.problem = error;
  }
  render();
  connect();
  setInterval(look, FRAME_MS);
  setInterval(guide, 3 * FRAME_MS);
}

/** The till and phone of this browser, where they are set up already; else the demo's one-time links. */
async function findPages() {
  const [phone, till] = await Promise.all([
    get("/api/guardian/household").then(() => "/app?demo", () => null),
    Promise.all([get("/api/merchant"), getKey("till")]).then(([, key]) => (key ? "/till?demo" : null), () => null),
  ]);
  if (phone && till) return { phone, till };
  const fresh = await get("/demo/start");
  const marked = (link) => link.replace("#", "?demo#");
  return { phone: phone ?? marked(fresh.join), till: till ?? marked(fresh.till) };
}

// ---- the watch -------------------------------------------------------------------------------------------------------------------

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/demo/watch`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    state.live = true;
    send("L", new TextEncoder().encode(language()));
    render();
  };
  socket.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    const kind = String.fromCharCode(bytes[0]);
    if (kind === "P") drawPicture(bytes);
    if (kind === "E") takeElements(JSON.parse(new TextDecoder().decode(bytes.subarray(1))));
    // Browsers complain about a page that vibrates before it was touched.
    if (kind === "H" && navigator.userActivation?.hasBeenActive) {
      navigator.vibrate?.(JSON.parse(new TextDecoder().decode(bytes.subarray(1))).pulses);
    }
  };
  socket.onclose = () => {
    state.live = false;
    render();
    setTimeout(connect, RETRY_MS);
  };
}

function send(kind, payload) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const message = new Uint8Array(1 + payload.length);
  message[0] = kind.charCodeAt(0);
  message.set(payload, 1);
  socket.send(message);
}

function drawPicture(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [width, height] = [view.getUint16(1), view.getUint16(3)];
  if (bytes.length !== 5 + 3 * width * height) return;
  if (screen.width !== width || screen.height !== height) {
    Object.assign(screen, { width, height });
    render();
  }
  const picture = new ImageData(width, height);
  for (let from = 5, to = 0; from < bytes.length; from += 3, to += 4) {
    picture.data[to] = bytes[from];
    picture.data[to + 1] = bytes[from + 1];
    picture.data[to + 2] = bytes[from + 2];
    picture.data[to + 3] = 255;
  }
  screen.getContext("2d").putImageData(picture, 0, 0);
}

/** Lays real buttons and texts over the picture, for keyboards, screen readers and tests. */
function takeElements(shown) {
  const changed = saidBy(shown) !== saidBy(state.shown) || shown.screen !== state.shown.screen || shown.camera !== state.shown.camera;
  state.shown = shown;
  shown.elements.forEach((element, at) => {
    const name = element.role === "button" ? "BUTTON" : "P";
    let own = touches.children[at];
    if (own?.nodeName !== name) {
      const made = document.createElement(name);
      if (own) own.replaceWith(made);
      else touches.append(made);
      own = made;
    }
    if (own.textContent !== element.label) own.textContent = element.label;
    if (name === "BUTTON") {
      own.type = "button";
      own.disabled = element.enabled === false;
      own.onclick = (event) => {
        if (event.detail === 0) send("A", new TextEncoder().encode(element.label)); // by keyboard or screen reader
      };
    }
    const [middleX, middleY] = [element.x + element.width / 2, element.y + element.height / 2];
    own.hidden = element.in_sight === false || middleX < 0 || middleY < 0 || middleX > screen.width || middleY > screen.height;
    own.style.left = `${(100 * element.x) / screen.width}%`;
    own.style.top = `${(100 * element.y) / screen.height}%`;
    own.style.width = `${(100 * element.width) / screen.width}%`;
    own.style.height = `${(100 * element.height) / screen.height}%`;
  });
  while (touches.children.length > shown.elements.length) touches.lastChild.remove();
  if (changed) render();
}

/** What stands on the watch's face, for who cannot see it. */
const saidBy = ({ elements }) => elements.filter((element) => element.role === "text").map((element) => element.label).join(", ");

/** Fingers and mice on the face, in the picture's own pixels. */
function onPointer(event) {
  const kind = { pointerdown: "down", pointermove: "move", pointerup: "up", pointercancel: "up" }[event.type];
  if (kind === "move" && event.buttons === 0) return;
  const face = event.currentTarget;
  const box = face.getBoundingClientRect();
  const x = Math.round(((event.clientX - box.left) * screen.width) / box.width);
  const y = Math.round(((event.clientY - box.top) * screen.height) / box.height);
  if (kind === "down") face.setPointerCapture(event.pointerId);
  send("T", new TextEncoder().encode(JSON.stringify({ kind, x, y })));
}

// ---- its camera -----------------------------------------------------------------------------------------------------------------

const pageOf = (side) => document.getElementById(`${side}-frame`)?.contentDocument ?? null;

function codeShown() {
  for (const [side, testid] of [["phone", "pairing-code"], ["till", "till-code"]]) {
    const canvas = pageOf(side)?.querySelector(`[data-testid="${testid}"] canvas`);
    if (canvas) return { side, canvas };
  }
  return null;
}

/** While the watch's camera is on: what it sees, 8 times a second. */
function look() {
  if (!state.shown.camera || socket?.readyState !== WebSocket.OPEN || socket.bufferedAmount > MAX_WAITING_BYTES) return;
  const context = eye.getContext("2d", { willReadFrequently: true });
  const { width, height } = CAMERA;
  context.fillStyle = "#c9c4b8";
  context.fillRect(0, 0, width, height);
  let sees = "nothing";
  if (state.video) {
    const { videoWidth, videoHeight } = state.video;
    const scale = Math.max(width / videoWidth, height / videoHeight) || 1;
    context.drawImage(state.video, (width - videoWidth * scale) / 2, (height - videoHeight * scale) / 2, videoWidth * scale, videoHeight * scale);
    sees = "real";
  } else {
    const found = codeShown();
    if (found) {
      const side = height - 24;
      context.drawImage(found.canvas, (width - side) / 2, (height - side) / 2, side, side);
      sees = found.side;
    }
  }
  const { data } = context.getImageData(0, 0, width, height);
  const frame = new Uint8Array(4 + width * height);
  new DataView(frame.buffer).setUint16(0, width);
  new DataView(frame.buffer).setUint16(2, height);
  for (let from = 0, to = 4; to < frame.length; from += 4, to += 1) {
    frame[to] = (data[from] * 77 + data[from + 1] * 150 + data[from + 2] * 29) >> 8;
  }
  send("F", frame);
  if (sees !== state.sees) {
    state.sees = sees;
    render();
  }
}

async function switchCamera() {
  state.noCamera = false;
  if (state.video) {
    for (const track of state.video.srcObject.getTracks()) track.stop();
    state.video = null;
  } else {
    try {
      const video = document.createElement("video");
      Object.assign(video, { muted: true, playsInline: true });
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720, facingMode: "environment" } });
      await video.play();
      state.video = video;
    } catch {
      state.noCamera = true;
    }
  }
  render();
}

// ---- what comes next --------------------------------------------------------------------------------------------------------------

function nextStep() {
  const phone = pageOf("phone");
  const till = pageOf("till");
  const find = (page, testid) => page?.querySelector(`[data-testid="${testid}"]`) ?? null;
  const view = phone?.getElementById("page")?.dataset.view;
  const { screen: face } = state.shown;
  if (!view || view === "login") return "join";
  if (find(phone, "check-digits")) return "confirm";
  if (face === "choose-pin") return "choose-pin";
  if (view === "pair") return ["home", "review", "pin", "waiting", "ended"].includes(face) ? "taken" : "pair";
  const status = find(till, "till-status")?.dataset.status;
  if (find(phone, "approve") || find(phone, "refuse-all")) {
    return phone.querySelector('.strike.struck') || find(phone, "approve")?.getAttribute("aria-busy") ? "nod" : "strike";
  }
  if (status === undefined) return "charge";
  if (status === "open" || (status === "scanned" && ["home", "scan"].includes(face))) return "scan";
  if (status === "scanned") return "pin";
  return ["waiting", "changed"].includes(status) ? "strike" : status === "approved" ? "nod" : "done";
}

function guide() {
  const step = nextStep();
  if (step === state.step) return;
  const before = SIDE_OF[state.step];
  state.step = step;
  if (state.tab === before) state.tab = SIDE_OF[step];
  render();
}

// ---- the page -----------------------------------------------------------------------------------------------------------------------

function render() {
  document.title = `${t("demo.title")}`;
  const at = STEPS.indexOf(["choose-pin", "taken"].includes(state.step) ? "pair" : state.step);
  const next = h("div.page", { id: "page", "data-step": state.step },
    h("header.top", {}, h("span.mark", { "aria-hidden": "true" }, logo()), h("h1.brand", {}, t("demo.title")), languageButton()),
    state.problem && notice("bad", t("demo.failed"), h("p", {}, problemText(state.problem))),
    h("section.guide", { role: "status", "aria-live": "polite" },
      h("p", { testid: "hint" }, t(`demo.step.${state.step}`)),
      h("ol.dots", { "aria-hidden": "true" }, ...STEPS.map((step, index) => h(`li${index < at ? ".done" : index === at ? ".now" : ""}`, {})))),
    h("main.stage", {}, side("till", frame("till")), side("watch", watch()), side("phone", frame("phone"))),
    tabs());
  root = patch(root, next);
}

function side(name, ...content) {
  const now = SIDE_OF[state.step] === name;
  return h(`section.side${now ? ".now" : ""}${state.tab === name ? ".shown" : ""}`, { id: `side-${name}`, key: name, "aria-labelledby": `title-${name}` },
    h("h2", { id: `title-${name}` }, t(`demo.${name}`)), ...content);
}

function frame(name) {
  const device = name === "till" ? "div.device.tablet" : "div.device";
  if (!state.pages) return h(device, {});
  const exists = document.getElementById(`${name}-frame`);
  return h(device, { "data-keep": name, key: name },
    exists ? null : h("iframe", { id: `${name}-frame`, src: state.pages[name], title: t(`demo.${name}`), allow: "publickey-credentials-get; publickey-credentials-create" }));
}

function watch() {
  const square = screen.width !== screen.height;
  const shape = square ? ".square" : "";
  const { camera } = state.shown;
  const cameraText = camera ? t(`demo.sees.${state.sees}`) : t("demo.camera-off");
  const face = h(`div.face${shape}`, { "data-keep": `face${shape}`, key: "face", role: "group", "aria-label": t("demo.watch-screen"), testid: "watch-face" });
  if (!document.querySelector(`[data-keep="face${shape}"]`)) {
    face.append(screen, touches);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) face.addEventListener(type, onPointer);
  }
  return h("div.column", {},
    h("div.wrist", {},
      h("div.strap.upper", {}),
      h(`div.case${shape}`, {}, face, !state.live && h("p.away", {}, t("demo.watch-away"))),
      h("div.strap.lower", {})),
    h("p.unseen", { "aria-live": "polite", testid: "watch-says" },
      t("demo.watch-says", { text: saidBy(state.shown) })),
    h("div.camera", {},
      h("p", { testid: "camera" }, icon("camera"), cameraText),
      h("button.plain", { type: "button", testid: "real-camera", onclick: switchCamera }, state.video ? t("demo.page-camera") : t("demo.real-camera")),
      state.noCamera && notice("bad", t("demo.no-camera")),
      h("p", {}, t("demo.note"))));
}

function tabs() {
  return h("footer.tabs-bar", {}, h("div.tabs", { role: "tablist", "aria-label": t("demo.tabs") },
    ...["till", "watch", "phone"].map((name) => h(`button${SIDE_OF[state.step] === name && state.tab !== name ? ".now" : ""}`, {
      type: "button", role: "tab", "aria-selected": String(state.tab === name), "aria-controls": `side-${name}`, testid: `tab-${name}`,
      onclick: () => { state.tab = name; render(); },
    }, t(`demo.${name}`)))));
}

start();
