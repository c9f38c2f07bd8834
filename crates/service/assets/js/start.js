// /: the doors to the other pages.

import { get } from "./api.js";
import { h, patch } from "./dom.js";
import { icon, logo, topBar } from "./frame.js";
import { onLanguage, startTexts, t } from "./texts.js";

let root;
let demo = false;

async function start() {
  root = document.getElementById("page");
  await startTexts("start");
  onLanguage(render);
  render();
  demo = (await get("/api/service").catch(() => ({}))).demo === true;
  render();
}

function render() {
  document.title = t("brand");
  const door = (href, symbol, key, more) =>
    h("a", { href, testid: key }, h("span.tile", {}, icon(symbol)), h("span", {}, h("strong", {}, t(key)), h("span.soft", {}, t(more))));
  root = patch(root, h("div.page", { id: "page" }, topBar(), h("main.narrow", {},
    h("div.hero", {}, logo(), h("h1", {}, t("start.title")), h("p.lead", {}, t("start.lead"))),
    h("nav.doors", { "aria-label": t("nav.label") },
      demo && door("/demo", "watch", "start.demo", "start.demo-more"),
      door("/app", "person", "start.app", "start.app-more"),
      door("/till", "shop", "start.till", "start.till-more")))));
}

start();
