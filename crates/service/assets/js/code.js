// What a printed payment code says: payee, amount, currency. The rules of crates/protocol/src/code.rs as far as the phone
// relies on them, checked against docs/vectors.json; what is read here is shown beside the verified shop, never instead.

import { fromBase64Url, utf8 } from "./bytes.js";
import { VerifyError } from "./messages.js";

/** ISO 4217: numeric code, alphabetic code, decimal places. The same list as the service's, which a test compares. */
export const CURRENCIES =
  "008ALL2 012DZD2 032ARS2 036AUD2 044BSD2 048BHD3 050BDT2 051AMD2 052BBD2 060BMD2 064BTN2 068BOB2 072BWP2 084BZD2 " +
  "090SBD2 096BND2 104MMK2 108BIF0 116KHR2 124CAD2 132CVE2 136KYD2 144LKR2 152CLP0 156CNY2 170COP2 174KMF0 188CRC2 " +
  "191HRK2 192CUP2 203CZK2 208DKK2 214DOP2 222SVC2 230ETB2 232ERN2 238FKP2 242FJD2 262DJF0 270GMD2 292GIP2 320GTQ2 " +
  "324GNF0 328GYD2 332HTG2 340HNL2 344HKD2 348HUF2 352ISK0 356INR2 360IDR2 364IRR2 368IQD3 376ILS2 388JMD2 392JPY0 " +
  "396XAD2 398KZT2 400JOD3 404KES2 408KPW2 410KRW0 414KWD3 417KGS2 418LAK2 422LBP2 426LSL2 430LRD2 434LYD3 446MOP2 " +
  "454MWK2 458MYR2 462MVR2 480MUR2 484MXN2 496MNT2 498MDL2 504MAD2 512OMR3 516NAD2 524NPR2 532XCG2 533AWG2 548VUV0 " +
  "554NZD2 558NIO2 566NGN2 578NOK2 586PKR2 590PAB2 598PGK2 600PYG0 604PEN2 608PHP2 634QAR2 643RUB2 646RWF0 654SHP2 " +
  "682SAR2 690SCR2 694SLL2 702SGD2 704VND0 706SOS2 710ZAR2 728SSP2 748SZL2 752SEK2 756CHF2 760SYP2 764THB2 776TOP2 " +
  "780TTD2 784AED2 788TND3 800UGX0 807MKD2 818EGP2 826GBP2 834TZS2 840USD2 858UYU2 860UZS2 882WST2 886YER2 901TWD2 " +
  "924ZWG2 925SLE2 926VED2 927UYW4 928VES2 929MRU2 930STN2 931CUC2 932ZWL2 933BYN2 934TMT2 936GHS2 938SDG2 940UYI0 " +
  "941RSD2 943MZN2 944AZN2 946RON2 947CHE2 948CHW2 949TRY2 950XAF0 951XCD2 952XOF0 953XPF0 967ZMW2 968SRD2 969MGA2 " +
  "970COU2 971AFN2 972TJS2 973AOA2 975BGN2 976CDF2 977BAM2 978EUR2 979MXV2 980UAH2 981GEL2 984BOV2 985PLN2 986BRL2 " +
  "990CLF4 997USN2";
const byNumber = new Map(CURRENCIES.split(" ").map((item) => [item.slice(0, 3), { code: item.slice(3, 6), places: Number(item[6]) }]));

/** How many decimal places a currency's minor unit stands behind. */
export const placesOf = (currency) => [...byNumber.values()].find(({ code }) => code === currency).places;

/** An amount's digits with all of its currency's decimal places: `12.50`. */
export function decimalDigits({ minor, currency }) {
  const places = placesOf(currency);
  const digits = String(minor).padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

const GUID = "org.nodpay";
const MAX_MINOR = 100_000_000_000;

const bad = (why) => {
  throw new VerifyError("bad-scanned-code", why);
};
const need = (holds, why) => holds || bad(why);

/** `{payee, amount_minor, currency, shop}`: the amount is null where the payer types it, `shop` is the merchant's id in a code of ours. */
export function readCode(text) {
  const whole = text.replace(/\r?\n$/, "");
  if (whole.startsWith("000201")) return readEmv(whole);
  if (/^BCD\r?\n/.test(whole)) return readEpc(whole);
  return bad("neither EMV nor EPC");
}

// ---- EMVCo merchant-presented -------------------------------------------------------------------------------------------------

function readEmv(text) {
  need(/6304[0-9A-F]{4}$/.test(text) && crc16(utf8(text.slice(0, -4))) === text.slice(-4), "checksum");
  // Lengths count characters; where that does not fit, bytes.
  try {
    return readObjects(text, [...text]);
  } catch (error) {
    if (!(error instanceof VerifyError)) throw error;
    return readObjects(text, [...utf8(text)], new TextDecoder("utf-8", { fatal: true }));
  }
}

function readObjects(text, units, decoder) {
  const objects = divide(units, decoder);
  need(objects.has(63) && !objects.has(55), "its end, or a tip or fee");
  need([...objects.keys()].some((tag) => tag >= 2 && tag <= 51), "account");
  const currency = byNumber.get(objects.get(53)) ?? bad("currency");
  const local = objects.has(64) ? inner(objects.get(64), decoder).get(1) : undefined;
  const payee = (local ?? objects.get(59) ?? bad("name")).trim();
  need(payee !== "", "name");
  const amount = objects.has(54) ? minorUnits(objects.get(54), currency.places) : null;
  return { payee, amount_minor: amount, currency: currency.code, shop: shopOf(objects, decoder) };
}

/** Our own template holds the merchant's id and nothing else; a bill's is not a printed code. */
function shopOf(objects, decoder) {
  for (const [tag, value] of objects) {
    if (tag < 26 || tag > 51 || !value.toLowerCase().includes(GUID)) continue;
    let parts;
    try {
      parts = inner(value, decoder);
    } catch {
      return bad("template");
    }
    if (parts.get(0)?.toLowerCase() !== GUID) continue;
    const shop = parts.get(3) ?? bad("a bill's code");
    need(parts.get(0) === GUID && parts.size === 2 && !decoder && fromBase64Url(shop)?.length === 16, "template");
    need(objects.get(1) === "11", "method");
    return shop;
  }
  return null;
}

const inner = (value, decoder) => divide(decoder ? [...utf8(value)] : [...value], decoder);

/** Objects of id (two digits), length (two digits) and value; each id once. */
function divide(units, decoder) {
  const take = (from, count) => {
    const part = units.slice(from, from + count);
    need(part.length === count, "structure");
    if (!decoder) return part.join("");
    try {
      return decoder.decode(Uint8Array.from(part));
    } catch {
      return bad("structure");
    }
  };
  const objects = new Map();
  for (let at = 0; at < units.length;) {
    const head = take(at, 4);
    need(/^[0-9]{4}$/.test(head), "structure");
    const [tag, length] = [Number(head.slice(0, 2)), Number(head.slice(2))];
    need(length > 0 && !objects.has(tag), "structure");
    objects.set(tag, take(at + 4, length));
    at += 4 + length;
  }
  return objects;
}

/** CRC-16/CCITT-FALSE as four capital hexadecimal digits. */
function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc.toString(16).toUpperCase().padStart(4, "0");
}

// ---- EPC069-12 ----------------------------------------------------------------------------------------------------------------

function readEpc(text) {
  const lines = text.split(text.startsWith("BCD\r\n") ? "\r\n" : "\n");
  need(lines.length >= 7 && lines.length <= 12 && lines[3] === "SCT", "text");
  const payee = lines[5].trim();
  need(payee !== "" && lines[6] !== "", "payee");
  const amount = lines[7] ?? "";
  need(amount === "" || (amount.startsWith("EUR") && !amount.endsWith(".")), "amount");
  return { payee, amount_minor: amount === "" ? null : minorUnits(amount.slice(3), 2), currency: "EUR", shop: null };
}

/** Digits with at most one decimal point. */
function minorUnits(text, places) {
  const [, whole, decimals = ""] = /^([0-9]+)(?:\.([0-9]*))?$/.exec(text) ?? bad("amount");
  need(decimals.length <= places && text.length <= 13, "amount");
  const minor = Number(whole + decimals.padEnd(places, "0"));
  need(minor >= 1 && minor <= MAX_MINOR, "amount");
  return minor;
}
