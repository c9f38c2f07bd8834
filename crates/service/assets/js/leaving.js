// Taking everything along: one file with all that is kept of the household.

import { h } from "./dom.js";
import { icon } from "./frame.js";
import { t } from "./texts.js";

/** For the household page. */
export function leavingCard() {
  return h("section.card", {},
    h("h2", {}, t("leaving.title")),
    h("p.soft", {}, t("leaving.more")),
    h("a.plain", { href: "/api/guardian/archive", download: true, testid: "take-out" }, icon("download"), t("leaving.take-out")));
}
