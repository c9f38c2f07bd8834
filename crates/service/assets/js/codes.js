// Printed recovery codes: made here, shown once, signed into the household log. Codes not yet printed never leave this page.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { twoNote } from "./people.js";
import { newRecoveryCode, readRecoveryCode, recoveryKey } from "./recovery-code.js";
import { day, problemText, t } from "./texts.js";

const CODES = 6;

/** {codes, keys, done}, or null. */
let now = null;

export const left = () => {
  now = null;
};

async function makeCodes(ctx) {
  const mine = { codes: [], keys: [], done: false };
  for (let count = 0; count < CODES; count += 1) {
    const code = await newRecoveryCode();
    mine.codes.push(code);
    mine.keys.push((await recoveryKey(await readRecoveryCode(code))).key);
  }
  now = mine;
  ctx.render();
}

export function page(ctx) {
  const { home, problem } = ctx.state;
  const mine = now;
  if (!mine) {
    return [
      h("h1", {}, t("codes.title")),
      h("p.lead", {}, t("codes.lead")),
      notice("info", t("codes.more")),
      home.book.folded.recovery.size > 0 && notice("wait", t("codes.replaces")),
      h("button.main", { type: "button", testid: "codes-make", onclick: () => makeCodes(ctx) }, icon("key"), t("codes.make")),
    ];
  }
  const entry = { "enrol-recovery": { keys: mine.keys } };
  return [
    h("h1", {}, t("codes.title")),
    h("section.card.codes", {},
      h("p", {}, t("codes.sheet", { address: `${location.host}/recover`, day: day(serviceNow()) })),
      h("ol", { testid: "code-list" }, ...mine.codes.map((code) => h("li.code", {}, code)))),
    problem && notice("bad", problemText(problem)),
    mine.done
      ? [notice("good", mine.proposed ? t("guardians.needs-two") : t("codes.done")), h("a.main", { href: "#/" }, t("pair.home"))]
      : [
        h("button.plain", { type: "button", testid: "codes-print", onclick: () => print() }, icon("download"), t("codes.print")),
        notice("info", t("codes.sure")),
        twoNote(ctx, entry),
        busyButton("button.main", {
          type: "button", testid: "codes-sign",
          onclick: () => {
            mine.proposed = ctx.mustPropose(entry);
            ctx.act(entry, () => { mine.done = true; });
          },
        }, ctx.state.busy, icon("key"), t("codes.sign")),
      ],
  ];
}
