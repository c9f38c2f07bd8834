// The freeze: one tap stops all paying; lifting it is signed.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}.

import { post } from "./api.js";
import { announce, h } from "./dom.js";
import { icon, notice } from "./frame.js";
import { guardianName, mayISign, openProposals } from "./people.js";
import { askBox, askButton, isAsked } from "./signing.js";
import { problemText, t, when } from "./texts.js";

/** In the header of every page: one tap, no question. */
export function freezeButton(ctx) {
  const { home } = ctx.state;
  if (home.freeze) return null;
  return h("button.freeze", {
    type: "button", testid: "freeze",
    onclick: async () => {
      ctx.state.freezeProblem = null;
      try {
        const freeze = await post("/api/guardian/freeze");
        ctx.state.home.freeze = freeze;
        announce(t("freeze.done"));
      } catch (error) {
        ctx.state.freezeProblem = error;
      }
      ctx.render();
    },
  }, icon("pause"), t("freeze.now"));
}

/** On every page, while a guardian's freeze holds, or where one did not come about. */
export function freezeNotice(ctx) {
  const { home, freezeProblem } = ctx.state;
  if (!home.freeze) {
    return freezeProblem && h("div.frozen", { testid: "freeze-failed", key: "freeze-failed" },
      notice("bad", t("freeze.failed"), h("p", {}, problemText(freezeProblem))));
  }
  const { by, at } = home.freeze;
  const entry = { unfreeze: { frozen_at: at } };
  const own = by === home.guardian.guardian;
  const proposed = openProposals(home).some(([, { change }]) => change.kind === "unfreeze" && change.content.frozen_at === at);
  const words = own ? t("freeze.by-you", { time: when(at) }) : t("freeze.by", { name: guardianName(home, by), time: when(at) });
  return h("div.frozen", { testid: "frozen", key: "frozen" },
    notice("bad", words,
      !proposed && mayISign(home) && !isAsked("unfreeze")
        && h("div.buttons", {}, askButton(ctx, "plain", "unfreeze", t("freeze.lift"), "unfreeze", entry, t("freeze.lift-sure"))),
      proposed && h("p", {}, h("a", { href: "#/guardians" }, t("freeze.proposed"))),
      askBox(ctx, "unfreeze")));
}
