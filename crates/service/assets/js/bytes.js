// Bytes in the browser: base64url, digests, P-256 signatures, and what a passkey signs. The same rules as crates/protocol.
//
// Pure functions over WebCrypto. Ids, digests and keys are base64url texts; base64url is read strictly, so one value has one text
// and texts may be compared.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...ALPHABET].map((letter, value) => [letter, value]));

export const utf8 = (text) => new TextEncoder().encode(text);

export function concat(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function toBase64Url(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const left = bytes.length - at;
    text += ALPHABET[a >> 2] + ALPHABET[((a & 3) << 4) | (b >> 4)];
    if (left > 1) text += ALPHABET[((b & 15) << 2) | (c >> 6)];
    if (left > 2) text += ALPHABET[c & 63];
  }
  return text;
}

/** Strict: no padding, no other characters, no stray bits (RFC 4648 section 3.5). Null when it is not. */
export function fromBase64Url(text) {
  const rest = text.length % 4;
  if (rest === 1) return null;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let have = 0;
  let at = 0;
  for (const letter of text) {
    const value = VALUES.get(letter);
    if (value === undefined) return null;
    bits = ((bits << 6) | value) & 0xffff;
    have += 6;
    if (have >= 8) {
      have -= 8;
      bytes[at++] = (bits >> have) & 0xff;
    }
  }
  return (bits & ((1 << have) - 1)) === 0 ? bytes : null;
}

export function randomId(length = 16) {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(length)));
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** `SHA-256(label ‖ 0x00 ‖ parts…)` as base64url. */
export async function labelled(label, ...parts) {
  return toBase64Url(await sha256(concat(utf8(label), Uint8Array.of(0), ...parts)));
}

// ---- P-256 ------------------------------------------------------------------------------------------------------------

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const toBigInt = (bytes) => bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);

export const isLowS = (signature) => toBigInt(signature.subarray(32)) <= (ORDER - 1n) / 2n;

/** The low-s form of a signature r ‖ s. */
export function lowS(signature) {
  if (isLowS(signature)) return signature;
  let s = ORDER - toBigInt(signature.subarray(32));
  const low = signature.slice();
  for (let at = 63; at >= 32; at -= 1) {
    low[at] = Number(s & 0xffn);
    s >>= 8n;
  }
  return low;
}

const ES256 = { name: "ECDSA", hash: "SHA-256" };
const P256 = { name: "ECDSA", namedCurve: "P-256" };

export async function verifyFixed(key, message, signature) {
  try {
    const imported = await crypto.subtle.importKey("raw", fromBase64Url(key), P256, false, ["verify"]);
    return await crypto.subtle.verify(ES256, imported, signature, message);
  } catch {
    return false; // a key that is no point of the curve verifies nothing
  }
}

export async function publicKeyOf(pair) {
  return toBase64Url(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
}

export const makeKeyPair = () => crypto.subtle.generateKey(P256, false, ["sign", "verify"]);

export async function signFixed(privateKey, message) {
  return new Uint8Array(await crypto.subtle.sign(ES256, privateKey, message));
}

/** r ‖ s of a strict DER signature (X.690 section 11), or null. */
export function fromDer(der) {
  const body = firstTlv(der, 0x30);
  if (!body || body.rest.length > 0) return null;
  const r = firstTlv(body.content, 0x02);
  const s = r && firstTlv(r.rest, 0x02);
  if (!s || s.rest.length > 0) return null;
  const fixed = new Uint8Array(64);
  return place(fixed.subarray(0, 32), r.content) && place(fixed.subarray(32), s.content) ? fixed : null;
}

function firstTlv(bytes, tag) {
  if (bytes.length < 2 || bytes[0] !== tag || bytes[1] >= 0x80) return null;
  const end = 2 + bytes[1];
  return bytes.length < end ? null : { content: bytes.subarray(2, end), rest: bytes.subarray(end) };
}

function place(to, integer) {
  let magnitude = integer;
  if (integer[0] === 0 && integer[1] >= 0x80) magnitude = integer.subarray(1);
  else if (!(integer[0] > 0 && integer[0] < 0x80)) return false;
  if (magnitude.length > to.length) return false;
  to.set(magnitude, to.length - magnitude.length);
  return true;
}

/** DER of a signature r ‖ s, as authenticators write it. */
export function toDer(fixed) {
  const integer = (bytes) => {
    let start = 0;
    while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
    const magnitude = bytes.subarray(start);
    const padded = magnitude[0] >= 0x80 ? concat(Uint8Array.of(0), magnitude) : magnitude;
    return concat(Uint8Array.of(0x02, padded.length), padded);
  };
  const body = concat(integer(fixed.subarray(0, 32)), integer(fixed.subarray(32)));
  return concat(Uint8Array.of(0x30, body.length), body);
}

// ---- passkey assertions -------------------------------------------------------------------------------------------------

/** What the browser shows as the means of payment where it shows payments itself. */
export const PAYMENT_INSTRUMENT = "Nodpay 点头付";

/** What the passkey signs for `payload` (bytes); `kind` is `log`, `decision` or `login`. */
export const assertionChallenge = (kind, payload) => labelled(`nodpay/${kind}-challenge/1`, payload);

export function assertionToWire({ payload, credential, authenticatorData, clientData, signature }) {
  return [payload, fromBase64Url(credential), authenticatorData, clientData, signature].map(toBase64Url).join(".");
}

/** The passkey that signed, as an assertion of our own names it. */
export const credentialOf = (wire) => wire.split(".")[1];
