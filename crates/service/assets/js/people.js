// What several pages say of guardians: their names, whether this one may sign, what waits for a second one.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { counts, isOpen } from "./members.js";
import { t } from "./texts.js";

export function guardianName(home, guardian) {
  return home.people.get(guardian)?.name ?? t("household.guardian");
}

/** That another guardian must agree, where one must. */
export function twoNote(ctx, entry) {
  return ctx.mustPropose(entry) ? h("p.soft", { testid: "needs-two" }, t("guardians.needs-two")) : null;
}

export const mayISign = (home) => counts(home.book.folded.members.get(home.guardian.guardian), serviceNow());

export const openProposals = (home) => [...home.book.folded.proposals].filter(([, proposal]) => isOpen(proposal, serviceNow()));
