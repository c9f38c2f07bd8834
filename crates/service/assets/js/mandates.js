// A guardian's standing rules: their place in the household log and what one says to an order. The rules of
// crates/core/src/mandate.rs, against the same vectors. Pure: no page, no network.

import { VerifyError } from "./messages.js";

export const MAX_MANDATE_LIFE_MS = 90 * 24 * 60 * 60 * 1000;
const MAX_MANDATES = 16;
/** Shops, categories or places that one rule names. */
export const MAX_NAMED = 64;
const MAX_WINDOWS = 7;
const MAX_OFFSETS = 4;
const DAY_MINUTES = 24 * 60;
const MINUTE_MS = 60_000;
const DAY_MS = DAY_MINUTES * MINUTE_MS;
export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/** The caps of periods, in the order they are looked at, with the reason each gives. */
const PERIODS = { per_day: "over-day", per_week: "over-week", per_month: "over-month" };

const wrong = (holds, why) => {
  if (!holds) throw new VerifyError("bad-log-entry", why);
};

// ---- in the log -----------------------------------------------------------------------------------------------------------------

/** Takes a new rule or version in, from the entry that makes it effective; `standing` is the log's list of every version. */
export function setMandate(standing, mandate, guardian, { seq, digest, at }) {
  checkMandate(mandate, at);
  const before = standing.findLast((one) => one.mandate.mandate === mandate.mandate);
  if (before) {
    wrong(before.ended === null, "the rule was ended");
    wrong(mandate.version === before.mandate.version + 1, "not the next version");
    wrong(mandate.watch === before.mandate.watch, "a rule of another watch");
  } else {
    wrong(mandate.version === 1, "not the first version");
    const held = standing.filter((one) => one.ended === null && one.mandate.watch === mandate.watch && at < one.mandate.until);
    wrong(held.length < MAX_MANDATES, "too many rules");
  }
  if (before) before.ended = seq;
  standing.push({ mandate, entry: digest, seq, guardian, ended: null });
}

export function endMandate(standing, id, seq) {
  const one = standing.find(({ mandate, ended }) => mandate.mandate === id && ended === null);
  wrong(one, "no such rule");
  one.ended = seq;
}

/** Whether that version held once entry `seq` was the newest. */
export const holdsAt = (one, seq) => one.seq <= seq && (one.ended === null || seq < one.ended);

export function checkMandate(mandate, at) {
  const life = mandate.until - at;
  wrong(life >= 1 && life <= MAX_MANDATE_LIFE_MS, "a rule lives up to 90 days");
  const amounts = ["approve", "per_payment", ...Object.keys(PERIODS)].map((name) => mandate[name]).filter(Boolean);
  wrong(amounts.every(({ minor, currency }) => minor > 0 && currency === amounts[0].currency), "a rule's amounts");
  const named = [mandate.shops, mandate.categories, mandate.places].filter(Boolean).map(({ of }) => of.map((one) => JSON.stringify(one)));
  wrong(named.every((all) => all.length >= 1 && all.length <= MAX_NAMED && new Set(all).size === all.length), "what a rule names");
  const windows = mandate.windows.every(({ days, from, to }) =>
    days.length >= 1 && new Set(days).size === days.length && from < to && to <= DAY_MINUTES);
  wrong(windows && mandate.windows.length <= MAX_WINDOWS, "a rule's hours");
  const { offsets } = mandate;
  const rising = offsets.every(({ from }, index) => index === 0 || offsets[index - 1].from < from);
  const civil = offsets.every(({ minutes }) => minutes >= -12 * 60 && minutes <= 14 * 60);
  wrong(offsets.length >= 1 && offsets.length <= MAX_OFFSETS && rising && civil, "a rule's time zone");
  wrong(mandate.approve || mandate.outside === "refuse", "a rule that does nothing");
}

/** Whether more is approved, or less refused, than by the version before (undefined: there is none). */
export function isLooser(now, before) {
  if (!before) return now.approve !== undefined;
  const raised = (name) => before[name] !== undefined && (now[name] === undefined || isOver(now[name], before[name]));
  const same = (one, other) => one === other;
  return (now.approve !== undefined && (before.approve === undefined || isOver(now.approve, before.approve)))
    || now.until > before.until
    || (now.outside === "ask" && before.outside === "refuse")
    || ["per_payment", ...Object.keys(PERIODS)].some(raised)
    || isWider(now.shops, before.shops, same)
    || isWider(now.categories, before.categories, same)
    || isWider(now.places, before.places, covers)
    || (before.age !== undefined && (now.age === undefined || now.age > before.age))
    || hasLongerHours(now, before)
    || hasOtherClock(now, before);
}

/** `holds(one, other)`: whether what `one` names holds all that the other one names. */
function isWider(now, before, holds) {
  if (!before) return false;
  if (!now || (now.kind === "never" && before.kind === "only")) return true;
  const allIn = (inner, outer) => inner.every((one) => outer.some((other) => holds(other, one)));
  if (now.kind === before.kind) return now.kind === "only" ? !allIn(now.of, before.of) : !allIn(before.of, now.of);
  return now.of.some((one) => before.of.some((other) => holds(one, other) || holds(other, one)));
}

function hasLongerHours(now, before) {
  if (before.windows.length === 0) return false;
  const open = ({ windows }, weekday, minute) =>
    windows.some(({ days, from, to }) => days.includes(weekday) && minute >= from && minute < to);
  const minutes = Array.from({ length: DAY_MINUTES }, (_, minute) => minute);
  return WEEKDAYS.some((weekday) => minutes.some((minute) =>
    (now.windows.length === 0 || open(now, weekday, minute)) && !open(before, weekday, minute)));
}

/** Hours and days of the time that both know would be other ones. */
function hasOtherClock(now, before) {
  const steps = [...now.offsets, ...before.offsets].map(({ from }) => from).filter((at) => at < before.until);
  return steps.some((at) => offsetAt(now, at) !== offsetAt(before, at));
}

// ---- to an order ----------------------------------------------------------------------------------------------------------------

/** What the rules are asked about, of verified messages; `total` is what the order comes to at most. */
export function askedOf(order, bill, certificate, total) {
  const ages = bill.payload.lines.map((line) => line.min_age).filter((age) => age !== undefined);
  return {
    watch: order.payload.watch,
    merchant: bill.payload.merchant,
    mcc: certificate.payload.mcc,
    place: { city: certificate.payload.city, country: certificate.payload.country },
    age: ages.length ? Math.max(...ages) : null,
    printed: bill.payload.code !== undefined,
    reduced: order.payload.without.length > 0,
    total,
    at: order.payload.created,
  };
}

export const isFor = (mandate, asked) => mandate.watch === asked.watch && asked.at < mandate.until;

/**
 * Whether the rule says `answer` ("approve", "refuse" or "ask", with `why`) to the order after some spending: how much was
 * spent is the word of whoever counted it.
 */
export function canAnswer(mandate, asked, answer, why) {
  const said = answerTo(mandate, asked, why);
  return said.answer === answer && said.why === why;
}

function answerTo(mandate, asked, spentOver) {
  const why = outsideOf(mandate, asked) ?? over(mandate, asked, spentOver);
  if (why) return { answer: mandate.outside, why };
  if (mandate.approve && asked.printed) return { answer: "ask", why: "printed-code" };
  if (mandate.approve && asked.reduced) return { answer: "ask", why: "reduced" };
  return mandate.approve && !isOver(asked.total, mandate.approve) ? { answer: "approve" } : { answer: "ask", why: "over-approval" };
}

function outsideOf(mandate, asked) {
  if (!allows(mandate.shops, (shop) => shop === asked.merchant)) return "shop";
  if (!allows(mandate.categories, (mcc) => mcc === asked.mcc)) return "category";
  if (!allows(mandate.places, (place) => covers(place, asked.place))) return "place";
  if (mandate.age !== undefined && asked.age !== null && asked.age > mandate.age) return "age";
  const hours = outsideHours(mandate, asked.at);
  if (hours) return hours;
  return mandate.per_payment && isOver(asked.total, mandate.per_payment) ? "over-payment" : null;
}

/** A town lies in its country. */
const covers = (one, other) => one.country === other.country && (one.city === undefined || one.city === other.city);

function allows(choice, names) {
  return !choice || choice.of.some(names) === (choice.kind === "only");
}

function outsideHours(mandate, at) {
  if (mandate.windows.length === 0) return null;
  const local = at + offsetAt(mandate, at) * MINUTE_MS;
  const day = Math.floor(local / DAY_MS);
  const minute = Math.floor((local - day * DAY_MS) / MINUTE_MS);
  const weekday = WEEKDAYS[(((day + 3) % 7) + 7) % 7]; // 1970-01-01 was a Thursday
  const today = mandate.windows.filter(({ days }) => days.includes(weekday));
  if (today.length === 0) return "weekday";
  return today.some(({ from, to }) => minute >= from && minute < to) ? null : "hour";
}

function offsetAt({ offsets }, at) {
  return (offsets.findLast(({ from }) => from <= at) ?? offsets[0]).minutes;
}

function over(mandate, asked, spentOver) {
  for (const [name, why] of Object.entries(PERIODS)) {
    const cap = mandate[name];
    if (cap && (why === spentOver || isOver(asked.total, cap))) return why;
  }
  return null;
}

const isOver = (amount, cap) => amount.currency !== cap.currency || amount.minor > cap.minor;
