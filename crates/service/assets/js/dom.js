// Small helpers to build the page and to bring it up to date without losing focus, scroll or what is being typed.
//
// Text always goes in as text nodes: nothing another party wrote is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown", "onpointerdown"];

/** `h("button.main", {onclick, testid: "approve"}, "Text", child, null)`. */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = name === "svg" || name === "path" || name === "circle" || name === "use"
    ? document.createElementNS(SVG, name) : document.createElement(name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (HANDLERS.includes(key)) element[key] = value;
    else if (key === "value") element.value = value;
    else if (key === "checked") element.checked = value;
    else if (key === "testid") element.setAttribute("data-testid", value);
    else if (key === "key") element.setAttribute("data-key", value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Makes `old` look and behave like `next`, keeping its elements. Gives the element now in the page. */
export function patch(old, next) {
  const same = old.nodeType === next.nodeType && old.nodeName === next.nodeName && keyOf(old) === keyOf(next);
  if (!same) {
    old.replaceWith(next);
    return next;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return old;
  }
  if (old.dataset.keep !== undefined && old.dataset.keep === next.dataset.keep) return old;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) if (old[name] !== next[name]) old[name] = next[name];
  if (old.nodeName === "INPUT" || old.nodeName === "TEXTAREA" || old.nodeName === "SELECT") {
    patchChildren(old, next);
    if (old !== document.activeElement && old.value !== next.value) old.value = next.value;
    if (old.checked !== next.checked) old.checked = next.checked;
    return old;
  }
  if (old.nodeName === "PROGRESS" && old.value !== next.value) old.value = next.value;
  patchChildren(old, next);
  return old;
}

function patchChildren(old, next) {
  const keyed = new Map([...old.childNodes].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const key = keyOf(child);
    const match = key ? keyed.get(key) : place && !keyOf(place) ? place : null;
    if (!match) {
      old.insertBefore(child, place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    else old.insertBefore(match, place);
    patch(match, child);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

const keyOf = (node) => node.dataset?.key;

let liveTimer = 0;

/** Says `text` to screen readers, once. */
export function announce(text) {
  const live = document.getElementById("live");
  if (!live || !text) return;
  live.textContent = "";
  clearTimeout(liveTimer);
  liveTimer = setTimeout(() => {
    live.textContent = text;
  }, 60);
}

/** Brings focus to the page's heading after a change of page, so that a screen reader starts there. */
export function focusHeading() {
  const heading = document.querySelector("main h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Hands `text` to the person as a file. */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
