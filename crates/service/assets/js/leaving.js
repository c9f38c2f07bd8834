// The household's data: all of it as one file, how long what is kept, and erasing the household. What is signed is shown in words
// first.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { leftOver } from "./erasing.js";
import { icon } from "./frame.js";
import { ERASE_DELAY_MS } from "./members.js";
import { mayISign } from "./people.js";
import { askBox, askButton, isAsked } from "./signing.js";
import { span } from "./spans.js";
import { t, when } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;

/** For the household page. */
export function leavingCard(ctx) {
  const { home } = ctx.state;
  return h("section.card", { testid: "your-data" },
    h("h2", {}, t("leaving.title")),
    h("p.soft", {}, t("leaving.more")),
    h("a.plain", { href: "/api/guardian/archive", download: true, testid: "take-out" }, icon("download"), t("leaving.take-out")),
    h("p.soft", { testid: "keeps" }, t("leaving.keeps", { span: span(home.keep.orders_days, "days") })),
    !home.book.folded.erasing && mayISign(home) && eraseRow(ctx));
}

function eraseRow(ctx) {
  const { home } = ctx.state;
  const label = [icon("trash"), t("leaving.erase")];
  if (!isAsked("erase")) {
    return askButton(ctx, "plain.stop", "erase", label, "erase", { erase: {} }, t("leaving.erase-when", { time: when(serviceNow() + ERASE_DELAY_MS) }));
  }
  return h("div.erase", { testid: "erase-words" },
    h("h3", {}, t("leaving.erase-title")),
    h("ul", {},
      h("li", {}, t("leaving.erase-goes")),
      h("li", {}, t("leaving.erase-stays", { span: span(home.keep.books_years, "years") })),
      leftOver(home) && h("li", {}, t("leaving.erase-rest", { rest: leftOver(home) })),
      h("li", {}, t("leaving.erase-undo", { span: span(ERASE_DELAY_MS / DAY_MS, "days") }))),
    askBox(ctx, "erase"));
}
