// Signing, in words first: a button, then what it means beside the passkey. One thing is asked at a time, on one page.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}.

import { h } from "./dom.js";
import { busyButton, icon } from "./frame.js";
import { twoNote } from "./people.js";
import { t } from "./texts.js";

/** What is about to be signed: {key, entry, words}. */
let asking = null;

/** When a page is left, nothing half done stays. */
export const forgetAsked = () => {
  asking = null;
};

export const isAsked = (key) => asking?.key === key;

/** A button that shows what will be signed. `entry` as it goes into the log. */
export function askButton(ctx, look, testid, label, key, entry, words) {
  return h(`button.${look}`, {
    type: "button", testid,
    onclick: () => {
      asking = { key, entry, words };
      ctx.render();
    },
  }, label);
}

/** The words and the passkey button, where this is what is asked. */
export function askBox(ctx, key) {
  if (!isAsked(key)) return null;
  return h("div.ask", {},
    h("p", {}, asking.words),
    twoNote(ctx, asking.entry),
    h("div.buttons", {},
      h("button.plain", { type: "button", onclick: () => { asking = null; ctx.render(); } }, t("cancel")),
      busyButton("button.main", { type: "button", testid: "guardians-sign", onclick: () => ctx.act(asking.entry, () => { asking = null; }) },
        ctx.state.busy, icon("key"), t("pin.sign"))));
}
