// What a household has decided about deciding: two nods above an amount, caps of all its watches together, how long newcomers are
// kept short. The rules of crates/core/src/house_rules.rs, against the same vectors. Pure: no page, no network.

import { placesOf } from "./code.js";
import { VerifyError } from "./messages.js";

const DAY_MS = 24 * 60 * 60 * 1000;
export const MAX_COOLING_OFF_MS = 30 * DAY_MS;
export const PERIODS = ["per_day", "per_week", "per_month"];
/** What one payment of a newcomer may come to unless the household says less; in whole units of its own currency. */
const NEWCOMER_MAJOR = 200;
const DEFAULT = { watch_ms: DAY_MS, guardian_ms: DAY_MS };

const wrong = (holds, why) => {
  if (!holds) throw new VerifyError("bad-log-entry", why);
};
const isOver = (amount, cap) => amount.currency !== cap.currency || amount.minor > cap.minor;
/** Of a bound: higher than before, or gone. */
const isRaised = (now, before) => before !== undefined && (now === undefined || isOver(now, before));

export const newcomersOf = ({ newcomers }) => newcomers ?? DEFAULT;

/** What one payment of a newcomer may come to in a currency, unless the household says less. */
export const newcomerMost = (currency) => ({ minor: NEWCOMER_MAJOR * 10 ** placesOf(currency), currency });

/** Whether a watch or a guardian who is new may not pay or approve so much. */
export const isTooMuchForNewcomers = (rules, total) => isOver(total, newcomersOf(rules).per_payment ?? newcomerMost(total.currency));

export function checkHouseRules(rules) {
  const { caps } = rules;
  const amounts = [...PERIODS.map((name) => caps?.[name]), rules.two_nods_above, rules.newcomers?.per_payment].filter(Boolean);
  wrong(amounts.every(({ minor, currency }) => minor > 0 && currency === amounts[0].currency), "the household's amounts");
  wrong(!caps || (caps.utc_minutes >= -12 * 60 && caps.utc_minutes <= 14 * 60), "the household's day");
  wrong(!caps || PERIODS.some((name) => caps[name]), "caps that cap nothing");
  const { watch_ms: watch, guardian_ms: guardian, per_payment: most } = newcomersOf(rules);
  wrong(!most || !isOver(most, newcomerMost(most.currency)), "newcomers pay too much at once");
  wrong([watch, guardian].every((ms) => ms >= DAY_MS && ms <= MAX_COOLING_OFF_MS), "newcomers are kept short for 1 to 30 days");
}

/** Whether more can happen than before, in any of their fields. */
export function isLooserHouse(now, before) {
  const [young, old] = [newcomersOf(now), newcomersOf(before)];
  return isRaised(now.two_nods_above, before.two_nods_above)
    || (before.caps !== undefined && (now.caps === undefined || now.caps.utc_minutes !== before.caps.utc_minutes
      || PERIODS.some((name) => isRaised(now.caps[name], before.caps[name]))))
    || young.watch_ms < old.watch_ms
    || young.guardian_ms < old.guardian_ms
    || isRaised(young.per_payment, old.per_payment);
}

/** Whether two nods are needed where one was enough before. */
export const asksTwoMoreOften = (now, before) => isRaised(before.two_nods_above, now.two_nods_above);

export const wantsTwoNods = ({ two_nods_above: above }, total) => above !== undefined && isOver(total, above);

/** Whether standing rules may approve so much at all, with nothing spent before. */
export const allowsRules = (rules, total) =>
  !wantsTwoNods(rules, total) && !PERIODS.some((name) => rules.caps?.[name] && isOver(total, rules.caps[name]));

/** Whether a watch that is enrolled at `at` with this cap is kept short for long enough. */
export const allowsNewWatch = (rules, cap, at) =>
  cap.until - at >= newcomersOf(rules).watch_ms && !isTooMuchForNewcomers(rules, cap.per_payment);
