// A household that is to be erased says so on every page, and can be kept from there.
//
// `ctx` is what app.js lends: {state, render, act, mustPropose}.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { notice } from "./frame.js";
import { guardianName, mayISign } from "./people.js";
import { askBox, askButton, isAsked } from "./signing.js";
import { money, t, when } from "./texts.js";

/** What is left in the wallet, in words, or null. Money on a card or a bank account stays where it is. */
export const leftOver = (home) => (home.rail === "wallet" && home.balance.minor > 0 ? money(home.balance) : null);

/** On every page, while the household is to be erased. */
export function erasingNotice(ctx) {
  const { home } = ctx.state;
  const { erasing } = home.book.folded;
  if (!erasing) return null;
  const waits = erasing.from > serviceNow();
  const by = erasing.by === home.guardian.guardian ? t("erasing.asked-you") : t("erasing.asked", { name: guardianName(home, erasing.by) });
  const then = waits ? t("erasing.then", { time: when(erasing.from) }) : t("erasing.now");
  return h("div.frozen", { testid: "to-be-erased", key: "to-be-erased" },
    notice("bad", by,
      h("p", {}, then),
      leftOver(home) && h("p", { testid: "erase-rest" }, t("erasing.rest", { rest: leftOver(home) })),
      mayISign(home) && !isAsked("keep")
        && h("div.buttons", {}, askButton(ctx, "plain", "keep", t("erasing.keep"), "keep", { object: erasing.entry }, t("erasing.keep-sure"))),
      askBox(ctx, "keep")));
}
