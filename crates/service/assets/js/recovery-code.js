// Printed recovery codes: the form and the derivation of crates/protocol/src/recovery.rs. 22 characters of base 32 are the
// secret, 3 check them; HKDF-SHA256 makes the P-256 key of it.

import { concat, fromBase64Url, labelled, toBase64Url, utf8 } from "./bytes.js";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS = 22;
const CHECK = 3;
const GROUP = 5;

// P-256 (SEC 2, section 2.4.2).
const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const G = [0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n, 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n];

/** A new code, in groups as it is printed. */
export async function newRecoveryCode() {
  const symbols = [...crypto.getRandomValues(new Uint8Array(SYMBOLS))].map((byte) => ALPHABET[byte & 31]).join("");
  return (symbols + (await checkOf(symbols))).match(new RegExp(`.{${GROUP}}`, "g")).join("-");
}

/** The secret of a code as somebody typed it, or null when it is none or a mistyped one. */
export async function readRecoveryCode(text) {
  const typed = text.toUpperCase().replace(/[ -]/g, "").replaceAll("O", "0").replace(/[IL]/g, "1");
  if (typed.length !== SYMBOLS + CHECK || [...typed].some((letter) => !ALPHABET.includes(letter))) return null;
  const symbols = typed.slice(0, SYMBOLS);
  return (await checkOf(symbols)) === typed.slice(SYMBOLS) ? symbols : null;
}

async function checkOf(symbols) {
  const [a, b] = fromBase64Url(await labelled("nodpay/recovery-check/1", utf8(symbols)));
  const bits = (a << 8) | b;
  return [bits >> 11, (bits >> 6) & 31, (bits >> 1) & 31].map((value) => ALPHABET[value]).join("");
}

/** The key of a code's secret: `{key, privateKey}`, the public point as messages hold it and what signs. */
export async function recoveryKey(symbols) {
  const secret = await crypto.subtle.importKey("raw", utf8(symbols), "HKDF", false, ["deriveBits"]);
  const salt = utf8("nodpay/recovery-code/1");
  for (let count = 0; count < 256; count += 1) {
    const info = concat(utf8("nodpay/recovery-key/1"), Uint8Array.of(count));
    const bits = new Uint8Array(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, secret, 256));
    const scalar = BigInt(`0x${[...bits].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
    if (scalar === 0n || scalar >= N) continue;
    const [x, y] = times(scalar).map(bytesOf);
    const jwk = { kty: "EC", crv: "P-256", x: toBase64Url(x), y: toBase64Url(y), d: toBase64Url(bits) };
    const privateKey = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    return { key: toBase64Url(concat(Uint8Array.of(4), x, y)), privateKey };
  }
  throw new RangeError("256 digests in a row are no scalar");
}

const bytesOf = (number) => Uint8Array.from(number.toString(16).padStart(64, "0").match(/../g), (pair) => parseInt(pair, 16));
const mod = (number) => ((number % P) + P) % P;

/** By Fermat. */
function inverse(number) {
  let [result, base, power] = [1n, mod(number), P - 2n];
  for (; power > 0n; power >>= 1n) {
    if (power & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

/** Affine addition; null is the point at infinity. */
function plus(one, other) {
  if (!one || !other) return one ?? other;
  const [x1, y1] = one;
  const [x2, y2] = other;
  if (x1 === x2 && mod(y1 + y2) === 0n) return null;
  const slope = x1 === x2 ? (3n * x1 * x1 - 3n) * inverse(2n * y1) : (y2 - y1) * inverse(x2 - x1);
  const x = mod(slope * slope - x1 - x2);
  return [x, mod(slope * (x1 - x) - y1)];
}

/** `scalar` times the generator. */
function times(scalar) {
  let sum = null;
  for (let point = G, left = scalar; left > 0n; left >>= 1n) {
    if (left & 1n) sum = plus(sum, point);
    point = plus(point, point);
  }
  return sum;
}
