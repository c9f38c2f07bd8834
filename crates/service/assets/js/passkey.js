// The guardian's passkey: WebAuthn with a challenge of ours. Where the browser has no passkey and the service says that it
// is a demo, a software key signs instead, in a form (`nodpay.demo`) that nothing but a demo takes for a passkey.
//
// Never does: deciding what to sign. Callers show first what a signature means.

import {
  PAYMENT_INSTRUMENT, assertionChallenge, assertionToWire, concat, fromBase64Url, makeKeyPair, publicKeyOf, randomId, sha256, signFixed,
  toBase64Url, toDer, utf8,
} from "./bytes.js";
import { getKey, keyNames, putKey } from "./keys.js";

const SOFTWARE = "demo-passkey/";
/** Marks the passkeys that this browser made for payments: it finds no other when it shows one. */
const FOR_PAYMENTS = "nodpay.payments/";
const ES256 = -7;
/** SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480). */
const SPKI_PREFIX = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
const BACKUP_ELIGIBLE = 0x08;
/** How long a prompt may take. */
export const PROMPT_MS = 120_000;

/** `code` is a key of the texts `problem.*`. */
export class PasskeyError extends Error {
  constructor(code) {
    super(code);
    this.name = "PasskeyError";
    this.code = code;
  }
}

/** Whether this browser can make passkeys on this device, and whether the demo's software key may stand in. */
export async function support(service) {
  const api = globalThis.PublicKeyCredential;
  const passkey = Boolean(api) && (await api.isUserVerifyingPlatformAuthenticatorAvailable().catch(() => false));
  return { webauthn: Boolean(api), passkey, software: service.demo === true };
}

/**
 * Makes a passkey for a new guardian. Gives `{credential, key, backup_eligible}`, and `shown_payments: true` where this browser
 * shows payments itself and the key never leaves for one that may not: then its approvals count no other way.
 */
export async function createPasskey(service, guardian, label) {
  const ask = (extensions, authenticatorAttachment) => ceremony(() =>
    navigator.credentials.create({
      publicKey: {
        rp: { id: service.rp_id, name: "Nodpay" },
        user: { id: fromBase64Url(guardian), name: label, displayName: label },
        challenge: crypto.getRandomValues(new Uint8Array(32)),
        pubKeyCredParams: [{ type: "public-key", alg: ES256 }],
        authenticatorSelection: {
          residentKey: "required", requireResidentKey: true, userVerification: "required", ...(authenticatorAttachment && { authenticatorAttachment }),
        },
        attestation: "none",
        extensions,
        timeout: PROMPT_MS,
      },
    }),
  );
  // Secure Payment Confirmation takes passkeys of this device only (section 5.1.1); others are still good for us.
  const { passkey: onThisDevice } = await support(service);
  let forPayments = onThisDevice;
  const made = onThisDevice
    ? await ask({ payment: { isPayment: true } }, "platform").catch((error) => {
      if (error.code !== "passkey-kind") throw error;
      forPayments = false;
      return ask({}, "platform");
    })
    : await ask({}, null);
  const { response } = made;
  const spki = response.getPublicKey?.();
  const encoded = spki && toBase64Url(new Uint8Array(spki));
  if (response.getPublicKeyAlgorithm?.() !== ES256 || !encoded?.startsWith(SPKI_PREFIX)) throw new PasskeyError("passkey-kind");
  const credential = toBase64Url(new Uint8Array(made.rawId));
  const backupEligible = Boolean(new Uint8Array(response.getAuthenticatorData())[32] & BACKUP_ELIGIBLE);
  const shown = forPayments && (await paymentsAvailable());
  if (shown) localStorage.setItem(FOR_PAYMENTS + credential, "1");
  return {
    credential,
    key: toBase64Url(new Uint8Array(spki).slice(-65)),
    backup_eligible: backupEligible,
    ...(shown && !backupEligible && { shown_payments: true }),
  };
}

/** Makes the demo's software key, in the form of {@link createPasskey}. */
export async function createSoftwareKey(service) {
  if (service.demo !== true) throw new PasskeyError("passkey-none");
  const pair = await makeKeyPair();
  const credential = randomId(32);
  await putKey(SOFTWARE + credential, pair);
  return { credential, key: await publicKeyOf(pair), backup_eligible: false };
}

/** Credential ids of the software keys this browser holds. Empty outside a demo. */
export async function softwareKeys(service) {
  if (service.demo !== true) return [];
  return (await keyNames(SOFTWARE)).map((name) => name.slice(SOFTWARE.length));
}

/**
 * Signs `payload` (bytes) as `kind` (`log`, `decision` or `login`) and gives the message. `credential` names which passkey;
 * null lets the person choose.
 */
export async function signWithPasskey(service, kind, payload, credential) {
  const challenge = await assertionChallenge(kind, payload);
  const pair = service.demo === true && credential ? await getKey(SOFTWARE + credential) : undefined;
  if (pair) return assertionToWire({ payload, credential, ...(await signInSoftware(service, pair, challenge)) });
  const given = await ceremony(() =>
    navigator.credentials.get({
      publicKey: {
        rpId: service.rp_id,
        challenge: fromBase64Url(challenge),
        allowCredentials: credential ? [{ type: "public-key", id: fromBase64Url(credential) }] : [],
        userVerification: "required",
        timeout: PROMPT_MS,
      },
    }),
  );
  return toWire(payload, given);
}

// ---- Secure Payment Confirmation: the browser shows payee and total itself -------------------------------------------------------

/** Whether this browser has it, with a passkey of this device. */
async function paymentsAvailable() {
  const available = await globalThis.PaymentRequest?.securePaymentConfirmationAvailability?.().catch(() => null);
  return available === "available";
}

/** Whether the guardian approves by a payment that the browser shows: always where they enrolled for it, else where it can. */
export async function showsPayments(guardian) {
  if (guardian.shown_payments) return true;
  return localStorage.getItem(FOR_PAYMENTS + guardian.credential) !== null && paymentsAvailable();
}

/** Signs a decision (its bytes) after the browser showed `payee` and `total`, `{currency, value}` with its decimal places. */
export async function signShownPayment(service, payload, credential, { payee, total }) {
  const challenge = await assertionChallenge("decision", payload);
  const icon = new URL("/static/img/logo.svg", location.origin).href;
  const given = await ceremony(async () => {
    if (!(await paymentsAvailable())) throw new PasskeyError("passkey-payments");
    const request = new PaymentRequest([{
      supportedMethods: "secure-payment-confirmation",
      data: {
        credentialIds: [fromBase64Url(credential)],
        challenge: fromBase64Url(challenge),
        rpId: service.rp_id,
        payeeName: payee,
        instrument: { displayName: PAYMENT_INSTRUMENT, icon },
        timeout: PROMPT_MS,
      },
    }], { total: { label: payee, amount: total } });
    const response = await request.show();
    await response.complete("success");
    return response.details;
  });
  return toWire(payload, given);
}

const toWire = (payload, given) => assertionToWire({
  payload,
  credential: toBase64Url(new Uint8Array(given.rawId)),
  authenticatorData: new Uint8Array(given.response.authenticatorData),
  clientData: new Uint8Array(given.response.clientDataJSON),
  signature: new Uint8Array(given.response.signature),
});

async function signInSoftware(service, pair, challenge) {
  const userPresentAndVerified = 0x05;
  const authenticatorData = concat(
    await sha256(utf8(service.rp_id)), Uint8Array.of(userPresentAndVerified), new Uint8Array(4));
  const clientData = utf8(
    JSON.stringify({ type: "nodpay.demo", challenge, origin: location.origin, crossOrigin: false }));
  const signature = toDer(await signFixed(pair.privateKey, concat(authenticatorData, await sha256(clientData))));
  return { authenticatorData, clientData, signature };
}

async function ceremony(start) {
  if (!globalThis.PublicKeyCredential) throw new PasskeyError("passkey-none");
  try {
    const credential = await start();
    if (!credential) throw new PasskeyError("passkey-cancelled");
    return credential;
  } catch (error) {
    if (error instanceof PasskeyError) throw error;
    const codes = {
      NotAllowedError: "passkey-cancelled",
      AbortError: "passkey-cancelled",
      InvalidStateError: "passkey-exists",
      NotSupportedError: "passkey-kind",
      ConstraintError: "passkey-kind",
      SecurityError: "passkey-origin",
    };
    throw new PasskeyError(codes[error.name] ?? "passkey-failed");
  }
}
