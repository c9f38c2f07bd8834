// Words, money and dates in the person's language. The service cuts texts/LANGUAGE.json into sets: the words of one script and
// what it imports, named like the script. The choice of language is kept in this browser and shared by all open pages of it.

import { Problem } from "./api.js";

const LANGUAGES = { en: "en", zh: "zh-CN" };
const CHOICE = "nodpay.language";

/** ISO 4217 minor units that are not 2. Said here, since browsers follow CLDR, which differs. */
const EXPONENTS = Object.fromEntries([
  ..."BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(" ").map((code) => [code, 0]),
  ..."BHD IQD JOD KWD LYD OMR TND".split(" ").map((code) => [code, 3]),
  ..."CLF UYW".split(" ").map((code) => [code, 4]),
]);

let current = "en";
let words = {};
/** The sets that this page has; what every page's frame says is the first. */
const sets = new Set(["frame"]);
const listeners = new Set();

function preferred() {
  const chosen = read();
  if (chosen) return chosen;
  for (const tag of navigator.languages ?? []) {
    const language = tag.toLowerCase().split("-")[0];
    if (language in LANGUAGES) return language;
  }
  return "en";
}

function read() {
  try {
    const chosen = localStorage.getItem(CHOICE);
    return chosen in LANGUAGES ? chosen : null;
  } catch {
    return null;
  }
}

async function wordsOf(set, language) {
  const response = await fetch(new URL(`../words/${set}.${language}.json`, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new Problem("offline");
  return response.json();
}

async function load(language) {
  const all = await Promise.all([...sets].map((set) => wordsOf(set, language)));
  words = Object.assign({}, ...all);
  current = language;
  document.documentElement.lang = LANGUAGES[language];
}

/** Loads the words of the page's script; call once before anything is shown. */
export async function startTexts(set) {
  sets.add(set);
  await load(preferred());
  addEventListener("storage", (event) => {
    if (event.key === CHOICE && read() && read() !== current) changeTo(read());
  });
}

/** A script that is `coming` by `import()`, with its words. */
export async function withTexts(set, coming) {
  const language = current;
  const [module, more] = await Promise.all([coming.catch(() => { throw new Problem("offline"); }), sets.has(set) ? {} : wordsOf(set, language)]);
  sets.add(set);
  if (language === current) Object.assign(words, more);
  else await load(current);
  return module;
}

async function changeTo(language) {
  await load(language);
  for (const listener of listeners) listener();
}

/** Switches this and all other open pages to `language`. */
export async function setLanguage(language) {
  try {
    localStorage.setItem(CHOICE, language);
  } catch {
    // a browser without storage forgets the choice
  }
  await changeTo(language);
}

export const language = () => current;
export const otherLanguage = () => (current === "en" ? "zh" : "en");
export const onLanguage = (listener) => listeners.add(listener);

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}]/u;
const isolated = (value) => (RIGHT_TO_LEFT.test(value) ? `\u2068${value}\u2069` : value);

/** The text of `key`; `{name}` is replaced by `values.name`. A text with plural forms is chosen by `values.count`. */
export function t(key, values = {}) {
  let text = words[key] ?? key;
  if (typeof text === "object") {
    text = text[new Intl.PluralRules(LANGUAGES[current]).select(values.count)] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? isolated(String(values[name])) : whole));
}

/** Words for an error by its stable code. */
export function problemText(error) {
  const code = error?.code ?? "other";
  return words[`problem.${code}`] ? t(`problem.${code}`) : t("problem.other", { code });
}

export const exponentOf = (currency) => EXPONENTS[currency] ?? 2;

/** Minor units as plain decimal digits: `12.50`. */
export function decimal(minor, currency) {
  const exponent = exponentOf(currency);
  const digits = String(Math.abs(minor)).padStart(exponent + 1, "0");
  const whole = digits.slice(0, digits.length - exponent);
  return `${minor < 0 ? "-" : ""}${whole}${exponent ? `.${digits.slice(-exponent)}` : ""}`;
}

/** Plain decimal digits to minor units, or null where it is no such amount. */
export function fromDecimal(text, currency) {
  const exponent = exponentOf(currency);
  const found = /^([0-9]{1,10})(?:[.,]([0-9]*))?$/.exec(text.trim());
  const fraction = found?.[2] ?? "";
  if (!found || fraction.length > exponent) return null;
  return Number(found[1] + fraction.padEnd(exponent, "0"));
}

/** Money as people write it. */
export function money({ minor, currency }) {
  const digits = exponentOf(currency);
  const format = new Intl.NumberFormat(LANGUAGES[current], {
    style: "currency", currency, currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  return format.format(Number(decimal(minor, currency)));
}

const formatted = (ms, options) => new Intl.DateTimeFormat(LANGUAGES[current], options).format(new Date(ms));

export const clock = (ms) => formatted(ms, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const day = (ms) => formatted(ms, { year: "numeric", month: "long", day: "numeric" });

/** Today only the clock, otherwise the day too. */
export function when(ms) {
  const sameDay = new Date(ms).toDateString() === new Date().toDateString();
  return sameDay ? clock(ms) : formatted(ms, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** `4:05`. */
export function timeLeft(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = new Intl.NumberFormat(LANGUAGES[current], { minimumIntegerDigits: 2 });
  return `${number(Math.floor(seconds / 60))}:${two.format(seconds % 60)}`;
}

/** An hour of the day, in minutes from its beginning; its end is 24:00. */
export const hour = (minutes) =>
  formatted(minutes * 60_000, { hour: "2-digit", minute: "2-digit", hourCycle: minutes === 24 * 60 ? "h24" : "h23", timeZone: "UTC" });

/** Words one after the other, of which any may be: `bread, milk or tea`. */
export const anyOf = (several) => new Intl.ListFormat(LANGUAGES[current], { type: "disjunction" }).format(several);

export const number = (value) => new Intl.NumberFormat(LANGUAGES[current]).format(value);
/** "a, b and c". */
export const listed = (names) => new Intl.ListFormat(LANGUAGES[current]).format(names);
export const currencyName = (code) => new Intl.DisplayNames(LANGUAGES[current], { type: "currency" }).of(code);
