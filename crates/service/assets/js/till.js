// /till: the shop. Makes its own signing key on the first visit (#INVITATION), builds a basket, signs the bill, shows the
// code, follows the bill, and answers strikes by signing the reduced bill or saying why not.
//
// The key never leaves the browser. Bills of this till are remembered here, so that it can answer for them after a reload.

import { get, post, postMessage, put, serviceNow } from "./api.js";
import { basketLines, priced, requoted, shortened, MAX_LINES } from "./basket.js";
import { fromBase64Url, makeKeyPair, publicKeyOf, randomId, toBase64Url } from "./bytes.js";
import { announce, focusHeading, h, patch } from "./dom.js";
import { follow } from "./events.js";
import { busyButton, icon, inDemo, logo, notice, offlineBar, timeBar, topBar } from "./frame.js";
import { getKey, putKey } from "./keys.js";
import { VerifyError, openJws, signJws, textProblem, typedText } from "./messages.js";
import { codeBox, qrCanvas } from "./qr.js";
import { decimal, fromDecimal, money, number, onLanguage, problemText, startTexts, t, timeLeft } from "./texts.js";
import { checkBill } from "./verify.js";

const KEY = "till";
const BILLS = "nodpay.till.bills";
const SETTINGS = "nodpay.till.goods";
const MAX_BILLS = 40;
const MAX_PRINTED = 8;
/** How often an answer is asked for again because events overtook it. */
const MAX_TRIES = 3;
const BILL_LIFE_MS = 15 * 60 * 1000;
const DISCOUNTS = [5, 10, 20, 50];
const TAXES = [6, 9, 13];
const OPEN = ["open", "scanned", "waiting", "changed", "approved"];
/** A bill in one of these can be ordered again. */
const SHOWN_CODE = ["open", "scanned"];

const state = {
  phase: "starting",
  shop: null,
  pair: null,
  basket: new Map(),
  discount: "",
  tax: 0,
  /** The bill on the screen: {id, message, code, status, total, struck, ends}. */
  bill: null,
  editing: null,
  options: false,
  busy: false,
  problem: null,
  live: null,
  liveLostAt: null,
  askSaid: null,
  /** What was asked or paid by a printed code since this page is open, newest first: {bill, status, total}. */
  printed: [],
};
let root;
let stopFollowing = null;
const answered = new Set();

// ---- start ---------------------------------------------------------------------------------------------------------------------

async function start() {
  root = document.getElementById("page");
  await startTexts("till");
  onLanguage(render);
  setInterval(tick, 1000);
  await enter();
}

function tick() {
  const { bill } = state;
  if (!bill || !OPEN.includes(bill.status)) return;
  if (bill.ends <= performance.now() && !bill.looked) {
    bill.looked = true; // nobody may have told: nothing happened to it
    refreshBill().catch(() => { bill.looked = false; });
  }
  render();
}

async function enter() {
  Object.assign(state, { phase: "starting", problem: null });
  render();
  try {
    const invitation = location.hash.slice(1);
    if (invitation) await enrol(invitation);
    await loadShop();
  } catch (error) {
    Object.assign(state, { phase: error.code === "merchant-key-missing" ? "closed" : "failed", problem: error });
  }
  render();
  if (state.phase === "ready" && !stopFollowing) listen();
}

/** Makes the till's key and proves that it holds it; the operator binds it to the shop by a certificate. */
async function enrol(invitation) {
  const pair = await makeKeyPair();
  const key = await publicKeyOf(pair);
  const proof = { v: 1, htm: "POST", htu: "/api/merchant/enrol", iat: (await get("/api/service")).now, jti: randomId() };
  const { wire } = await signJws("request-proof", proof, pair.privateKey);
  await post("/api/merchant/enrol", { invitation, key, proof: wire });
  await putKey(KEY, pair);
  history.replaceState(null, "", location.pathname + location.search); // the invitation is used up
}

async function loadShop() {
  const shop = await get("/api/merchant");
  const pair = await getKey(KEY);
  Object.assign(state, { shop, pair });
  if (!pair) state.phase = "no-key";
  else if (!shop.certificate) state.phase = "pending";
  else {
    const { root: rootKey } = await get("/api/service");
    state.certificate = await openJws("merchant-certificate", shop.certificate, rootKey);
    state.phase = state.certificate.payload.key === (await publicKeyOf(pair)) ? "ready" : "no-key";
  }
  if (inDemo() && state.phase === "ready" && state.basket.size === 0) {
    for (const good of shop.goods.slice(0, 3)) state.basket.set(good.id, 1);
  }
}

function listen() {
  stopFollowing = follow("/api/merchant/events", ["bill", "requote"], {
    onEvent(kind, data) {
      if (kind === "bill") billTold(data);
      else answerAsk(data);
    },
    async onOpen() {
      if (state.bill) await refreshBill().catch(() => {});
    },
    onState(live) {
      if (live === "live") state.liveLostAt = null;
      else state.liveLostAt ??= Date.now();
      state.live = live;
      render();
    },
  });
}

// ---- bills --------------------------------------------------------------------------------------------------------------------------

const ownBills = () => JSON.parse(localStorage.getItem(BILLS) ?? "[]");
const remember = (bill) => localStorage.setItem(BILLS, JSON.stringify([bill, ...ownBills()].slice(0, MAX_BILLS)));
const settings = () => JSON.parse(localStorage.getItem(SETTINGS) ?? "{}");

function ruleNow() {
  const own = settings();
  const fixed = state.discount.startsWith("=") ? fromDecimal(state.discount.slice(1), state.shop.currency) : null;
  const percent = Number(state.discount) || 0;
  return {
    discount: fixed ? { minor: fixed } : percent ? { percent } : null,
    tax: state.tax,
    fresh: Object.keys(own).filter((id) => own[id].fresh),
  };
}

const namesFor = (rule) => ({
  discount: rule.discount?.percent ? t("till.discount-name", { percent: number(rule.discount.percent) }) : t("till.discount-plain"),
  tax: t("till.tax-name", { percent: number(rule.tax) }),
});

function draftBill() {
  const lines = basketLines(state.shop.goods, state.basket, settings());
  const rule = ruleNow();
  if (lines.length === 0) return null;
  return { rule, names: namesFor(rule), ...priced(lines, rule, namesFor(rule)) };
}

async function charge() {
  if (state.busy) return;
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    const { rule, names, lines, adjustments, total, reduction } = draftBill();
    const issued = serviceNow();
    const bill = {
      v: 1, bill: randomId(), revision: 1, merchant: state.shop.merchant, certificate: state.certificate.digest, currency: state.shop.currency,
      lines, ...(adjustments && { adjustments }), total, reduction, issued, valid_until: issued + BILL_LIFE_MS, nonce: randomId(),
    };
    checkBill({ adjustments: [], ...bill });
    const signed = await signJws("bill", bill, state.pair.privateKey);
    const made = await postMessage("/api/merchant/bills", signed.wire);
    checkCode(made.code, bill.bill, signed.digest);
    remember({ bill, digest: signed.digest, rule, names });
    state.bill = { id: bill.bill, bill, code: made.code, status: "open", total: bill.total, struck: [], refunded: 0, told: 0, ends: performance.now() + made.expires_in_ms };
    announce(t("till.show", { total: money({ minor: total, currency: bill.currency }) }));
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
  if (state.bill) focusHeading();
}

/** The code must name this very bill: its id and the first 128 bits of its digest. */
function checkCode(code, id, digest) {
  const prefix = toBase64Url(fromBase64Url(digest).subarray(0, 16));
  if (!code.includes(id) || !code.includes(prefix)) throw new VerifyError("other-bill");
}

async function refreshBill() {
  const { id } = state.bill;
  billChanged({ bill: id, ...(await newest(`/api/merchant/bills/${id}`)) });
}

/** An answer that no event about the bill overtook: one that set out before the event may say what was before it. */
async function newest(path) {
  const { bill } = state;
  for (let tries = 1; ; tries += 1) {
    const { told } = bill;
    const answer = await get(path);
    if (bill.told === told || tries === MAX_TRIES) return answer;
  }
}

function billTold(said) {
  if (state.bill?.id === said.bill) state.bill.told += 1;
  billChanged(said);
}

function billChanged({ bill, status, total, struck, refunded, printed_code: printed }) {
  if (printed) {
    const others = state.printed.filter((known) => known.bill !== bill);
    state.printed = [{ bill, status, total }, ...others].slice(0, MAX_PRINTED);
    if (status === "paid") announce(t("till.printed-paid", { total: money(total) }));
    render();
  }
  if (!state.bill || state.bill.id !== bill) return;
  const before = state.bill.status;
  Object.assign(state.bill, { status, struck: struck ?? [], total: typeof total === "object" ? total.minor : (total ?? state.bill.total) });
  state.bill.refunded = refunded?.minor ?? 0;
  if (state.bill.refunds?.some(({ state: is }) => is === "asked")) refreshRefunds(bill).catch(() => {});
  if (status !== before) announce(t(`till.status.${status}`));
  render();
}

async function cancelBill() {
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    await post(`/api/merchant/bills/${state.bill.id}/cancel`);
    await refreshBill();
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
}

async function refreshRefunds(id) {
  const refunds = await newest(`/api/merchant/bills/${id}/refunds`);
  if (state.bill?.id !== id) return;
  state.bill.refunds = refunds;
  render();
}

/** What can still be given back: a card that has not answered may yet have it. */
function leftOf(bill) {
  const asked = (bill.refunds ?? []).filter(({ state: is }) => is === "asked");
  return asked.reduce((left, { amount }) => left - amount.minor, bill.total - bill.refunded);
}

/** Gives back what was typed, or all that is left. The name of the refund stays until it is taken in: trying again is the same refund. */
async function refund(event) {
  event.preventDefault();
  if (state.busy) return;
  const { bill } = state;
  const { currency } = bill.bill;
  const left = leftOf(bill);
  const minor = bill.giveBack ? fromDecimal(bill.giveBack, currency) : left;
  if (minor === null || minor <= 0 || minor > left) {
    state.problem = { code: minor > left ? "refund-too-large" : "price" };
    render();
    return;
  }
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    if (bill.refund?.minor !== minor) bill.refund = { minor, id: randomId() };
    await post(`/api/merchant/bills/${bill.id}/refunds`, { refund: bill.refund.id, amount: { minor, currency } });
    Object.assign(bill, { refund: null, giveBack: "" });
    await Promise.all([refreshBill(), refreshRefunds(bill.id)]);
    if (bill.refunded > 0) announce(t("till.refunded", { total: money({ minor: bill.refunded, currency }) }));
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
}

function refundCard() {
  const { bill } = state;
  const { currency } = bill.bill;
  const left = leftOf(bill);
  const waiting = (bill.refunds ?? []).filter(({ state: is }) => is !== "done");
  return h("details.card", { testid: "refund" },
    h("summary", { testid: "refund-open" }, bill.refunded > 0 ? t("till.refunded", { total: money({ minor: bill.refunded, currency }) }) : t("till.refund")),
    ...waiting.map(({ refund: id, amount, state: is, decline }) => h("p", { key: id, testid: `refund-${is}`, role: "status" },
      t(`till.refund-${is}`, { total: money(amount) }), decline && ` ${t(`decline.${decline}`)}`)),
    left > 0 && h("form", { onsubmit: refund },
      h("label.field", {}, h("span", {}, t("till.refund-amount", { total: money({ minor: left, currency }) })),
        h("input", { type: "text", inputmode: "decimal", autocomplete: "off", testid: "refund-amount", value: bill.giveBack ?? "",
          oninput: (event) => { bill.giveBack = event.target.value; } })),
      busyButton("button.plain.stop", { type: "submit", testid: "refund-send" }, state.busy, icon("undo"), t("till.refund"))));
}

function nextCustomer(keepBasket) {
  state.bill = null;
  state.problem = null;
  state.askSaid = null;
  if (!keepBasket) {
    state.basket.clear();
    Object.assign(state, { discount: "", tax: 0, options: false });
  }
  render();
  focusHeading();
}

/** A guardian strikes lines: sign the reduced bill, or say why not. */
async function answerAsk({ ask, bill: id, struck, revision }) {
  if (answered.has(ask)) return;
  answered.add(ask);
  const own = ownBills().find((known) => known.bill.bill === id);
  if (!own) return; // another till's bill
  const answer = requoted({ adjustments: [], ...own.bill }, own.rule, own.names, struck);
  try {
    if (answer.refused) {
      const words = shortened(t(answer.refused.key, answer.refused.values));
      await post(`/api/merchant/requotes/${ask}`, { refused: words });
      state.askSaid = words;
    } else {
      const { adjustments: _, ...same } = own.bill;
      const issued = serviceNow();
      const bill = {
        ...same, ...answer.bill, revision, replaces: own.digest, issued, valid_until: Math.max(own.bill.valid_until, issued + 1), nonce: randomId(),
      };
      const { wire } = await signJws("bill", bill, state.pair.privateKey);
      await post(`/api/merchant/requotes/${ask}`, { bill: wire });
      state.askSaid = null;
    }
  } catch (error) {
    if (error.code !== "ask-closed") state.problem = error;
  }
  render();
}

// ---- goods ----------------------------------------------------------------------------------------------------------------------------

function edit(good) {
  const own = good ? settings()[good.id] ?? {} : {};
  state.editing = {
    id: good?.id ?? null, name: good?.name ?? "", price: good ? decimal(good.unit_price, state.shop.currency) : "",
    category: good?.category ?? "", age: good?.min_age ?? "", partner: own.partner ?? "", fresh: own.fresh === true,
  };
  state.problem = null;
  render();
  focusHeading();
}

async function saveGood(event) {
  event.preventDefault();
  const form = state.editing;
  const name = typedText(form.name);
  const category = typedText(form.category);
  const unit_price = fromDecimal(form.price, state.shop.currency);
  const age = form.age === "" ? null : Number(form.age);
  const wrong = textProblem(name, 60) ?? (category && textProblem(category, 30));
  if (wrong) state.problem = { code: `text-${wrong}` };
  else if (unit_price === null) state.problem = { code: "price" };
  else if (age !== null && !(Number.isInteger(age) && age >= 0 && age <= 99)) state.problem = { code: "age" };
  else {
    const good = { id: form.id ?? randomId(9), name, unit_price };
    if (category) good.category = category;
    if (age !== null) good.min_age = age;
    const goods = form.id ? state.shop.goods.map((old) => (old.id === form.id ? good : old)) : [...state.shop.goods, good];
    const own = settings();
    own[good.id] = { ...(form.partner && { partner: form.partner }), ...(form.fresh && { fresh: true }) };
    localStorage.setItem(SETTINGS, JSON.stringify(own));
    await saveGoods(goods);
    return;
  }
  render();
}

async function saveGoods(goods) {
  Object.assign(state, { busy: true, problem: null });
  render();
  try {
    await put("/api/merchant/goods", goods);
    state.shop.goods = goods;
    state.editing = null;
    for (const id of state.basket.keys()) if (!goods.some((good) => good.id === id)) state.basket.delete(id);
    announce(t("till.goods-saved"));
  } catch (error) {
    state.problem = error;
  }
  state.busy = false;
  render();
}

function count(good, change) {
  const next = (state.basket.get(good.id) ?? 0) + change;
  if (next <= 0) state.basket.delete(good.id);
  else if (next <= 9999 && (state.basket.has(good.id) || state.basket.size < MAX_LINES)) state.basket.set(good.id, next);
  announce(t("till.said-count", { name: good.name, count: number(Math.max(0, next)) }));
  render();
}

// ---- pages -----------------------------------------------------------------------------------------------------------------------------

function render() {
  if (!root) return;
  document.title = `${state.shop?.name ?? t("till.title")} · ${t("brand")}`;
  const next = h("div.page", { id: "page", "data-view": state.bill ? "bill" : state.phase },
    topBar({ live: state.phase === "ready" ? state.live ?? "connecting" : null, title: state.shop?.name ?? t("till.title") }),
    state.phase === "ready" && offlineBar(state.live, state.liveLostAt),
    h("main.till", { key: state.bill ? `bill-${state.bill.id}` : state.editing ? "edit" : state.phase }, ...view()));
  root = patch(root, next);
}

function view() {
  const again = h("button.main", { type: "button", testid: "till-retry", onclick: enter }, icon("undo"), t("again"));
  switch (state.phase) {
    case "starting": return [h("div.hero", {}, logo(), h("p.lead", {}, t("loading")))];
    case "closed": return [h("h1", {}, t("till.closed")), notice("bad", t("till.closed-more"))];
    case "no-key": return [h("h1", {}, t("till.no-key")), notice("bad", t("till.no-key-more"))];
    case "pending": return [h("h1", {}, t("till.pending")), notice("wait", t("till.pending-more")), again];
    case "failed": return [h("h1", {}, t("till.failed")), notice("bad", problemText(state.problem)), again];
    default: break;
  }
  if (state.bill) return billPage();
  return state.editing ? editPage() : basketPage();
}

function basketPage() {
  const { currency, goods } = state.shop;
  const draft = draftBill();
  return [
    h("h1.unseen", {}, t("till.basket")),
    h("section.goods", { "aria-label": t("till.goods") },
      goods.length === 0 && h("p.soft", {}, t("till.no-goods")),
      h("ul", {}, ...goods.map((good) => goodTile(good, currency))),
      h("button.plain", { type: "button", testid: "add-good", onclick: () => edit(null) }, icon("plus"), t("till.add-good"))),
    h("section.card.basket", { "aria-label": t("till.basket") },
      h("h2", {}, t("till.basket")),
      draft ? basketList(draft, currency) : h("p.soft", {}, t("till.basket-empty")),
      draft && optionsPanel(),
      state.problem && notice("bad", problemText(state.problem)),
      h("div.charge", {},
        busyButton("button.main", { type: "button", testid: "charge", disabled: !draft || draft.total <= 0, onclick: charge }, state.busy,
          draft ? t("till.charge", { total: money({ minor: draft.total, currency }) }) : t("till.charge-empty")),
        draft && h("button.plain", { type: "button", testid: "clear", onclick: () => nextCustomer(false) }, t("till.clear")))),
    printedCard(),
  ];
}

/** The shop's own printed codes, and what came in by them. */
function printedCard() {
  const own = state.shop.codes.filter((text) => text.includes("org.nodpay"));
  if (own.length === 0 && state.printed.length === 0) return null;
  return h("section.card", { testid: "printed", "aria-label": t("till.printed") },
    state.printed.length > 0 && h("div", {},
      h("h2", {}, t("till.printed")),
      h("ul.rows", {}, ...state.printed.map(({ bill, status, total }) => h("li", { key: bill, testid: `printed-${status}` },
        h("p.name", {}, t(`till.status.${status}`)), h("p.amount", {}, money(total)))))),
    ...own.map((text, at) => h("details", {},
      h("summary", { testid: "printed-code" }, t("till.printed-code")),
      h("p.soft", {}, t("till.printed-more")),
      codeBox(`printed-${at}`, `printed-code-${at}`, () => qrCanvas(text, t("till.printed-code"), "M")))));
}

/** The same colour for a category every time: one of 6 in the style sheet. */
const hue = (good) => [...(good.category ?? good.name)].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % 6;

function goodTile(good, currency) {
  const have = state.basket.get(good.id) ?? 0;
  return h("li", { key: good.id },
    h(`button.ware.hue-${hue(good)}`, { type: "button", testid: `good-${good.id}`, onclick: () => count(good, 1) },
      h("span.letter", { "aria-hidden": "true" }, [...good.name][0]),
      h("span.name", {}, good.name),
      h("span.amount", {}, money({ minor: good.unit_price, currency })),
      good.min_age !== undefined && h("span.age", {}, t("order.min-age", { age: number(good.min_age) })),
      have > 0 && h("span.count", { "aria-label": t("till.in-basket", { count: number(have) }) }, number(have))),
    h("button.edit", { type: "button", testid: `edit-${good.id}`, "aria-label": t("till.edit", { name: good.name }), onclick: () => edit(good) }, icon("pencil")));
}

function basketList(draft, currency) {
  return h("div", {},
    h("ul.rows", {}, ...draft.lines.map((line) => {
      const good = state.shop.goods.find((one) => one.id === line.id);
      return h("li", { key: line.id },
        h("div.what", {}, h("p.name", {}, line.name), line.bundle && h("p.soft", {}, t("order.bundled"))),
        h("div.counter", {},
          h("button.round", { type: "button", "aria-label": t("till.less", { name: line.name }), onclick: () => count(good, -1) }, icon("minus")),
          h("span", {}, number(line.quantity)),
          h("button.round", { type: "button", "aria-label": t("till.more", { name: line.name }), onclick: () => count(good, 1) }, icon("plus"))),
        h("p.amount", {}, money({ minor: line.amount, currency })));
    })),
    draft.adjustments && h("dl.sums", {}, ...draft.adjustments.map((part) =>
      h("div", {}, h("dt", {}, part.name), h("dd.amount", {}, money({ minor: part.amount, currency }))))),
    h("dl.sums.total", {}, h("div", {}, h("dt", {}, t("total")), h("dd.amount", { testid: "basket-total" }, money({ minor: draft.total, currency })))),
    draft.reduction === "requote" && h("p.soft", { testid: "requote-note" }, t("till.requote-note")));
}

function optionsPanel() {
  const select = (label, testid, value, options, onchange) =>
    h("label.field", {}, h("span", {}, label),
      h("select", { value, testid, onchange }, ...options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text))));
  const fixed = decimal(10 ** Math.max(0, decimal(0, state.shop.currency).length - 2), state.shop.currency);
  return h("details.options", { testid: "options", open: state.options || null },
    h("summary", { onclick: () => { state.options = !state.options; } }, t("till.options")),
    h("div.fields", {},
      select(t("till.discount"), "discount", state.discount, [
        ["", t("till.none")],
        ...DISCOUNTS.map((percent) => [String(percent), t("till.discount-name", { percent: number(percent) })]),
        [`=${fixed}`, t("till.discount-fixed", { amount: money({ minor: fromDecimal(fixed, state.shop.currency), currency: state.shop.currency }) })],
      ], (event) => { state.discount = event.target.value; render(); }),
      select(t("till.tax"), "tax", state.tax, [
        [0, t("till.none")], ...TAXES.map((percent) => [percent, t("till.tax-name", { percent: number(percent) })]),
      ], (event) => { state.tax = Number(event.target.value); render(); })));
}

function editPage() {
  const form = state.editing;
  const input = (key, label, props = {}) => h("label.field", {}, h("span", {}, label),
    h("input", { type: "text", value: String(form[key]), testid: `good-${key}`, autocomplete: "off", oninput: (event) => { form[key] = event.target.value; }, ...props }));
  const others = state.shop.goods.filter((good) => good.id !== form.id);
  return [
    h("h1", {}, form.id ? t("till.edit-title") : t("till.add-good")),
    h("form.card", { onsubmit: saveGood },
      input("name", t("till.good-name"), { required: true }),
      input("price", t("till.good-price", { currency: state.shop.currency }), { inputmode: "decimal", required: true }),
      input("category", t("till.good-category")),
      input("age", t("till.good-age"), { inputmode: "numeric" }),
      others.length > 0 && h("label.field", {}, h("span", {}, t("till.good-partner")),
        h("select", { value: form.partner, testid: "good-partner", onchange: (event) => { form.partner = event.target.value; } },
          h("option", { value: "" }, t("till.none")),
          ...others.map((good) => h("option", { value: good.id, selected: good.id === form.partner }, good.name)))),
      h("label.choice", {}, h("input", { type: "checkbox", checked: form.fresh, testid: "good-fresh", onchange: (event) => { form.fresh = event.target.checked; } }), h("span", {}, t("till.good-fresh"))),
      state.problem && notice("bad", problemText(state.problem)),
      h("div.buttons", {},
        h("button.plain", { type: "button", onclick: () => { state.editing = null; state.problem = null; render(); } }, t("cancel")),
        busyButton("button.main", { type: "submit", testid: "save-good" }, state.busy, icon("check"), t("till.save")))),
    form.id && h("button.plain.stop", { type: "button", testid: "remove-good", onclick: () => saveGoods(others) }, icon("trash"), t("till.remove-good")),
  ];
}

function billPage() {
  const { bill, status, struck, total, ends } = state.bill;
  const { currency } = bill;
  const amount = money({ minor: total, currency });
  const taken = bill.lines.filter((line) => struck.includes(line.id));
  const left = ends - performance.now();
  const paid = status === "paid";
  const open = OPEN.includes(status);
  const looks = { paid: "good", refused: "stop", expired: "stop", cancelled: "stop", failed: "stop" };
  const symbols = { open: "camera", scanned: "watch", waiting: "person", changed: "pencil", approved: "clock", paid: "check", expired: "clock", failed: "warning" };
  return [
    h("h1.unseen", {}, t("till.bill")),
    h(`section.card.center.status.${looks[status] ?? "wait"}`, { role: "status", testid: "till-status", "data-status": status },
      !open && h("span.big", {}, icon(symbols[status] ?? "cross", "huge")),
      h("p.amount.huge", { testid: "till-total" }, taken.length > 0 && h("s.soft", {}, money({ minor: bill.total, currency })), " ", amount),
      h("p.lead", {}, open && icon(symbols[status] ?? "clock"), t(`till.status.${status}`)),
      taken.length > 0 && h("div", { testid: "till-struck" }, h("p.soft", {}, t("till.taken-out")),
        h("ul.taken", {}, ...taken.map((line) => h("li", {}, h("s", {}, line.name)))))),
    SHOWN_CODE.includes(status) && h("section.center", {},
      codeBox(state.bill.id, "till-code", () => qrCanvas(state.bill.code, t("till.code-label", { total: amount }), "M"))),
    open && h("div.left", {}, timeBar(left, BILL_LIFE_MS, t("order.time-bar")), h("span.soft", {}, t("order.time-left", { time: timeLeft(left) }))),
    state.askSaid && notice("info", t("till.said-no"), h("p.quote", {}, `“${state.askSaid}”`)),
    state.problem && notice("bad", problemText(state.problem)),
    h("section.card", {},
      h("ul.rows", {}, ...bill.lines.map((line) => {
        const out = struck.includes(line.id);
        const name = line.quantity > 1 ? `${line.name} × ${number(line.quantity)}` : line.name;
        return h("li", { key: line.id }, h("p.name", {}, out ? h("s", {}, name) : name), h("p.amount", {}, out ? h("s", {}, money({ minor: line.amount, currency })) : money({ minor: line.amount, currency })));
      }))),
    paid && refundCard(),
    open
      ? busyButton("button.plain.stop", { type: "button", testid: "cancel-bill", onclick: cancelBill }, state.busy, icon("cross"), t("till.cancel"))
      : h("div.buttons", {},
        !paid && h("button.plain", { type: "button", testid: "same-basket", onclick: () => nextCustomer(true) }, t("till.same-again")),
        h("button.main", { type: "button", testid: "next-customer", onclick: () => nextCustomer(false) }, icon("plus"), t("till.next"))),
  ];
}

start();
