// How long something is kept, in words.

import { t } from "./texts.js";

const YEAR_DAYS = 365;

/** `2 years`, `400 days`. */
export function span(count, unit) {
  if (unit === "days" && count % YEAR_DAYS !== 0) return t("span.days", { count });
  return t("span.years", { count: unit === "days" ? count / YEAR_DAYS : count });
}
