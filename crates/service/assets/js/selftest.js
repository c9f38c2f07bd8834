// Checks this page's own verification against docs/vectors.json, in the browser that will use it. Served only where tests
// run; no page imports it.

import {
  assertionChallenge, fromBase64Url, isLowS, lowS, makeKeyPair, publicKeyOf, signFixed, toBase64Url, toDer, fromDer, utf8, randomId,
} from "./bytes.js";
import { VerifyError, openJws, signJws, textProblem, verifyAssertion, parseAssertion, readEntry, readPayload } from "./messages.js";
import {
  LogBook, billTerms, checkBill, checkDigits, checkRequote, nameDigest, paymentId, verifyBill, verifyCancel, verifyDecision, verifyFirstNod, verifyMerchantCertificate,
  verifyGuardianClaim, verifyOrder, verifyOrderOfAnyWatch, verifyOrderView, verifyOutcome, verifyOutcomeCertificate, verifyPairingClaim,
    verifyMandate, verifyMandatePayment, verifyPayment, verifyPinReport, verifyRequote, verifyResult, verifyStaticBill,
} from "./verify.js";
import { CURRENCIES, readCode } from "./code.js";
import { basketLines, priced, requoted } from "./basket.js";
import { kindOf } from "./goods.js";
import { encodeQr } from "./qr.js";
import { isLooser } from "./mandates.js";
import { newRecoveryCode, readRecoveryCode, recoveryKey } from "./recovery-code.js";
import { exponentOf } from "./texts.js";

const PAYLOAD_ONLY = 200;

/** What the first word that fits takes a name for. */
const GOODS = {
  可乐: "drink", "牛奶 Milk 250 ml": "drink", 大白兔奶糖: "sweet", 水果: "fruit", 水彩颜料: "pencil", 书包: "other", 漫画书: "book",
  "全麦面包 Wholemeal bread": "food", steak: "other", Strawberries: "fruit", "Bus ticket": "journey",
};

/** Gives `[{name, ok, detail}]`, one a check; nothing is thrown. */
export async function runVectors(vectors) {
  const results = [];
  const check = async (name, run) => {
    try {
      const wrong = await run();
      results.push({ name, ok: !wrong, detail: wrong || "" });
    } catch (error) {
      results.push({ name, ok: false, detail: String(error) });
    }
  };
  const { messages, trust, derived } = vectors;
  const wire = (name) => messages[name].wire;
  const rp = { rp_id: trust.rp_id, origins: trust.origins, demo_keys: false };
  const same = (name, got) => (got === messages[name].digest ? "" : `digest ${got}`);

  const held = {};
  const message = (name, verify) =>
    check(name, async () => {
      held[name] = await verify();
      return same(name, held[name].digest);
    });

  await check("log", async () => {
    held.book = await LogBook.found(messages.log[0], trust.founding, rp);
    for (const entry of messages.log.slice(1)) await held.book.append(entry);
    if (held.book.household !== trust.household) return "another household";
    const name = await nameDigest(trust.wearer_name.salt, trust.wearer_name.name);
    if (held.book.watchEver(trust.watch)?.wearer_name !== name) return "another wearer name";
    return held.book.head === trust.log_head ? "" : "another head";
  });
  await message("merchant-certificate", () => verifyMerchantCertificate(wire("merchant-certificate"), trust.root));
  await message("outcome-certificate", () => verifyOutcomeCertificate(wire("outcome-certificate"), trust.root));
  const certificate = held["merchant-certificate"];
  await message("bill", () => verifyBill(wire("bill"), certificate));
  await message("requotable-bill", () => verifyBill(wire("requotable-bill"), certificate));
  await message("requote", () => verifyRequote(wire("requote"), certificate, held["requotable-bill"]));
  const anyWatch = (bill, order) => verifyOrderOfAnyWatch({ bill: wire(bill), order: wire(order) }, held.book, certificate);
  await message("order", async () => (await anyWatch("bill", "order")).order);
  await message("static-bill", () => verifyStaticBill(wire("static-bill"), certificate, trust.watch_key));
  await message("static-order", async () => (await anyWatch("static-bill", "static-order")).order);
  await check("printed codes", () => {
    for (const { text, ...said } of vectors.codes) {
      const { shop: _, ...read } = readCode(text);
      if (Object.keys(said).some((name) => said[name] !== read[name])) return `${text}: ${JSON.stringify(read)}`;
    }
    return vectors.currencies === CURRENCIES ? "" : "another list of currencies";
  });
  await check("decimal places of money", () =>
    CURRENCIES.split(" ").filter((item) => exponentOf(item.slice(3, 6)) !== Number(item[6])).join(", "));
  await message("requoted-order", () => verifyOrder(wire("requoted-order"), held.book, trust.watch, held["requotable-bill"]));
  await message("decision", () => verifyDecision(wire("decision"), held.book, held.order, held.bill, null, certificate));
  await message("shown-decision", () => verifyDecision(wire("shown-decision"), held.book, held.order, held.bill, null, certificate));
  await message("refusal", () => verifyDecision(wire("refusal"), held.book, held.order, held.bill, null, certificate));
  await message("suggesting-order", async () => (await anyWatch("bill", "suggesting-order")).order);
  await message("suggestion", () => verifyDecision(wire("suggestion"), held.book, held["suggesting-order"], held.bill, null, certificate));
  await message("again-order", async () => (await anyWatch("bill", "again-order")).order);
  await message("again-decision", () => verifyDecision(wire("again-decision"), held.book, held["again-order"], held.bill, null, certificate));
  await message("requoted-decision", () =>
    verifyDecision(wire("requoted-decision"), held.book, held["requoted-order"], held["requotable-bill"], held.requote, certificate));
  await message("payment", () => verifyPayment(wire("payment"), held.book, held.order, held.decision));
  await message("cancel", () => verifyCancel(wire("cancel"), held.book, held.order));
  await message("outcome", () => verifyOutcome(wire("outcome"), held["outcome-certificate"], held.order));
  await message("result", () => verifyResult(wire("result"), held.book, held.order, held.outcome));
  await message("pairing-claim", () =>
    verifyPairingClaim(wire("pairing-claim"), trust.watch_key, {
      pairing: claimedPairing(wire("pairing-claim")), household: trust.household, secret: fromBase64Url(trust.pairing_secret),
    }));
  await message("pin-report", () => verifyPinReport(wire("pin-report"), held.book, trust.watch));
  await check("later log", async () => {
    held.later = await LogBook.found(messages.log[0], trust.founding, rp);
    for (const entry of [...messages.log.slice(1), ...messages["later-log"]]) await held.later.append(entry);
    return refused(verifyOrder(wire("session-order"), held.book, trust.watch, held.bill), "unknown-log-head");
  });
  const guardianLog = [...messages.log, ...messages["guardians-log"]];
  const folded = async () => {
    const book = await LogBook.found(guardianLog[0], trust.founding, rp);
    for (const entry of guardianLog.slice(1)) await book.append(entry);
    return book;
  };
  await check("guardians' log", async () => {
    const book = await folded();
    const kinds = new Set(book.entries.map(({ entry }) => entry.kind));
    const missing = ["add-guardian", "propose", "second", "withdraw", "remove-guardian", "object", "recover", "erase"].filter((kind) => !kinds.has(kind));
    return missing.join(", ");
  });
  await check("a rule that was proposed", async () => {
    const { entries, heads, mandates: [rule, ...others] } = await folded();
    if (!rule || others.length > 0) return "another number of rules";
    return entries[rule.seq].entry.kind === "second" && heads[rule.seq] === rule.entry ? "" : "of another entry";
  });
  await message("guardian-claim", () =>
    verifyGuardianClaim(wire("guardian-claim"), rp, {
      pairing: claimedPairing(wire("pairing-claim")), household: trust.household, secret: fromBase64Url(trust.pairing_secret),
    }));
  for (const forgery of vectors["guardian-forgeries"]) {
    await check(`forged entry: ${forgery.why}`, async () => refused((await folded()).append(forgery.wire), forgery.code));
  }
  await check("recovery code", async () => {
    const { key } = await recoveryKey(await readRecoveryCode(derived.recovery_code.toLowerCase().replaceAll("-", " ")));
    if (key !== derived.recovery_key) return key;
    const mine = await newRecoveryCode();
    const { key: own, privateKey } = await recoveryKey(await readRecoveryCode(mine));
    await openJws("request-proof", (await signJws("request-proof", { v: 1, htm: "GET", htu: "/", iat: 1, jti: randomId() }, privateKey)).wire, own);
    const bent = (mine[0] === "A" ? "B" : "A") + mine.slice(1);
    return (await readRecoveryCode(bent)) === null ? "" : "a mistyped code was read";
  });
  await message("session-order", () => verifyOrder(wire("session-order"), held.later, trust.watch, held.bill));
  await check("mandate log", async () => {
    held.ruled = await LogBook.found(messages.log[0], trust.founding, rp);
    for (const entry of [...messages.log.slice(1), ...messages["later-log"], ...messages["mandate-log"]]) await held.ruled.append(entry);
    return held.ruled.mandates.length === 1 ? "" : "another number of rules";
  });
  const ruleOf = (said) => (said ? readEntry({ "set-mandate": JSON.parse(said) }).content : undefined);
  for (const { why, before, now, looser } of vectors["looser-rules"]) {
    await check(`looser rule: ${why}`, () => (isLooser(ruleOf(now), ruleOf(before)) === looser ? "" : `is it? ${!looser}`));
  }
  await message("mandate-order", () => verifyOrder(wire("mandate-order"), held.ruled, trust.watch, held.bill));
  await message("mandate-refused-order", () => verifyOrder(wire("mandate-refused-order"), held.ruled, trust.watch, held.bill));
  const underRule = (wire, order) => verifyMandatePayment(wire, held.ruled, order, held.bill, certificate);
  const byRule = async (wire, order) => {
    const outcome = await verifyOutcome(wire, held["outcome-certificate"], order);
    const { mandate, rule } = outcome.payload;
    verifyMandate(mandate, rule ? "refuse" : "approve", rule, held.ruled, order, held.bill, certificate);
    return outcome;
  };
  await message("mandate-payment", () => underRule(wire("mandate-payment"), held["mandate-order"]));
  await message("mandate-outcome", () => byRule(wire("mandate-outcome"), held["mandate-order"]));
  await message("mandate-refusal", () => byRule(wire("mandate-refusal"), held["mandate-refused-order"]));
  await check("nods log", async () => {
    held.nods = await LogBook.found(messages.log[0], trust.founding, rp);
    for (const entry of [...messages.log.slice(1), ...messages["nods-log"]]) await held.nods.append(entry);
    return held.nods.houseRules().two_nods_above?.minor > 0 ? "" : "no rules of deciding";
  });
  await message("nods-order", () => verifyOrder(wire("nods-order"), held.nods, trust.watch, held.bill));
  const nod = (forged) => verifyDecision(forged, held.nods, held["nods-order"], held.bill, null, certificate);
  const seconded = async (forged) => {
    const decision = await nod(forged);
    await verifyFirstNod(decision, wire("first-nod"), held.nods, held["nods-order"], held.bill, null, certificate);
    return decision;
  };
  await message("first-nod", () => nod(wire("first-nod")));
  await message("second-nod", () => seconded(wire("second-nod")));
  await check("a first nod that is missing", async () =>
    refused(verifyFirstNod(held["second-nod"], undefined, held.nods, held["nods-order"], held.bill, null, certificate), "bad-first-nod"));
  const paidByTwo = async (forged, { decision } = {}) =>
    verifyPayment(forged, held.nods, held["nods-order"], decision ? await nod(decision) : held["second-nod"]);
  await message("nods-payment", () => paidByTwo(wire("nods-payment")));
  await message("nods-outcome", () => verifyOutcome(wire("nods-outcome"), held["outcome-certificate"], held["nods-order"]));
  await check("request-proof", async () => {
    await openJws("request-proof", wire("request-proof"), trust.watch_key);
  });

  await check("payment id", async () => {
    const id = await paymentId(held.order.digest, held.decision.digest);
    return id === derived.payment_id ? "" : id;
  });
  await check("check digits", async () => {
    const digits = await checkDigits(held["pairing-claim"].digest);
    return digits === derived.check_digits ? "" : digits;
  });
  for (const kind of ["login", "decision"]) {
    await check(`${kind} challenge`, async () => {
      const challenge = await assertionChallenge(kind, new Uint8Array());
      return challenge === derived[`${kind}_challenge_of_empty`] ? "" : challenge;
    });
  }

  const openers = {
    bill: (forged) => verifyBill(forged, certificate),
    requote: (forged) => verifyRequote(forged, certificate, held["requotable-bill"]),
    "static-bill": (forged) => verifyStaticBill(forged, certificate, trust.watch_key),
    order: (forged) => verifyOrder(forged, held.book, trust.watch, held.bill),
    "session-order": (forged) => verifyOrder(forged, held.later, trust.watch, held.bill),
    "pin-report": (forged) => verifyPinReport(forged, held.book, trust.watch),
    decision: (forged) => verifyDecision(forged, held.book, held.order, held.bill, null, certificate),
    suggestion: (forged) => verifyDecision(forged, held.book, held["suggesting-order"], held.bill, null, certificate),
    "again-order": async (forged) => verifyOrder(forged, held.book, trust.watch, held.bill),
    "again-decision": (forged) => verifyDecision(forged, held.book, held["again-order"], held.bill, null, certificate),
    "mandate-payment": async (forged, { order } = {}) =>
      underRule(forged, order ? await verifyOrder(order, held.ruled, trust.watch, held.bill) : held["mandate-order"]),
    "mandate-refusal": (forged) => byRule(forged, held["mandate-refused-order"]),
    "nods-payment": paidByTwo,
    "first-nod": nod,
    "second-nod": seconded,
    payment: (forged) => verifyPayment(forged, held.book, held.order, held.decision),
    cancel: (forged) => verifyCancel(forged, held.book, held.order),
    outcome: (forged) => verifyOutcome(forged, held["outcome-certificate"], held.order),
    result: (forged) => verifyResult(forged, held.book, held.order, held.outcome),
    "requoted-decision": (forged) =>
      verifyDecision(forged, held.book, held["requoted-order"], held["requotable-bill"], held.requote, certificate),
  };
  const entryAfter = (...earlier) => async (forged) => {
    const book = await LogBook.found(messages.log[0], trust.founding, rp);
    for (const entry of [...messages.log.slice(1), ...earlier, forged]) await book.append(entry);
  };
  const entries = { "nods-entry": entryAfter(...messages["nods-log"]), "new-entry": entryAfter() };
  for (const forgery of vectors.forgeries) {
    const open = entries[forgery.as] ?? openers[forgery.as];
    await check(`forged ${forgery.as}: ${forgery.why}`, () => refused(open(forgery.wire, forgery), forgery.code));
  }
  await check("a decision over the bill is stale once it was requoted", () =>
    refused(
      verifyDecision(wire("requoted-decision"), held.book, held["requoted-order"], held["requotable-bill"], null, certificate),
      "other-bill"));
  for (const [name, open] of Object.entries(openers)) await check(`changed ${name}`, () => everyChange(wire(name), open));

  await check("one whole order", async () => {
    const view = { order_id: held.order.payload.order, certificate: wire("merchant-certificate") };
    for (const name of ["bill", "order", "decision", "payment", "outcome", "result"]) view[name] = wire(name);
    view.outcome_certificate = wire("outcome-certificate");
    await verifyOrderView(view, held.book, trust);
    const ruled = { order_id: held["mandate-order"].payload.order, certificate: view.certificate, bill: view.bill, outcome_certificate: view.outcome_certificate };
    for (const name of ["order", "payment", "outcome"]) ruled[name] = wire(`mandate-${name}`);
    const { mandate } = await verifyOrderView(ruled, held.ruled, trust);
    if (mandate?.mandate.version !== 1) return "paid under another rule";
    const nodded = { ...ruled, order_id: held["nods-order"].payload.order, decision: wire("second-nod"), first: wire("first-nod") };
    for (const name of ["order", "payment", "outcome"]) nodded[name] = wire(`nods-${name}`);
    const { first } = await verifyOrderView(nodded, held.nods, trust);
    if (first?.digest !== messages["first-nod"].digest) return "without the first nod";
    const { decision: _, payment: __, outcome: ___, ...waiting } = nodded;
    if (!(await verifyOrderView(waiting, held.nods, trust)).first) return "a first nod that waits is not shown";
    const { payment, ...without } = view;
    return refused(verifyOrderView(without, held.book, trust), "other-payment");
  });
  await check("own signatures", ownSignatures);
  await check("texts", texts);
  await check("baskets", baskets);
  await check("pictures of goods", () => Object.entries(GOODS).filter(([name, kind]) => kindOf(name) !== kind).join(" · "));
  await check("QR", () => (encodeQr("nodpay", "M").length === 21 && encodeQr("x".repeat(858), "L").length === 97 ? "" : "size"));
  return results;
}

function claimedPairing(wire) {
  return readPayload("pairing-claim", fromBase64Url(wire.split(".")[1])).pairing;
}

async function refused(promise, code) {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof VerifyError)) throw error;
    return error.code === code ? "" : `refused as ${error.code}, not ${code}`;
  }
  return "taken";
}

/** Another character at places all over the message: never taken, never another error than ours. */
async function everyChange(wire, open) {
  const step = Math.max(1, Math.floor(wire.length / PAYLOAD_ONLY));
  for (let at = 0; at < wire.length; at += step) {
    const changed = wire.slice(0, at) + (wire[at] === "A" ? "B" : "A") + wire.slice(at + 1);
    try {
      await open(changed);
      return `taken with another character ${at}`;
    } catch (error) {
      if (!(error instanceof VerifyError)) return `character ${at}: ${error}`;
    }
  }
  return "";
}

async function ownSignatures() {
  const pair = await makeKeyPair();
  const key = await publicKeyOf(pair);
  const rp = { rp_id: "localhost", origins: ["https://localhost"], demo_keys: false };
  for (let round = 0; round < 20; round += 1) {
    const signed = await signJws("request-proof", { v: 1, htm: "GET", htu: "/", iat: round, jti: randomId() }, pair.privateKey);
    await openJws("request-proof", signed.wire, key);
    const raw = await signFixed(pair.privateKey, utf8("nod"));
    if (!isLowS(lowS(raw))) return "not low";
    if (toBase64Url(fromDer(toDer(raw))) !== toBase64Url(raw)) return "DER does not come back";
  }
  const demo = await demoAssertion(pair, rp);
  const guardian = { credential: demo.credential, key, backup_eligible: false };
  const outside = await refused(verifyAssertion(demo, "login", guardian, rp), "demo-key-refused");
  await verifyAssertion(demo, "login", guardian, { ...rp, demo_keys: true });
  return outside;
}

async function demoAssertion(pair, rp) {
  const payload = utf8("challenge");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(rp.rp_id)));
  const authenticatorData = new Uint8Array([...digest, 5, 0, 0, 0, 0]);
  const challenge = await assertionChallenge("login", payload);
  const clientData = utf8(JSON.stringify({ type: "nodpay.demo", challenge, origin: rp.origins[0] }));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", clientData));
  const signature = toDer(await signFixed(pair.privateKey, new Uint8Array([...authenticatorData, ...hash])));
  const parts = [payload, crypto.getRandomValues(new Uint8Array(20)), authenticatorData, clientData, signature];
  return parseAssertion(parts.map(toBase64Url).join("."));
}

function texts() {
  const taken = ["可乐", "Łódź", "老干妈 辣酱", "Crème brûlée", "Σοκολάτα", "قهوة", "กาแฟ", "🍫", "a+b (2×)"];
  const refusedTexts = [
    ["", "empty"], [" a", "stray-space"], ["a  b", "stray-space"], ["a\nb", "forbidden"], ["a\u202Eb", "forbidden"],
    ["a\u2066b", "forbidden"], ["a\u200Bb", "forbidden"], ["a\u200Db", "forbidden"], ["a\uFEFFb", "forbidden"],
    ["a\u00ADb", "forbidden"], ["a\u3164b", "forbidden"], ["a\u2028b", "forbidden"], ["a\uE000b", "forbidden"],
    ["a\u00A0b", "forbidden"], ["e\u0301", "not-normalised"], ["x\u0323\u0323\u0323\u0323\u0323", "too-many-marks"],
    ["12345678901234567", "too-long"],
  ];
  for (const text of taken) if (textProblem(text, 16)) return `${text}: ${textProblem(text, 16)}`;
  for (const [text, problem] of refusedTexts) if (textProblem(text, 16) !== problem) return JSON.stringify(text);
  return "";
}

/** Whatever a till charges and a guardian strikes: the requote is a bill, and only ever lower. */
function baskets() {
  let seed = 20_181_026;
  const random = (below) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((seed / 0x7fffffff) * below) % below;
  };
  const names = { discount: "discount", tax: "tax" };
  for (let round = 0; round < 2_000; round += 1) {
    const goods = Array.from({ length: 1 + random(6) }, (_, at) => ({ id: `g${at}`, name: `good ${at}`, unit_price: random(1_000) }));
    const basket = new Map(goods.map((good) => [good.id, 1 + random(3)]));
    const settings = random(3) === 0 && goods.length > 1 ? { g0: { partner: "g1" } } : {};
    const rule = {
      discount: [null, { percent: 1 + random(50) }, { minor: 1 + random(300) }][random(3)], tax: [0, 6, 13][random(3)], fresh: random(5) === 0 ? ["g0"] : [],
    };
    const lines = basketLines(goods, basket, settings);
    const bill = {
      bill: "b", revision: 1, merchant: "m", certificate: "c", currency: "CNY", adjustments: [], ...priced(lines, rule, names), issued: 0, valid_until: 1,
    };
    if (bill.total <= 0) continue;
    checkBill(bill);
    const struck = lines.filter(() => random(3) === 0).map((line) => line.id);
    const answer = requoted(bill, rule, names, struck);
    if (answer.refused) continue;
    const next = { ...bill, adjustments: [], ...answer.bill, revision: 2, replaces: "d" };
    checkBill(next);
    checkRequote(bill, "d", next);
    if (billTerms(bill, struck, next).total.minor !== next.total) return `round ${round}`;
    if (bill.reduction === "lines-sum" && billTerms(bill, struck, null).total.minor !== next.total) return `round ${round}: sum`;
  }
  return "";
}
