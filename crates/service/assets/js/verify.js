// What the phone checks itself before it shows anything as true: the rules of crates/protocol/src/verify.rs and of
// crates/core's bills and household log, with the same error codes, against the same vectors.
//
// Invariant: whatever these functions return was signed by whom it binds, under keys this browser pinned. They throw a
// VerifyError otherwise, and then nothing of the message may be shown.

import { assertionChallenge, fromBase64Url, labelled, toBase64Url, utf8 } from "./bytes.js";
import { VerifyError, messageDigest, openJws, parseAssertion, readPayload, verifyAssertion, MAX_MINOR } from "./messages.js";
import { decimalDigits, readCode } from "./code.js";
import { allowsNewWatch, allowsRules, asksTwoMoreOften, checkHouseRules, isLooserHouse, isTooMuchForNewcomers, newcomersOf, wantsTwoNods } from "./house-rules.js";
import { Members, acted, acts, counted } from "./members.js";
import { askedOf, canAnswer, endMandate, holdsAt, isFor, isLooser, setMandate } from "./mandates.js";

export const MAX_ORDER_LIFE_MS = 60 * 60 * 1000;
export const MAX_DECISION_AGE_MS = 10 * 60 * 1000;
export const MAX_WEARER_CHECK_AGE_MS = 120_000;
const MAX_SESSION_MS = 8 * 60 * 60 * 1000;
const MAX_LOG_ENTRIES = 100_000;
const MAX_LINES = 64;
const MAX_ADJUSTMENTS = 8;
const MAX_QUANTITY = 9_999;

const fail = (code, detail) => {
  throw new VerifyError(code, detail);
};
const need = (holds, code, detail) => {
  if (!holds) fail(code, detail);
};

// ---- the household log --------------------------------------------------------------------------------------------------

/** A household log whose every entry's assertion was verified, folded. */
export class LogBook {
  /** `expected` pins the founding entry's digest; null trusts the key inside it (the caller knows it from elsewhere). */
  static async found(wire, expected, rp) {
    const digest = await messageDigest("log", wire);
    need(expected === null || expected === digest, "unknown-log-head", "another founding entry");
    const assertion = parseAssertion(wire);
    const entry = readPayload("log", assertion.payload);
    need(entry.entry.kind === "found", "bad-log-entry", "the first entry founds the household");
    const guardian = entry.entry.content;
    await verifyAssertion(assertion, "log", guardian, rp);
    need(entry.seq === 0 && entry.prev === undefined, "bad-log-entry", "not the next entry");
    need(guardian.guardian === entry.guardian, "bad-log-entry", "not a guardian");
    const book = new LogBook();
    Object.assign(book, {
      rp,
      household: entry.household,
      heads: [digest],
      wires: [wire],
      entries: [entry],
      lastAt: entry.at,
      folded: new Members(guardian, fail),
      watches: new Map(),
      removed: new Map(),
      sessions: [],
      /** Every version of every standing rule, oldest first. */
      mandates: [],
      /** {seq, rules}: from which entry on which rules of deciding hold, oldest first. */
      house: [],
    });
    return book;
  }

  /** Takes the next entry; leaves the book as it was when it is refused. */
  async append(wire) {
    const digest = await messageDigest("log", wire);
    const recovery = typeof wire === "string" && wire.split(".").length === 3;
    const { entry, key } = recovery ? await this.openRecovery(wire) : { entry: await this.openEntry(wire), key: null };
    const wrong = (holds, why, code = "bad-log-entry") => need(holds, code, why);
    wrong(entry.household === this.household, "another household");
    wrong(entry.seq < MAX_LOG_ENTRIES, "the log is full");
    wrong(entry.seq === this.heads.length, "not the next entry");
    wrong(entry.prev === this.head, "another predecessor");
    wrong(entry.at >= this.lastAt, "older than the entry before");
    const place = { seq: entry.seq, digest, at: entry.at };
    if (recovery) {
      wrong(entry.entry.kind === "recover" && entry.entry.content.guardian === entry.guardian, "not a recovery");
      this.folded.recover(entry.entry.content, key, place);
    } else {
      this.fold(entry, place, wrong);
    }
    this.heads.push(digest);
    this.wires.push(wire);
    this.entries.push(entry);
    this.lastAt = entry.at;
    return entry;
  }

  async openEntry(wire) {
    const { assertion, guardian } = await this.assertion("log", wire);
    const entry = readPayload("log", assertion.payload);
    need(entry.guardian === guardian.guardian, "unknown-guardian");
    return entry;
  }

  /** A recovery entry, and which of the unused recovery keys signed it. */
  async openRecovery(wire) {
    let last = new VerifyError("bad-signature");
    for (const key of this.folded.recovery) {
      try {
        return { entry: (await openJws("recovery", wire, key)).payload, key };
      } catch (error) {
        if (!(error instanceof VerifyError)) throw error;
        last = error;
      }
    }
    throw last;
  }

  fold(entry, place, wrong) {
    const { folded } = this;
    const { guardian: signer, entry: change, at } = entry;
    folded.maySign(signer, at);
    const two = folded.needTwo(at);
    if (change.kind === "propose") {
      wrong(two && this.needsTwo(change.content), "needs no proposal");
      if (change.content.kind === "add-guardian") folded.checkNew(change.content.content, at, this.coolingMs);
      folded.propose(change.content, signer, place);
    } else if (change.kind === "second") {
      this.apply(folded.second(change.content, signer, at), signer, place, wrong);
      folded.close(change.content);
    } else {
      wrong(!two || !this.needsTwo(change), "needs two guardians", "needs-two-guardians");
      if (change.kind === "add-guardian") folded.checkNew(change.content, at, this.coolingMs);
      this.apply(change, signer, place, wrong);
    }
  }

  /** Whether more can happen by it than before: then it needs two guardians, where two count. */
  loosens({ kind, content }) {
    if (kind === "set-session") return content.session_ms > this.sessionMs(content.watch, Infinity);
    if (kind === "set-mandate") return isLooser(content, this.mandate(content.mandate));
    if (kind === "end-mandate") return this.mandate(content)?.outside === "refuse";
    if (kind === "set-house-rules") return isLooserHouse(content, this.houseRules());
    return kind === "enrol-recovery" || kind === "unfreeze";
  }

  needsTwo(change) {
    return change.kind === "add-guardian" || this.loosens(change);
  }

  /** Whether an entry (`{kind, content}`) that is signed at `now` must be proposed. */
  mustPropose(change, now) {
    return this.folded.needTwo(now) && this.needsTwo(change);
  }

  /** Makes a change effective: whoever had to agree has. */
  apply({ kind, content }, signer, place, wrong) {
    const { folded } = this;
    if (kind === "found") wrong(false, "founded already");
    if (kind === "recover") wrong(false, "not by a passkey");
    if (kind === "propose" || kind === "second") wrong(false, "needs no proposal");
    if (kind === "add-guardian") folded.add(content, place, this.coolingMs);
    if (kind === "remove-guardian") folded.remove(content, signer, place);
    if (kind === "object") folded.object(content, signer, place.at);
    if (kind === "erase") folded.erase(signer, place);
    if (kind === "withdraw") folded.withdraw(content, place.at);
    if (kind === "enrol-recovery") folded.enrolRecovery(content);
    if (kind === "enrol-watch") {
      const known = this.watchEver(content.watch) || [...this.watches.values()].some((other) => other.key === content.key);
      wrong(!known, "the watch is enrolled already");
      wrong(allowsNewWatch(this.houseRules(), content.new_watch_cap, place.at), "a new watch's cap");
      this.watches.set(content.watch, content);
    }
    if (kind === "remove-watch") {
      const gone = this.watches.get(content);
      wrong(gone, "the watch is not enrolled");
      this.watches.delete(content);
      this.removed.set(content, gone);
    }
    if (kind === "pin-command" || kind === "set-session") wrong(this.watches.has(content.watch), "the watch is not enrolled");
    if (kind === "set-session") {
      wrong(content.session_ms >= 0 && content.session_ms <= MAX_SESSION_MS, "not a session's length");
      this.sessions.push({ ...content, seq: place.seq });
    }
    if (kind === "set-mandate") {
      wrong(this.watches.has(content.watch), "the watch is not enrolled");
      setMandate(this.mandates, content, signer, place);
    }
    if (kind === "end-mandate") endMandate(this.mandates, content, place.seq);
    if (kind === "set-house-rules") {
      checkHouseRules(content);
      wrong(!asksTwoMoreOften(content, this.houseRules()) || folded.needTwo(place.at), "no second guardian who counts");
      this.house.push({ seq: place.seq, rules: content });
    }
  }

  /** By id: all who ever were guardians, or are to be. What they signed stays checkable. */
  get guardians() {
    return new Map([...this.folded.members].map(([id, member]) => [id, member.guardian]));
  }

  /** The guardian, if they may see and answer orders at `now`. */
  answering(guardian, now) {
    const member = this.folded.members.get(guardian) ?? fail("unknown-guardian");
    need(acts(member, now), now < member.joins ? "guardian-not-yet" : "revoked-guardian");
    return member;
  }

  /** Verifies an assertion of anyone who ever was a guardian. */
  async assertion(kind, wire) {
    const assertion = parseAssertion(wire);
    const guardian = [...this.guardians.values()].find((known) => known.credential === assertion.credential);
    need(guardian, "unknown-guardian");
    const shown = await verifyAssertion(assertion, kind, guardian, this.rp);
    return { assertion, guardian, shown };
  }

  get head() {
    return this.heads.at(-1);
  }

  /** The rule as its newest version says, if it was not ended. */
  mandate(id) {
    return this.mandates.find(({ mandate, ended }) => mandate.mandate === id && ended === null)?.mandate;
  }

  /** The rules of deciding by the entries up to number `seq`. */
  houseRules(seq = Infinity) {
    return this.house.findLast((set) => set.seq <= seq)?.rules ?? {};
  }

  /** How long a new guardian does not count. */
  get coolingMs() {
    return newcomersOf(this.houseRules()).guardian_ms;
  }

  /** Position of a head, or -1. */
  seqOf(head) {
    return this.heads.lastIndexOf(head);
  }

  watchEver(watch) {
    return this.watches.get(watch) ?? this.removed.get(watch);
  }

  watchesEver() {
    return [...this.watches.values(), ...this.removed.values()];
  }

  /** How long an on-wrist session of the watch lasts by the entries up to number `seq`; 0 is none. */
  sessionMs(watch, seq) {
    return this.sessions.findLast((set) => set.watch === watch && set.seq <= seq)?.session_ms ?? 0;
  }

  /** The watch, if it may act now. */
  enrolled(watch) {
    return this.watches.get(watch) ?? fail(this.removed.has(watch) ? "revoked-watch" : "unknown-watch");
  }
}

// ---- bills ----------------------------------------------------------------------------------------------------------------

const sum = (amounts) =>
  amounts.reduce((total, amount) => {
    const next = total + amount;
    return Math.abs(next) <= MAX_MINOR ? next : fail("bad-bill", "out-of-range");
  }, 0);

/** Recomputes everything: a bill that passes is consistent in itself. */
export function checkBill(bill) {
  const wrong = (holds, why) => need(holds, "bad-bill", why);
  wrong(bill.lines.length >= 1 && bill.lines.length <= MAX_LINES, "line-count");
  wrong(bill.adjustments.length <= MAX_ADJUSTMENTS, "adjustment-count");
  const seen = new Set();
  for (const line of bill.lines) {
    wrong(!seen.has(line.id), "repeated-line");
    seen.add(line.id);
    wrong(line.quantity >= 1 && line.quantity <= MAX_QUANTITY, "quantity");
    wrong(line.unit_price >= 0, "negative-price");
    const amount = line.unit_price * line.quantity; // below 10^15: exact
    wrong(amount <= MAX_MINOR, "out-of-range");
    wrong(amount === line.amount, "line-amount");
  }
  wrong(bill.reduction !== "lines-sum" || bill.adjustments.length === 0, "adjustment-on-sum");
  for (const { kind, amount } of bill.adjustments) {
    wrong(kind === "discount" ? amount <= 0 : amount >= 0, "adjustment-sign");
  }
  const all = [...bill.lines, ...bill.adjustments].map((part) => part.amount);
  wrong(sum(all) === bill.total, "wrong-total");
  wrong(bill.total > 0, "nothing-to-pay");
  wrong(bill.valid_until > bill.issued, "validity");
  wrong(bill.revision > 0 && (bill.revision === 1) === (bill.replaces === undefined), "revision");
}

/** Whether `requote` may stand in for `bill` (revision 1, with `digest`): a subset of its lines, nothing dearer. */
export function checkRequote(bill, digest, requote) {
  const wrong = (holds, why) => need(holds, "bad-requote", why);
  wrong(requote.bill === bill.bill, "other-bill");
  wrong(["merchant", "certificate", "currency", "reduction"].every((name) => requote[name] === bill[name]), "other-terms");
  wrong(requote.replaces === digest, "other-predecessor");
  wrong(requote.revision > bill.revision, "revision");
  let from = 0;
  for (const line of requote.lines) {
    while (from < bill.lines.length && bill.lines[from].id !== line.id) from += 1;
    const original = bill.lines[from];
    from += 1;
    wrong(original, "line-changed");
    const same = ["name", "quantity", "category", "min_age", "bundle"].every((name) => line[name] === original[name]);
    wrong(same, "line-changed");
    wrong(line.unit_price <= original.unit_price, "price-up");
  }
  const charges = new Set();
  for (const { kind, name, amount } of requote.adjustments) {
    if (kind === "discount") continue;
    const before = bill.adjustments.find((other) => other.kind === kind && other.name === name);
    wrong(before && amount <= before.amount, "charge-up");
    wrong(!charges.has(`${kind} ${name}`), "charge-up"); // the same charge named twice must not pass as one
    charges.add(`${kind} ${name}`);
  }
  wrong(requote.total <= bill.total, "total-up");
}

/** Divides the lines into struck and kept, in the bill's order. */
export function splitBill(bill, struck) {
  need(struck.every((id) => bill.lines.some((line) => line.id === id)), "line-not-there");
  const out = bill.lines.filter((line) => struck.includes(line.id));
  const kept = bill.lines.filter((line) => !struck.includes(line.id));
  need(out.length === struck.length && out.every((line, index) => line.id === struck[index]), "bad-strike", "order");
  need(kept.length > 0, "everything-struck");
  return { struck: out, kept };
}

/** Whether an order of `bill` (revision 1) may leave these lines out. */
function checkWithout(bill, without) {
  if (bill.reduction === "lines-sum") billTerms(bill, without);
  else splitBill(bill, without);
}

/** What an order that leaves `without` out may come to: the sum of its lines, or the whole bill where only the shop can say. */
export function askedTotal(bill, without) {
  const total = bill.reduction === "lines-sum" ? billTerms(bill, without).total.minor : bill.total;
  return { minor: total, currency: bill.currency };
}

/** The lines that a suggestion names, each with how many of it; null where one was not asked for, or out of order. */
export function suggestedLines(suggestion, bill, without) {
  const asked = bill.lines.filter((line) => !without.includes(line.id));
  let from = 0;
  const named = suggestion.lines.map(({ id, quantity }) => {
    while (from < asked.length && asked[from].id !== id) from += 1;
    from += 1;
    return { line: asked[from - 1], quantity };
  });
  return named.every(({ line }) => line) ? named : null;
}

/** Whether a refusal of an order that leaves `without` out may suggest this. */
export function checkSuggestion(suggestion, bill, without) {
  const wrong = (holds, why) => need(holds, "bad-suggestion", why);
  const { lines, hint, up_to } = suggestion;
  wrong(lines.length > 0 || hint !== undefined || up_to !== undefined, "nothing");
  const named = suggestedLines(suggestion, bill, without);
  wrong(named, "lines");
  wrong(named.every(({ line, quantity }) => quantity >= 1 && quantity <= line.quantity), "quantity");
  const asked = bill.lines.filter((line) => !without.includes(line.id)).length;
  wrong(named.length < asked || named.some(({ line, quantity }) => quantity !== line.quantity), "everything");
  wrong(!up_to || (up_to.minor > 0 && up_to.currency === bill.currency && up_to.minor < bill.total), "amount");
}

/** What is to be paid when `struck` is taken out of `bill` (revision 1): by summing up, or by a checked `requote`. */
export function billTerms(bill, struck, requote) {
  const split = splitBill(bill, struck);
  let { kept } = split;
  let { adjustments, total } = bill;
  if (requote) {
    const same = requote.lines.length === kept.length && requote.lines.every((line, index) => line.id === kept[index].id);
    need(same, "bad-strike", "not this strike");
    ({ lines: kept, adjustments, total } = requote);
  } else if (struck.length > 0) {
    need(bill.reduction === "lines-sum", "bad-strike", "needs a requote");
    adjustments = [];
    total = sum(kept.map((line) => line.amount));
  }
  need(total > 0, "bad-strike", "nothing left to pay");
  return { struck: split.struck, kept, adjustments, total: { minor: total, currency: bill.currency } };
}

// ---- messages -------------------------------------------------------------------------------------------------------------

const sameAmount = (one, other) => one.minor === other.minor && one.currency === other.currency;

export const verifyMerchantCertificate = (wire, root) => openJws("merchant-certificate", wire, root);

export const verifyOutcomeCertificate = (wire, root) => openJws("outcome-certificate", wire, root);

export async function verifyBill(wire, certificate) {
  const bill = await openJws("bill", wire, certificate.payload.key);
  need(bill.payload.code === undefined, "bad-scanned-code", "a merchant's bill holds none");
  checkBillOf(bill, certificate);
  return bill;
}

/**
 * A bill that the watch with this key made of a printed code, in the name of the certificate's merchant. Whose code it is,
 * the service says. Gives also what the code itself says, as `scanned`.
 */
export async function verifyStaticBill(wire, certificate, watchKey) {
  const bill = await openJws("static-bill", wire, watchKey);
  const said = bill.payload;
  const wrong = (holds, why) => need(holds, "bad-scanned-code", why);
  wrong(said.code !== undefined, "there is none");
  const scanned = readCode(said.code);
  checkBillOf(bill, certificate);
  wrong(scanned.shop === null || scanned.shop === certificate.payload.merchant, "another merchant's");
  wrong(scanned.currency === said.currency, "another currency");
  wrong(scanned.amount_minor === null || scanned.amount_minor === said.total, "another amount");
  const [line] = said.lines;
  wrong(said.lines.length === 1 && line.quantity === 1 && line.bundle === undefined, "one line");
  wrong(said.revision === 1 && said.reduction === "lines-sum", "one sum");
  return { ...bill, scanned };
}

/** The bill of an order by the watch with this key: the merchant's, or one that this watch made of a printed code. */
async function verifyOrderedBill(wire, certificate, watchKey) {
  try {
    return await verifyBill(wire, certificate);
  } catch (error) {
    if (error.code !== "wrong-message-kind") throw error;
    return verifyStaticBill(wire, certificate, watchKey);
  }
}

function checkBillOf(bill, certificate) {
  const { merchant, not_before, not_after } = certificate.payload;
  need(bill.payload.merchant === merchant && bill.payload.certificate === certificate.digest, "other-merchant");
  need(bill.payload.issued >= not_before && bill.payload.issued < not_after, "certificate-not-valid");
  checkBill(bill.payload);
}

export async function verifyRequote(wire, certificate, bill) {
  const requote = await verifyBill(wire, certificate);
  checkRequote(bill.payload, bill.digest, requote.payload);
  return requote;
}

/** `watch` is who the caller takes the sender to be. */
export async function verifyOrder(wire, book, watch, bill) {
  const enrolled = book.watchEver(watch) ?? fail("unknown-watch");
  const order = await openJws("order", wire, enrolled.key);
  const said = order.payload;
  need(said.watch === watch, "other-watch");
  need(said.household === book.household, "other-household");
  need(said.wearer === enrolled.wearer, "other-wearer");
  need(bill.payload.revision === 1 && said.bill === bill.digest, "other-bill");
  checkWithout(bill.payload, said.without);
  const orderedAt = book.seqOf(said.log_head);
  need(orderedAt >= 0, "unknown-log-head");
  const life = said.expires - said.created;
  need(life >= 1 && life <= MAX_ORDER_LIFE_MS, "bad-order-life");
  const checked = said.created - said.wearer_check.at;
  need(checked >= 0 && checked <= Math.max(MAX_WEARER_CHECK_AGE_MS, book.sessionMs(watch, orderedAt)), "bad-wearer-check");
  return order;
}

/** Bill and order. Finds the sender by trying every watch: who sent it is never taken from the message. */
export async function verifyOrderOfAnyWatch(view, book, certificate) {
  let last = new VerifyError("unknown-watch");
  for (const { watch, key } of book.watchesEver()) {
    try {
      const bill = await verifyOrderedBill(view.bill, certificate, key);
      return { bill, order: await verifyOrder(view.order, book, watch, bill) };
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
      if (error.code !== "bad-signature" || last.code === "unknown-watch") last = error;
    }
  }
  throw last;
}

/** Gives the decision and what it lets be paid (`terms`, null for a refusal). */
export async function verifyDecision(wire, book, order, bill, requote, certificate) {
  const { assertion, guardian, shown } = await book.assertion("decision", wire);
  const said = readPayload("decision", assertion.payload);
  need(said.guardian === guardian.guardian && said.credential === guardian.credential, "unknown-guardian");
  need(said.order === order.digest, "other-order");
  need(said.household === order.payload.household, "other-household");
  need(said.watch === order.payload.watch, "other-watch");
  need(said.wearer === order.payload.wearer, "other-wearer");
  need(said.payee === bill.payload.certificate && said.payee === certificate.digest, "other-payee");
  const current = requote ?? bill;
  if (said.bill !== current.digest) fail(said.bill === bill.digest ? "stale-bill" : "other-bill");
  const decidedAt = book.seqOf(said.log_head);
  need(decidedAt >= 0 && decidedAt >= book.seqOf(order.payload.log_head), "unknown-log-head");
  const member = book.folded.members.get(guardian.guardian);
  need(acted(member, decidedAt, said.at), "revoked-guardian");
  const life = said.pay_by - said.at;
  need(life >= 1 && life <= MAX_DECISION_AGE_MS, "bad-decision-life");
  let terms = null;
  if (said.verdict === "approve") {
    terms = billTerms(bill.payload, said.struck, requote?.payload);
    need(order.payload.without.every((id) => said.struck.includes(id)), "bad-strike", "a line that was not asked for");
    need(said.suggest === undefined, "bad-suggestion", "with an approval");
    need(sameAmount(said.total, terms.total), "wrong-total");
    const isNew = !counted(member, decidedAt, said.at);
    need(!isNew || !isTooMuchForNewcomers(book.houseRules(decidedAt), terms.total), "over-newcomer-cap");
    need(shown || !guardian.shown_payments, "payment-not-shown");
    need(!shown || isPayment(shown, certificate, terms.total), "other-payment-shown");
  } else {
    need(!shown, "other-payment-shown", "a refusal is no payment");
    need(said.struck.length === 0, "bad-strike", "a refusal strikes nothing");
    need(said.first === undefined, "bad-first-nod", "a refusal seconds nothing");
    need(sameAmount(said.total, { minor: current.payload.total, currency: current.payload.currency }), "wrong-total");
    if (said.suggest) checkSuggestion(said.suggest, bill.payload, order.payload.without);
  }
  return { payload: said, wire, digest: await messageDigest("decision", wire), terms };
}

const isPayment = ({ payee, currency, value }, certificate, total) =>
  payee === certificate.payload.name && currency === total.currency && value === decimalDigits(total);

/** The other guardian's approval that `decision` names; null where it names none. */
export async function verifyFirstNod(decision, wire, book, order, bill, requote, certificate) {
  if (decision.payload.first === undefined) return null;
  need(wire, "bad-first-nod", "it is not there");
  const first = await verifyDecision(wire, book, order, bill, requote, certificate);
  const same = sameAmount(first.payload.total, decision.payload.total)
    && JSON.stringify(first.payload.struck) === JSON.stringify(decision.payload.struck);
  need(first.digest === decision.payload.first && first.terms && first.payload.first === undefined && same, "bad-first-nod");
  need(first.payload.guardian !== decision.payload.guardian, "bad-log-entry", "the same person");
  for (const { payload } of [decision, first]) {
    const member = book.folded.members.get(payload.guardian);
    need(counted(member, book.seqOf(payload.log_head), payload.at), "guardian-not-counting");
  }
  return first;
}

export async function paymentId(orderDigest, decisionDigest) {
  const whole = await labelled("nodpay/payment-id/1", fromBase64Url(orderDigest), fromBase64Url(decisionDigest));
  return toBase64Url(fromBase64Url(whole).subarray(0, 16));
}

export async function verifyPayment(wire, book, order, decision) {
  const payment = await openJws("payment", wire, watchKey(book, order));
  const said = payment.payload;
  need(said.order === order.digest && decision.payload.order === order.digest, "other-order");
  need(said.decision === decision.digest && said.mandate === undefined, "other-decision");
  need(decision.payload.verdict === "approve", "not-approved");
  need(said.payment === (await paymentId(order.digest, decision.digest)), "other-payment");
  need(said.bill === decision.payload.bill, "other-bill");
  need(said.payee === decision.payload.payee, "other-payee");
  need(sameAmount(said.total, decision.payload.total), "wrong-total");
  sameWatch(order, said);
  const paidAt = book.seqOf(said.log_head);
  need(paidAt >= 0 && paidAt >= book.seqOf(decision.payload.log_head), "unknown-log-head");
  const two = wantsTwoNods(book.houseRules(paidAt), decision.payload.total);
  need(decision.payload.first !== undefined || !two, "needs-two-nods");
  return payment;
}

/**
 * Whether the rule that this log entry made says so to the order ("approve", or "refuse" with `why`). What was spent before is
 * the service's word. Gives the rule's version as the log holds it.
 */
export function verifyMandate(entry, answer, why, book, order, bill, certificate) {
  const standing = book.mandates.find((one) => one.entry === entry) ?? fail("unknown-mandate");
  const asked = askedOf(order, bill, certificate, askedTotal(bill.payload, order.payload.without));
  need(standing.mandate.watch === asked.watch, "other-watch");
  need(isFor(standing.mandate, asked), "mandate-over");
  need(canAnswer(standing.mandate, asked, answer, why), "outside-mandate");
  return standing;
}

/** The watch's instruction to pay its whole order under a rule that held for all it knew. */
export async function verifyMandatePayment(wire, book, order, bill, certificate) {
  const payment = await openJws("payment", wire, watchKey(book, order));
  const said = payment.payload;
  need(said.order === order.digest && order.payload.bill === bill.digest, "other-order");
  need(said.mandate !== undefined && said.decision === undefined, "other-decision");
  const standing = verifyMandate(said.mandate, "approve", undefined, book, order, bill, certificate);
  need(said.payment === (await paymentId(order.digest, said.mandate)), "other-payment");
  need(said.bill === bill.digest, "other-bill");
  need(said.payee === bill.payload.certificate, "other-payee");
  need(sameAmount(said.total, { minor: bill.payload.total, currency: bill.payload.currency }), "wrong-total");
  sameWatch(order, said);
  const paidAt = book.seqOf(said.log_head);
  need(paidAt >= 0 && paidAt >= book.seqOf(order.payload.log_head), "unknown-log-head");
  need(holdsAt(standing, paidAt), "mandate-over");
  need(allowsRules(book.houseRules(paidAt), said.total), "outside-mandate");
  return payment;
}

export async function verifyCancel(wire, book, order) {
  const cancel = await openJws("cancel", wire, watchKey(book, order));
  need(cancel.payload.order === order.digest, "other-order");
  sameWatch(order, cancel.payload);
  return cancel;
}

export async function verifyOutcome(wire, certificate, order) {
  const outcome = await openJws("outcome", wire, certificate.payload.key);
  const said = outcome.payload;
  need(said.order === order.digest, "other-order");
  sameWatch(order, said);
  need(said.decision === undefined || said.mandate === undefined, "bad-outcome");
  const decided = said.decision !== undefined || said.mandate !== undefined;
  need((said.rule !== undefined) === (said.outcome === "refused" && said.mandate !== undefined), "bad-outcome");
  const cancelled = said.cancel !== undefined;
  const paid = said.payment !== undefined;
  const moved = said.transfer !== undefined;
  const fits = {
    paid: decided && paid && moved && !cancelled,
    failed: !cancelled && !moved && (decided || !paid),
    refused: decided && !cancelled && !paid && !moved,
    expired: !cancelled && !paid && !moved,
    cancelled: cancelled && !paid && !moved,
  };
  need(fits[said.outcome] && (said.reason !== undefined) === (said.outcome === "failed"), "bad-outcome");
  return outcome;
}

export async function verifyResult(wire, book, order, outcome) {
  const result = await openJws("result", wire, watchKey(book, order));
  need(result.payload.order === order.digest, "other-order");
  const same = result.payload.outcome === outcome.digest && result.payload.seen === outcome.payload.outcome;
  need(same, "other-outcome");
  sameWatch(order, result.payload);
  return result;
}

/** How the PIN of `watch` stands, as the watch says. */
export async function verifyPinReport(wire, book, watch) {
  const enrolled = book.watchEver(watch) ?? fail("unknown-watch");
  const report = await openJws("pin-report", wire, enrolled.key);
  const said = report.payload;
  need(said.watch === watch, "other-watch");
  need(said.household === book.household, "other-household");
  need(said.seq > 0 && (said.until !== undefined) === (said.state === "waiting"), "bad-pin-report");
  return report;
}

function watchKey(book, order) {
  return (book.watchEver(order.payload.watch) ?? fail("unknown-watch")).key;
}

function sameWatch(order, said) {
  need(said.household === order.payload.household, "other-household");
  need(said.watch === order.payload.watch, "other-watch");
}

// ---- one whole order --------------------------------------------------------------------------------------------------------

/**
 * Verifies everything the service holds of an order, as its order view gives it. `trust` holds `root`, the pinned service
 * root. A part that is there and does not fit makes the whole order unbelievable.
 */
export async function verifyOrderView(view, book, trust) {
  const certificate = await verifyMerchantCertificate(view.certificate, trust.root);
  const { bill, order } = await verifyOrderOfAnyWatch(view, book, certificate);
  const requote = view.requote ? await verifyRequote(view.requote, certificate, bill) : null;
  const decision = view.decision ? await verifyDecision(view.decision, book, order, bill, requote, certificate) : null;
  const first = await verifyStanding(view, decision, book, order, bill, requote, certificate);
  const cancel = view.cancel ? await verifyCancel(view.cancel, book, order) : null;
  const payment = view.payment ? await verifyEitherPayment(view.payment, book, order, { decision, bill, certificate }) : null;
  const outcome = view.outcome ? await verifyEnd(view, trust, order, bill, { book, certificate, decision, cancel, payment }) : null;
  const result = view.result ? await verifyResult(view.result, book, order, outcome ?? fail("other-outcome")) : null;
  need(order.payload.order === view.order_id, "other-order", "not the order asked for");
  const ruled = outcome?.payload.mandate ?? payment?.payload.mandate;
  const mandate = ruled ? book.mandates.find((one) => one.entry === ruled) : null;
  return { certificate, bill, requote, order, decision, first, mandate, cancel, payment, outcome, result };
}

/** The first nod of two: the one that the decision names, or that waits for another one, or that was there before a refusal. */
async function verifyStanding(view, decision, book, order, bill, requote, certificate) {
  if (decision?.terms) return verifyFirstNod(decision, view.first, book, order, bill, requote, certificate);
  if (!view.first) return null;
  const first = await verifyDecision(view.first, book, order, bill, requote, certificate);
  need(first.terms && first.payload.first === undefined, "bad-first-nod");
  return first;
}

/** Over the decision, or where there is none, over a rule. */
async function verifyEitherPayment(wire, book, order, { decision, bill, certificate }) {
  return decision ? verifyPayment(wire, book, order, decision) : verifyMandatePayment(wire, book, order, bill, certificate);
}

/** The outcome names what this page holds, and follows from it. */
async function verifyEnd(view, trust, order, bill, { book, certificate: shop, decision, cancel, payment }) {
  const certificate = await verifyOutcomeCertificate(view.outcome_certificate, trust.root);
  const outcome = await verifyOutcome(view.outcome, certificate, order);
  const said = outcome.payload;
  need(said.decision === decision?.digest, "other-decision");
  need(said.cancel === cancel?.digest, "bad-outcome", "another cancellation");
  need(said.payment === payment?.digest, "other-payment");
  need(said.at >= certificate.payload.not_before && said.at < certificate.payload.not_after, "certificate-not-valid");
  if (said.mandate !== undefined) verifyMandate(said.mandate, said.rule ? "refuse" : "approve", said.rule, book, order, bill, shop);
  need(!payment || payment.payload.mandate === said.mandate, "other-payment");
  const ruled = said.mandate !== undefined;
  const undecided = decision === null && !ruled;
  const approved = Boolean(decision?.terms) || (ruled && said.rule === undefined);
  const follows = {
    paid: approved && payment !== null && sameAmount(payment.payload.total, said.total),
    refused: !undecided && !approved,
    failed: undecided || approved,
    expired: undecided || approved,
    cancelled: undecided || approved,
  };
  need(follows[said.outcome], "bad-outcome");
  // Undecided, it is what was asked at first: a requote nobody decided on changes nothing.
  const expected = decision?.payload.total ?? { minor: bill.payload.total, currency: bill.payload.currency };
  need(sameAmount(said.total, expected), "wrong-total");
  return outcome;
}

// ---- pairing ----------------------------------------------------------------------------------------------------------------

/** What the household log holds instead of a wearer's name. */
export const nameDigest = (salt, name) => labelled("nodpay/wearer-name/1", fromBase64Url(salt), utf8(name));

/**
 * Checks a watch's claim against this page's own secret: signed by the key it names, and made by who saw the code.
 */
export async function verifyPairingClaim(wire, key, { pairing, household, secret }) {
  const claim = await openJws("pairing-claim", wire, key);
  const said = claim.payload;
  need(said.key === key, "bad-signature");
  need(said.pairing === pairing && said.household === household, "other-household");
  const hmac = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const message = ["pairing", "household", "watch", "key"].map((name) => fromBase64Url(said[name]));
  const bytes = new Uint8Array([...utf8("nodpay/pairing-proof/1"), 0, ...message.flatMap((part) => [...part])]);
  const proved = await crypto.subtle.verify("HMAC", hmac, fromBase64Url(said.proof), bytes);
  need(proved, "bad-pairing-proof");
  return claim;
}

/** Checks a newcomer's claim against this page's own secret: signed by the passkey it names, made by who saw the link. */
export async function verifyGuardianClaim(wire, rp, { pairing, household, secret }) {
  const assertion = parseAssertion(wire);
  const said = readPayload("guardian-claim", assertion.payload);
  await verifyAssertion(assertion, "guardian-claim", said.guardian, rp);
  need(said.pairing === pairing && said.household === household, "other-household");
  const hmac = await hmacKey(secret, "verify");
  need(await crypto.subtle.verify("HMAC", hmac, fromBase64Url(said.proof), guardianProofBytes(said)), "bad-pairing-proof");
  return { payload: said, wire, digest: await messageDigest("guardian-claim", wire) };
}

/** The newcomer's proof to have seen the link. */
export async function proveGuardian(secret, claim) {
  const proof = await crypto.subtle.sign("HMAC", await hmacKey(secret, "sign"), guardianProofBytes(claim));
  return toBase64Url(new Uint8Array(proof));
}

const hmacKey = (secret, use) => crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, [use]);

const guardianProofBytes = ({ pairing, household, guardian }) => {
  const parts = [pairing, household, guardian.guardian, guardian.key, guardian.credential].map(fromBase64Url);
  return new Uint8Array([...utf8("nodpay/guardian-proof/1"), 0, ...parts.flatMap((part) => [...part])]);
};

/** Six digits that both sides show while pairing. */
export async function checkDigits(claimDigest) {
  const digest = fromBase64Url(await labelled("nodpay/pairing-check/1", fromBase64Url(claimDigest)));
  const number = new DataView(digest.buffer).getUint32(0) % 1_000_000;
  const digits = String(number).padStart(6, "0");
  return `${digits.slice(0, 3)} ${digits.slice(3)}`;
}

/** A login assertion over the service's challenge, checked before it is sent. */
export const loginChallenge = (challenge) => assertionChallenge("login", fromBase64Url(challenge));
