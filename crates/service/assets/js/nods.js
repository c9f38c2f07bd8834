// What an order's page says of nods: who has nodded, that another one must, and who is away.

import { serviceNow } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./frame.js";
import { isTooMuchForNewcomers, wantsTwoNods } from "./house-rules.js";
import { counts } from "./members.js";
import { guardianName, mayISign } from "./people.js";
import { day, t, when } from "./texts.js";

/** Another guardian's nod that this one would second; null where there is none, or its guardian no longer counts. */
export function othersNod({ home }, { first, decision }) {
  if (!first || decision || first.payload.guardian === home.guardian.guardian) return null;
  return counts(home.book.folded.members.get(first.payload.guardian), serviceNow()) ? first : null;
}

/** Whether this guardian has nodded and waits for another one; then to the same lines. */
export const hasNodded = ({ home }, { first, decision }) => Boolean(first && !decision && first.payload.guardian === home.guardian.guardian);

/** Who has nodded, and that another one must; null where this guardian's nod is enough. */
export function nodsNote(ctx, { order }, total) {
  const { home } = ctx.state;
  if (order.first && !order.decision) {
    const { guardian, at } = order.first.payload;
    const own = guardian === home.guardian.guardian;
    const words = own ? t("nods.you", { time: when(at) }) : t("nods.other", { name: guardianName(home, guardian) });
    return h("div.nods", { testid: "first-nod" }, h("p.badge.wait", {}, icon("person"), words), awayWords(home));
  }
  if (!total) return null;
  if (!mayISign(home) && isTooMuchForNewcomers(home.book.houseRules(), total)) {
    return h("div.nods", { testid: "new-here" }, h("p.badge.wait", {}, icon("person"), t("nods.new")), awayWords(home));
  }
  if (!wantsTwoNods(home.book.houseRules(), total)) return null;
  return h("div.nods", { testid: "two-nods" }, h("p.badge.wait", {}, icon("person"), t("nods.two")), awayWords(home));
}

function awayWords(home) {
  const others = [...home.away].filter(([guardian, until]) => until > serviceNow() && guardian !== home.guardian.guardian);
  return others.map(([guardian, until]) => h("p.soft", { key: guardian, testid: "away-note" }, t("away.other", { name: guardianName(home, guardian), day: day(until) })));
}

/** What to say to who listens, when somebody nodded first; null where that was this guardian or nobody. */
export function firstNodSaid({ home }, order) {
  const first = order && othersNod({ home }, order);
  return first ? t("nods.other", { name: guardianName(home, first.payload.guardian) }) : null;
}
