// What several pages say of guardians: their names, and that another one must agree.

import { h } from "./dom.js";
import { t } from "./texts.js";

export function guardianName(home, guardian) {
  return home.people.get(guardian)?.name ?? t("household.guardian");
}

/** That another guardian must agree, where one must. */
export function twoNote(ctx, entry) {
  return ctx.mustPropose(entry) ? h("p.soft", { testid: "needs-two" }, t("guardians.needs-two")) : null;
}
