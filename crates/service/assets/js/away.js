// Who of the guardians is away: the service's word, which changes nobody's rights.
//
// `ctx` is what app.js lends: {state, render, refreshHome}.

import { post, serviceNow } from "./api.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { acts } from "./members.js";
import { day, problemText, t } from "./texts.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const AWAY_DAYS = [1, 3, 7, 14, 30, 60];

/** The days of an absence that is being chosen. */
const leaving = { days: 7, busy: false, problem: null };

export function awayBadge(home, guardian) {
  const until = home.away.get(guardian);
  return until > serviceNow() && h("p.nodded", { testid: "away" }, t("away.until", { day: day(until) }));
}

async function setAway(ctx, until) {
  if (leaving.busy) return;
  Object.assign(leaving, { busy: true, problem: null });
  ctx.render();
  try {
    await post("/api/guardian/away", until === null ? {} : { until });
    await ctx.refreshHome();
    announce(until === null ? t("away.back-said") : t("away.said", { day: day(until) }));
  } catch (error) {
    leaving.problem = error;
  }
  leaving.busy = false;
  ctx.render();
}

/** On the home page, while this guardian is away: one tap brings them back. */
export function awayCard(ctx) {
  const { home } = ctx.state;
  const until = home.away.get(home.guardian.guardian);
  if (!(until > serviceNow())) return null;
  return h("section.card", { key: "away", testid: "away-card" },
    h("p.name", {}, t("away.you", { day: day(until) })),
    h("p.soft", {}, t("away.you-more")),
    leaving.problem && notice("bad", problemText(leaving.problem)),
    busyButton("button.main", { type: "button", testid: "away-back", onclick: () => setAway(ctx, null) }, leaving.busy, icon("undo"), t("away.back")));
}

/** On the page of guardians: going away. */
export function goAway(ctx) {
  const { home } = ctx.state;
  if (home.away.get(home.guardian.guardian) > serviceNow()) return awayCard(ctx);
  const members = [...home.book.folded.members.values()].filter((member) => acts(member, serviceNow()));
  if (members.length < 2) return null;
  return h("section.card.form", { key: "go-away" },
    h("h2", {}, t("away.title")),
    h("p.soft", {}, t("away.more")),
    leaving.problem && notice("bad", problemText(leaving.problem)),
    h("label.field", {}, h("span", {}, t("away.days")),
      h("select", { value: String(leaving.days), testid: "away-days", onchange: (event) => { leaving.days = Number(event.target.value); ctx.render(); } },
        ...AWAY_DAYS.map((count) => h("option", { value: String(count), selected: count === leaving.days }, t("rule.days", { count }))))),
    busyButton("button.plain", { type: "button", testid: "away-go", onclick: () => setAway(ctx, Math.floor(serviceNow() + leaving.days * DAY_MS)) },
      leaving.busy, icon("clock"), t("away.go")));
}
