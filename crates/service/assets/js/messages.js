// The messages of Nodpay in the browser: JWS, passkey assertions, and the form of every message. The same rules as
// crates/protocol and crates/core, checked against docs/vectors.json by selftest.js.
//
// Pure functions: no network, no storage, no page. What the messages mean together is verify.js.

import {
  PAYMENT_INSTRUMENT, assertionChallenge, concat, fromBase64Url, fromDer, isLowS, labelled, lowS, sha256, signFixed, toBase64Url, utf8,
  verifyFixed,
} from "./bytes.js";
import { JsonError, parseJson } from "./json.js";

/** Why a message is not believed. `code` is the stable code of the API, `detail` is for developers. */
export class VerifyError extends Error {
  constructor(code, detail = "") {
    super(detail ? `${code}: ${detail}` : code);
    this.name = "VerifyError";
    this.code = code;
    this.detail = detail;
  }
}

export const MAX_JWS_LEN = 65_536;
export const MAX_ASSERTION_LEN = 16_384;
const MAX_CLIENT_DATA_LEN = 2_048;
export const MAX_MINOR = 100_000_000_000;

// ---- JWS --------------------------------------------------------------------------------------------------------------

const header = (kind) => toBase64Url(utf8(`{"alg":"ES256","typ":"nodpay-${kind}"}`));

/** Digest of a whole message, signature included. `kind` is a JWS kind or `log`, `decision`, `login`. */
export const messageDigest = (kind, wire) => labelled(`nodpay/${kind}/1`, utf8(wire));

/** Signature first, then the payload's form. Gives `{payload, wire, digest}`. */
export async function openJws(kind, wire, key) {
  if (typeof wire !== "string") throw new VerifyError("malformed-message");
  if (wire.length > MAX_JWS_LEN) throw new VerifyError("message-too-long");
  const last = wire.lastIndexOf(".");
  const first = wire.indexOf(".");
  if (first < 0 || first === last) throw new VerifyError("malformed-message");
  if (wire.slice(0, first) !== header(kind)) throw new VerifyError("wrong-message-kind");
  const signature = fromBase64Url(wire.slice(last + 1));
  if (signature?.length !== 64) throw new VerifyError("malformed-message");
  const signed = utf8(wire.slice(0, last));
  if (!isLowS(signature) || !(await verifyFixed(key, signed, signature))) throw new VerifyError("bad-signature");
  const payload = fromBase64Url(wire.slice(first + 1, last));
  if (!payload) throw new VerifyError("malformed-message");
  return { payload: readPayload(kind, payload), wire, digest: await messageDigest(kind, wire) };
}

/** Signs `payload` as a message of `kind` with a WebCrypto private key. */
export async function signJws(kind, payload, privateKey) {
  const signed = `${header(kind)}.${toBase64Url(utf8(JSON.stringify(payload)))}`;
  const signature = lowS(await signFixed(privateKey, utf8(signed)));
  const wire = `${signed}.${toBase64Url(signature)}`;
  return { payload, wire, digest: await messageDigest(kind, wire) };
}

// ---- passkey assertions -------------------------------------------------------------------------------------------------

const UP = 0x01;
const UV = 0x04;
const BE = 0x08;
const BS = 0x10;

/** Splits a message without believing any of it. */
export function parseAssertion(wire) {
  if (typeof wire !== "string") throw new VerifyError("malformed-message");
  if (wire.length > MAX_ASSERTION_LEN) throw new VerifyError("message-too-long");
  const parts = wire.split(".").map(fromBase64Url);
  if (parts.length !== 5 || parts.includes(null)) throw new VerifyError("malformed-message");
  const [payload, credential, authenticatorData, clientData, signature] = parts;
  if (credential.length < 16 || credential.length > 1023) throw new VerifyError("malformed-message");
  return { payload, credential: toBase64Url(credential), authenticatorData, clientData, signature };
}

/**
 * Checks everything but the payload's meaning, for `guardian {credential, key, backup_eligible}` and
 * `rp {rp_id, origins, demo_keys}`. Gives the payment that the browser showed, `{payee, currency, value}`, or null.
 */
export async function verifyAssertion(assertion, kind, guardian, rp) {
  if (assertion.credential !== guardian.credential) throw new VerifyError("unknown-guardian");
  if (assertion.clientData.length > MAX_CLIENT_DATA_LEN) throw new VerifyError("message-too-long");
  const signature = fromDer(assertion.signature);
  if (!signature) throw new VerifyError("bad-signature");
  const signed = concat(assertion.authenticatorData, await sha256(assertion.clientData));
  if (!(await verifyFixed(guardian.key, signed, signature))) throw new VerifyError("bad-signature");
  await checkAuthenticatorData(assertion.authenticatorData, guardian, rp);
  return checkClientData(assertion, kind, rp);
}

async function checkAuthenticatorData(data, guardian, rp) {
  if (data.length !== 37) throw new VerifyError("bad-authenticator-data");
  if (toBase64Url(data.subarray(0, 32)) !== toBase64Url(await sha256(utf8(rp.rp_id)))) {
    throw new VerifyError("wrong-rp-id");
  }
  const flags = data[32];
  if (flags & ~(UP | UV | BE | BS)) throw new VerifyError("bad-authenticator-data");
  if (!(flags & UP) || !(flags & UV)) throw new VerifyError("user-not-verified");
  const eligible = Boolean(flags & BE);
  if (eligible !== guardian.backup_eligible || (flags & BS && !eligible)) {
    throw new VerifyError("bad-authenticator-data");
  }
}

async function checkClientData(assertion, kind, rp) {
  let client;
  try {
    client = parseJson(assertion.clientData);
  } catch {
    throw new VerifyError("bad-client-data");
  }
  const string = (name) => typeof client.get(name) === "string";
  const cross = client instanceof Map ? (client.get("crossOrigin") ?? false) : null;
  const top = client instanceof Map ? (client.get("topOrigin") ?? null) : null;
  const shaped = client instanceof Map && ["type", "challenge", "origin"].every(string)
    && typeof cross === "boolean" && (top === null || typeof top === "string");
  if (!shaped) throw new VerifyError("bad-client-data");
  const type = client.get("type");
  const payment = client.get("payment") ?? null;
  const known = type === "payment.get" ? kind === "decision" && payment instanceof Map : payment === null;
  if (!known || !["webauthn.get", "payment.get", "nodpay.demo"].includes(type)) throw new VerifyError("bad-client-data");
  if (type === "nodpay.demo" && !rp.demo_keys) throw new VerifyError("demo-key-refused");
  if (client.get("challenge") !== (await assertionChallenge(kind, assertion.payload))) {
    throw new VerifyError("wrong-challenge");
  }
  if (!rp.origins.includes(client.get("origin"))) throw new VerifyError("wrong-origin");
  if (cross || top !== null) throw new VerifyError("cross-origin");
  return payment && shownPayment(payment, client.get("origin"), rp);
}

/** Secure Payment Confirmation, section 7: no words on it but the payee's name, the total and our instrument. */
function shownPayment(payment, origin, rp) {
  const [total, instrument] = [payment.get("total"), payment.get("instrument")];
  const icon = instrument instanceof Map && instrument.get("icon");
  const texts = [payment.get("rpId"), payment.get("topOrigin"), payment.get("payeeName"), icon];
  const shaped = total instanceof Map && [...texts, total.get("currency"), total.get("value")].every((one) => typeof one === "string");
  if (!shaped) throw new VerifyError("bad-client-data");
  if (payment.get("rpId") !== rp.rp_id) throw new VerifyError("wrong-rp-id");
  if (payment.get("topOrigin") !== origin) throw new VerifyError("cross-origin");
  const logos = payment.get("paymentEntitiesLogos") ?? [];
  const silent = (payment.get("payeeOrigin") ?? null) === null && (instrument.get("details") ?? null) === null
    && Array.isArray(logos) && logos.length === 0;
  if (!silent || !icon.startsWith(`${origin}/`) || instrument.get("displayName") !== PAYMENT_INSTRUMENT) {
    throw new VerifyError("bad-client-data");
  }
  return { payee: payment.get("payeeName"), currency: total.get("currency"), value: total.get("value") };
}

// ---- texts that people decide by ------------------------------------------------------------------------------------------

const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const INVISIBLE =
  /[\u034F\u115F\u1160\u17B4\u17B5\u180B-\u180F\u2800\u3164\uFE00-\uFE0F\uFFA0\uFFFC\uFFFD\u{E0000}-\u{E0FFF}]/u;

/** Null when `text` is 1 to `max` characters that show as they are, else why not: a key of `text-error.*`. */
export function textProblem(text, max) {
  if (text === "") return "empty";
  if ([...text].length > max) return "too-long";
  if (text.startsWith(" ") || text.endsWith(" ") || text.includes("  ")) return "stray-space";
  if (FORBIDDEN.test(text) || INVISIBLE.test(text)) return "forbidden";
  if (/\p{M}{5}/u.test(text)) return "too-many-marks";
  if (text.normalize("NFC") !== text) return "not-normalised";
  return null;
}

/** For text a person just typed: trimmed, single spaces, NFC. */
export const typedText = (text) => text.trim().replace(/ {2,}/g, " ").normalize("NFC");

// ---- the form of each payload -------------------------------------------------------------------------------------------

const bad = (why) => {
  throw new VerifyError("malformed-payload", why);
};
const oneOf = (...words) => (value) => (words.includes(value) ? value : bad(`not one of ${words.join(", ")}`));
const whole = (min, max) => (value) =>
  typeof value === "number" && value >= min && value <= max ? value : bad("a number is out of its range");
const bytes = (min, max = min) => (value) => {
  const decoded = typeof value === "string" ? fromBase64Url(value) : null;
  return decoded && decoded.length >= min && decoded.length <= max ? value : bad("not base64url of its length");
};
const text = (max) => (value) =>
  typeof value === "string" && textProblem(value, max) === null ? value : bad("not a text people can read");
const matching = (form) => (value) => (typeof value === "string" && form.test(value) ? value : bad(`not ${form}`));
const list = (read) => (value) => (Array.isArray(value) ? value.map(read) : bad("not a list"));
const flag = (value) => (typeof value === "boolean" ? value : bad("not true or false"));
const anyString = (value) => (typeof value === "string" ? value : bad("not a text"));

/** An object of exactly these fields; a reader with `optional` may be absent, one with `fallback` gets that. */
const fields = (readers) => (value) => {
  if (!(value instanceof Map)) bad("not an object");
  const found = {};
  for (const [name, read] of Object.entries(readers)) {
    if (value.has(name)) {
      const given = value.get(name);
      if (read.optional && given === null) continue;
      found[name] = read(given);
    } else if (read.fallback) {
      found[name] = read.fallback();
    } else if (!read.optional) {
      bad(`"${name}" is missing`);
    }
  }
  for (const name of value.keys()) {
    if (!Object.hasOwn(readers, name)) bad(`"${name}" is unknown`);
  }
  return found;
};
const maybe = (read) => Object.assign((value) => read(value), { optional: true });
const orNone = (read) => Object.assign((value) => read(value), { fallback: () => [] });

const v1 = oneOf(1);
const id = bytes(16);
const digest = bytes(32);
const credential = bytes(16, 1023);
const minor = whole(-MAX_MINOR, MAX_MINOR);
const at = whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const key = (value) => (fromBase64Url(bytes(65)(value))[0] === 4 ? value : bad("not an uncompressed point"));
const currency = matching(/^[A-Z]{3}$/);
const country = matching(/^[A-Z]{2}$/);
const lineId = matching(/^[A-Za-z0-9_-]{1,16}$/);
const amount = fields({ minor, currency });

const line = fields({
  id: lineId,
  name: text(60),
  quantity: whole(0, 0xffffffff),
  unit_price: minor,
  amount: minor,
  category: maybe(text(30)),
  min_age: maybe(whole(0, 255)),
  bundle: maybe(lineId),
});
const adjustment = fields({ kind: oneOf("discount", "tax", "fee"), name: text(60), amount: minor });

const guardian = fields({ guardian: id, credential, key, backup_eligible: flag, shown_payments: maybe(flag), name: maybe(digest) });
const enrolledWatch = fields({
  watch: id,
  key,
  wearer: id,
  wearer_name: digest,
  new_watch_cap: fields({ until: at, per_payment: amount }),
});
/** `{"only": […]}` or `{"never": […]}`, as `{kind, of}`. */
const choice = (read) => (value) => {
  if (!(value instanceof Map) || value.size !== 1) bad("not a choice");
  const [[kind, of]] = value;
  return { kind: oneOf("only", "never")(kind), of: list(read)(of) };
};
const openHours = fields({ days: list(oneOf("mon", "tue", "wed", "thu", "fri", "sat", "sun")), from: whole(0, 0xffff), to: whole(0, 0xffff) });
const mandate = fields({
  mandate: id, version: whole(0, 0xffffffff), name: text(30), watch: id, until: at, approve: maybe(amount),
  outside: oneOf("ask", "refuse"), per_payment: maybe(amount), per_day: maybe(amount), per_week: maybe(amount),
  per_month: maybe(amount), shops: maybe(choice(id)), categories: maybe(choice(matching(/^[0-9]{4}$/))),
  places: maybe(choice(fields({ city: maybe(text(30)), country }))), age: maybe(whole(0, 255)), windows: orNone(list(openHours)),
  offsets: list(fields({ from: at, minutes: whole(-0x8000, 0x7fff) })),
});
const WHYS = ["shop", "category", "place", "age", "weekday", "hour", "over-payment", "over-day", "over-week", "over-month",
  "over-approval", "printed-code", "reduced", "clock", "two-nods", "house-day", "house-week", "house-month"];
const houseRules = fields({
  two_nods_above: maybe(amount),
  caps: maybe(fields({ utc_minutes: whole(-0x8000, 0x7fff), per_day: maybe(amount), per_week: maybe(amount), per_month: maybe(amount) })),
  newcomers: maybe(fields({ watch_ms: at, per_payment: maybe(amount), guardian_ms: at })),
});

const entry = (value) => {
  if (!(value instanceof Map) || value.size !== 1) bad("not an entry");
  const [[kind, content]] = value;
  const readers = {
    found: guardian, "enrol-watch": enrolledWatch, "remove-watch": id,
    "pin-command": fields({ watch: id, nonce: id, command: oneOf("unlock", "new-pin") }),
    "set-session": fields({ watch: id, session_ms: at }),
    "add-guardian": fields({ guardian, counts_from: at }), "remove-guardian": id, object: digest, propose: entry,
    second: digest, withdraw: digest, "enrol-recovery": fields({ keys: list(key) }), recover: guardian,
    unfreeze: fields({ frozen_at: at }),
    "set-mandate": mandate, "end-mandate": id, "set-house-rules": houseRules, erase: fields({}),
  };
  return Object.hasOwn(readers, kind) ? { kind, content: readers[kind](content) } : bad("an unknown kind of entry");
};

/** What a guardian would rather nod to; `quantity` is checked against the bill. */
export const HINTS = ["smaller", "cheaper", "one", "healthier"];
const suggestion = fields({
  lines: orNone(list(fields({ id: lineId, quantity: whole(0, 0xffffffff) }))), hint: maybe(oneOf(...HINTS)), up_to: maybe(amount),
});
/** Longest note of a guardian's, in characters. */
export const MAX_NOTE = 80;

const OCCASIONS = ["school", "hungry", "thirsty", "birthday", "present", "journey"];
/** The text of a scanned code, as it was read: line ends and wide spaces may stand in it, and it need not be normalised. */
const codeText = (value) => {
  if (typeof value !== "string" || value === "" || [...value].length > 512) return bad("not a code's text");
  const shown = value.replace(/[\n\r\u00A0\u3000]/g, "");
  return FORBIDDEN.test(shown) || INVISIBLE.test(shown) ? bad("hidden characters in a code's text") : value;
};

const OUTCOMES = ["paid", "failed", "refused", "expired", "cancelled"];
const FAIL_REASONS = ["insufficient-balance", "bill-already-paid", "bill-cancelled", "bill-expired", "watch-removed", "household-frozen",
  "payment-declined"];

const bill = fields({
  v: v1, bill: id, revision: whole(0, 0xffffffff), replaces: maybe(digest), merchant: id, certificate: digest, currency,
  lines: list(line), adjustments: orNone(list(adjustment)), total: minor, reduction: oneOf("lines-sum", "requote"),
  issued: at, valid_until: at, nonce: id, code: maybe(codeText),
});

const log = fields({ v: v1, household: id, seq: whole(0, Number.MAX_SAFE_INTEGER), prev: maybe(digest), guardian: id, at, entry });

const FORMS = {
  "merchant-certificate": fields({
    v: v1, merchant: id, name: text(50), mcc: matching(/^[0-9]{4}$/), city: text(30), country, key, not_before: at,
    not_after: at,
  }),
  "outcome-certificate": fields({ v: v1, key, not_before: at, not_after: at }),
  bill,
  "static-bill": bill,
  "pairing-claim": fields({ v: v1, pairing: id, household: id, watch: id, key, proof: digest }),
  order: fields({
    v: v1, order: id, bill: digest, household: id, watch: id, wearer: id,
    wearer_check: fields({ method: oneOf("pin", "biometric"), at }), log_head: digest, created: at, expires: at, nonce: id,
    reason: maybe(text(60)), occasion: maybe(oneOf(...OCCASIONS)), without: orNone(list(lineId)),
  }),
  payment: fields({
    v: v1, payment: id, order: digest, decision: maybe(digest), mandate: maybe(digest), bill: digest, payee: digest,
    total: amount, household: id, watch: id, log_head: digest, at,
  }),
  cancel: fields({ v: v1, order: digest, household: id, watch: id, reason: oneOf("wearer", "not-genuine"), at }),
  outcome: fields({
    v: v1, order: digest, household: id, watch: id, outcome: oneOf(...OUTCOMES), reason: maybe(oneOf(...FAIL_REASONS)),
    decision: maybe(digest), mandate: maybe(digest), rule: maybe(oneOf(...WHYS)), cancel: maybe(digest), payment: maybe(digest), transfer: maybe(id), total: amount,
    log_head: digest, at,
  }),
  result: fields({ v: v1, order: digest, outcome: digest, seen: oneOf(...OUTCOMES), household: id, watch: id, at }),
  "pin-report": fields({
    v: v1, household: id, watch: id, seq: whole(0, Number.MAX_SAFE_INTEGER), nonce: id,
    state: oneOf("ok", "waiting", "locked", "asked-unlock", "asked-new-pin"), wrong: whole(0, 0xffffffff), until: maybe(at), at,
  }),
  "request-proof": fields({ v: v1, htm: anyString, htu: anyString, iat: at, jti: id }),
  log,
  recovery: log,
  "guardian-claim": fields({ v: v1, pairing: id, household: id, guardian, proof: digest }),
  decision: fields({
    v: v1, order: digest, bill: digest, struck: list(lineId), household: id, watch: id, wearer: id, payee: digest,
    total: amount, verdict: oneOf("approve", "refuse"), first: maybe(digest), guardian: id, credential, log_head: digest, at, pay_by: at,
    reason: maybe(text(MAX_NOTE)), suggest: maybe(suggestion),
  }),
};

/** An entry as it goes into the log (`{kind: content}`), in the form in which logs hold it. */
export const readEntry = (signed) => entry(parseJson(utf8(JSON.stringify(signed))));

/** The content of signed bytes, exactly in the form of its kind. */
export function readPayload(kind, payload) {
  try {
    return FORMS[kind](parseJson(payload));
  } catch (error) {
    if (error instanceof JsonError) throw new VerifyError("malformed-payload", error.message);
    throw error;
  }
}
