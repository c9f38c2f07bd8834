// What this browser pinned of its household, and the log checked against it. The first time (founding, or a login on a new
// browser) it trusts the household whose log brings in the very passkey that was just used; from then on root key,
// household and founding entry must stay the same and the log never goes back. Whoever was invited pinned the founding entry
// from the link.

import { VerifyError } from "./messages.js";
import { readPin, writePin } from "./pinned.js";
import { LogBook, nameDigest, verifyPinReport } from "./verify.js";

/** Who this page takes itself to be: the service's word must agree with the address the browser shows. */
export function relyingParty(service, pin) {
  const host = location.hostname;
  const under = host === service.rp_id || host.endsWith(`.${service.rp_id}`);
  if (!under || !service.origins.includes(location.origin)) throw new VerifyError("page-elsewhere");
  return { rp_id: service.rp_id, origins: service.origins, demo_keys: service.demo === true && (pin?.demo ?? true) };
}

/**
 * Checks the household as the service gives it. `usedCredential` is the passkey that just logged in on this page, or null.
 * Gives `{book, trust, names, people, pins, guardian}` and moves the pin forward.
 */
export async function believe(household, usedCredential) {
  let pin = readPin();
  if (pin && pin.household !== household.household && usedCredential) pin = null; // another household's guardian logged in
  const rp = relyingParty(household, pin);
  const [first, ...rest] = household.log;
  if (!pin && !usedCredential) throw new VerifyError("not-pinned");
  const book = await LogBook.found(first, pin ? pin.founding : null, rp);
  for (const wire of rest) await book.append(wire);
  if (!pin && ![...book.guardians.values()].some(({ credential }) => credential === usedCredential)) throw new VerifyError("not-founder");
  if (book.household !== household.household) throw new VerifyError("other-household");
  if (pin) {
    if (pin.household !== book.household) throw new VerifyError("other-household");
    if (pin.root !== household.root) throw new VerifyError("root-changed");
    if (book.heads[pin.seq] !== pin.head) throw new VerifyError("log-went-back");
  }
  const guardian = book.guardians.get(household.guardian);
  if (!guardian) throw new VerifyError("unknown-guardian");
  const pins = await pinReports(household, book);
  writePin({
    household: book.household,
    founding: book.heads[0],
    root: household.root,
    demo: rp.demo_keys,
    seq: book.heads.length - 1,
    head: book.head,
    credential: guardian.credential,
  });
  const [names, people] = [await wearerNames(household, book), await guardianNames(household, book)];
  return { book, trust: { root: household.root }, names, people, pins, guardian };
}

/** Names that open the digests in the log; a name that does not is not shown. */
async function wearerNames(household, book) {
  const names = new Map();
  for (const { wearer, name, salt } of household.wearers) {
    const digest = await nameDigest(salt, name);
    const enrolled = book.watchesEver().some((watch) => watch.wearer === wearer && watch.wearer_name === digest);
    if (enrolled) names.set(wearer, { name, salt });
  }
  return names;
}

/** What the guardians are called; a name that does not open its digest is not shown. */
async function guardianNames(household, book) {
  const names = new Map();
  for (const { guardian, name, salt } of household.guardians) {
    if (book.guardians.get(guardian)?.name === (await nameDigest(salt, name))) names.set(guardian, { name, salt });
  }
  return names;
}

/** By watch, what each says of its PIN. */
async function pinReports(household, book) {
  const pins = new Map();
  for (const { watch, report } of household.pin_reports) {
    // The service reads log and reports one after the other: a watch may be in one of them only.
    if (book.watches.has(watch)) pins.set(watch, (await verifyPinReport(report, book, watch)).payload);
  }
  return pins;
}

/** The anchor file that `nodpay verify` trusts: from this page's verified state, in the one form of `Anchor`. */
export function anchorFile(book, trust) {
  const anchor = {
    "nodpay-anchor": 1,
    household: book.household,
    root: trust.root,
    rp_id: book.rp.rp_id,
    origins: book.rp.origins,
    guardians: [...book.guardians.values()].map(({ guardian, credential, key }) => ({ guardian, credential, key })),
  };
  if (book.rp.demo_keys) anchor.demo_keys = true;
  return `${JSON.stringify(anchor)}\n`;
}
