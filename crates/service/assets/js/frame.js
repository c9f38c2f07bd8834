// What all pages share: the bar at the top, icons, notices, badges. Only builds elements.

import { h } from "./dom.js";
import { clock, otherLanguage, setLanguage, t } from "./texts.js";

/** Shapes of 24 × 24. */
const ICONS = {
  check: "M4.5 12.5l5 5L20 7",
  cross: "M6 6l12 12M18 6L6 18",
  clock: "M12 7v5l3.5 2M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18z",
  shield: "M12 3l7.5 3v5.5c0 4.5-3.1 7.9-7.5 9.5-4.4-1.6-7.5-5-7.5-9.5V6zM8.7 12l2.4 2.4 4.3-4.6",
  warning: "M12 4l9 16H3zM12 10v4.5M12 17.3v.2",
  shop: "M4 10v10h16V10M3 10l2-6h14l2 6M3 10c0 3 4.5 3 4.5 0 0 3 4.5 3 4.5 0 0 3 4.5 3 4.5 0 0 3 4.5 3 4.5 0M10 20v-5h4v5",
  watch: "M8 6.5L9 2h6l1 4.5M8 17.5L9 22h6l1-4.5M12 18.5a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM12 9v3l2 1.3",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  back: "M14.5 5l-7 7 7 7",
  next: "M9.5 5l7 7-7 7",
  undo: "M8 5L4 9l4 4M4 9h10a6 6 0 0 1 0 12h-4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  person: "M12 12a4 4 0 1 1 0-8 4 4 0 0 1 0 8zM4.5 20.5c1-4.5 4-6 7.5-6s6.5 1.5 7.5 6",
  home: "M4 11l8-7 8 7M6 9.5V20h12V9.5M10 20v-5h4v5",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 16.5a3.5 3.5 0 1 1 0-7 3.5 3.5 0 0 1 0 7z",
  key: "M14.5 13a4.5 4.5 0 1 0-4-2.5L3 18v3h3l1-1v-2h2v-2h2l1.5-1.600M15.800 8.200v.1",
  out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  wallet: "M4 7.5V18a2 2 0 0 0 2 2h14V8H6a2 2 0 0 1 0-4h12v4M16.5 14h.1",
  phone: "M8 3h8a1.500 1.500 0 0 1 1.500 1.500v15A1.500 1.500 0 0 1 16 21H8a1.500 1.500 0 0 1-1.500-1.500v-15A1.500 1.500 0 0 1 8 3zM11 18h2",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  pause: "M9 6v12M15 6v12",
  chart: "M4 20h16M7 16v-5M12 16V6M17 16v-8",
  wallet: "M4 7h15v12H4zM4 7l11-3v3M15 13h4",
};

export const icon = (name, size = "") => shape(ICONS[name], size);

/** A picture drawn with one line. */
export function shape(path, size = "") {
  const svg = h(`svg.icon${size ? `.${size}` : ""}`, { viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" });
  svg.append(h("path", { d: path }));
  return svg;
}

export const inDemo = () => new URLSearchParams(location.search).has("demo");
/** The same place with the demo's mark kept. */
export const withDemo = (path) => (inDemo() ? path.replace(/^([^#]*)/, "$1?demo") : path);

/** The bar on top. `live` is the state of the event stream, or null where there is none. */
export function topBar({ live = null, back = null, title = null, more = null } = {}) {
  return h("header.top", {},
    back
      ? h("a.round", { href: back.href, "aria-label": back.label, testid: "back" }, icon("back"))
      : h("span.mark", { "aria-hidden": "true" }, logo()),
    h("span.brand", {}, title ?? t("brand")),
    more,
    live && h(`span.live.${live}`, { role: "img", "aria-label": t(`live.${live}`), title: t(`live.${live}`) }),
    !inDemo() && languageButton(),
  );
}

export function languageButton() {
  return h("button.language", {
    type: "button", lang: otherLanguage() === "zh" ? "zh-CN" : "en", testid: "language", onclick: () => setLanguage(otherLanguage()),
  }, t("language.other"));
}

/** A watch face that nods. */
export function logo() {
  const svg = h("svg.logo", { viewBox: "0 0 32 32", "aria-hidden": "true" });
  svg.append(
    h("circle", { cx: 16, cy: 16, r: 15, class: "logo-face" }),
    h("path", { d: "M8.5 15.5l5.200 5.5L24 10.5", class: "logo-nod" }),
  );
  return svg;
}

/** A message on the page. Kinds: good, bad, wait, info. */
export function notice(kind, text, ...more) {
  const icons = { good: "check", bad: "warning", wait: "clock", info: "shield" };
  return h(`div.notice.${kind}`, { role: kind === "bad" ? "alert" : null },
    icon(icons[kind]), h("div", {}, h("p", {}, text), ...more));
}

/** Shown above everything while the page cannot reach the service. */
export function offlineBar(live, since) {
  if (live !== "offline" && live !== "connecting") return null;
  if (live === "connecting" && !since) return null;
  return h("p.lost", { role: "status", testid: "offline" },
    icon("warning"), t("live.lost", { time: clock(since ?? Date.now()) }));
}

export function busyButton(tag, props, busy, ...children) {
  return h(`${tag}${busy ? ".busy" : ""}`, { ...props, "aria-busy": busy ? "true" : null, disabled: busy || props.disabled }, ...children);
}

/** A bar that runs out: `left` of `whole` milliseconds. */
export function timeBar(left, whole, label) {
  return h("progress.time", { max: 1000, value: Math.max(0, Math.min(1000, Math.round((1000 * left) / whole))), "aria-label": label });
}

/** The first letter of a name in a circle. */
export function avatar(name) {
  return h("span.avatar", { "aria-hidden": "true" }, [...name][0] ?? "?");
}
