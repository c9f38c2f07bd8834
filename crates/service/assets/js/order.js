// The order page: who asks (and that the PIN was checked) before what is asked; lines to strike; approve or refuse; what
// became of it. Shows nothing of an order that did not verify.
//
// `ctx` is what app.js lends: {state, render, refreshOrder, refreshHome}. What a person is doing on the page (struck lines,
// a reason half typed, a signed message not yet sent) is kept per order in `drafts`, outside the verified state.

import { post, postMessage, serviceNow } from "./api.js";
import { announce, focusHeading, h } from "./dom.js";
import { addNote, askedAgain, newSaying, nodNote, noteField, readyNotes, spendingCard, suggestionForm, suggestionNote, suggestionOf } from "./deciding.js";
import { avatar, busyButton, icon, notice, timeBar } from "./frame.js";
import { goodsIcon } from "./goods.js";
import { MAX_NOTE, VerifyError, textProblem, typedText, utf8 } from "./messages.js";
import { hasNodded, nodsNote, othersNod } from "./nods.js";
import { showsPayments, signShownPayment, signWithPasskey } from "./passkey.js";
import { guardianName } from "./people.js";
import { ruleNote } from "./rule-words.js";
import { storyCard } from "./story.js";
import { day, money, number, problemText, t, timeLeft, when } from "./texts.js";
import { billTerms, MAX_DECISION_AGE_MS, verifyDecision } from "./verify.js";

const ASK_MS = 30_000;
const ASK_DELAY_MS = 700;
const LAST_MINUTE_MS = 60_000;

const drafts = new Map();

function draftOf(id) {
  if (!drafts.has(id)) {
    drafts.set(id, {
      ...newSaying(), struck: null, refusing: false, busy: false, problem: null, signed: null, asking: false, askTimer: 0,
      askProblem: null, mine: false, warned: false,
    });
  }
  return drafts.get(id);
}

// ---- what is asked now ----------------------------------------------------------------------------------------------------

/** Lines that the current bill leaves out: of the requote, none without one. */
function agreedStruck(order) {
  if (!order.requote) return [];
  const kept = new Set(order.requote.payload.lines.map((line) => line.id));
  return order.bill.payload.lines.map((line) => line.id).filter((id) => !kept.has(id));
}

/** The same lines, and those that the wearer does not ask for. */
const withLeftOut = (order, struck) =>
  order.bill.payload.lines.map((line) => line.id).filter((id) => struck.includes(id) || order.order.payload.without.includes(id));

const sameLines = (one, other) => one.length === other.length && one.every((id, at) => id === other[at]);

/**
 * The order as the person sees it now: `struck` (wanted), `terms` (what approving would pay, or null), and for bills that
 * only the shop can reduce, how asking stands: `ask` is null, "due", "asking", "refused" or "silent".
 */
function current(state, entry, draft) {
  const { order, view } = entry;
  const agreed = agreedStruck(order);
  // Whoever nods second nods to the same.
  const other = othersNod(state, order);
  if (other) return { struck: other.payload.struck, agreed, all: false, terms: other.terms, ask: null, seconds: other };
  const asked = view.ask && view.ask.state === "asked" ? view.ask.struck : null;
  const own = hasNodded(state, order) ? order.first.payload.struck : null;
  const struck = withLeftOut(order, draft.struck ?? own ?? asked ?? agreed);
  const all = struck.length === order.bill.payload.lines.length;
  const bySum = order.bill.payload.reduction === "lines-sum";
  let ask = null;
  let terms = null;
  if (!all && (bySum || sameLines(struck, agreed))) {
    try {
      terms = billTerms(order.bill.payload, struck, order.requote?.payload);
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
    }
  } else if (!all) {
    const answered = view.ask && sameLines(view.ask.struck, struck) ? view.ask.state : null;
    ask = { asked: "asking", refused: "refused", "timed-out": "silent" }[answered] ?? (draft.askProblem ? "failed" : "due");
    if (draft.asking) ask = "asking";
  }
  const nodded = own !== null && sameLines(own, struck);
  return { struck, agreed, all, terms, ask, nodded };
}

function toggle(ctx, entry, line) {
  const draft = draftOf(entry.view.order_id);
  const { struck } = current(ctx.state, entry, draft);
  const wanted = new Set(struck);
  if (!wanted.delete(line.id)) wanted.add(line.id);
  setStruck(ctx, entry, entry.order.bill.payload.lines.map((other) => other.id).filter((id) => wanted.has(id)));
  announce(wanted.has(line.id) ? t("order.said-struck", { name: line.name }) : t("order.said-back", { name: line.name }));
}

function setStruck(ctx, entry, struck) {
  const draft = draftOf(entry.view.order_id);
  Object.assign(draft, { struck, problem: null, askProblem: null, signed: null });
  clearTimeout(draft.askTimer);
  if (current(ctx.state, entry, draft).ask === "due") draft.askTimer = setTimeout(() => askShop(ctx, entry.view.order_id), ASK_DELAY_MS);
  ctx.render();
}

/** Asks the shop for the reduced bill; the answer comes as an event, and this page verifies it like everything else. */
async function askShop(ctx, id) {
  const draft = draftOf(id);
  const { struck } = current(ctx.state, ctx.state.orders.get(id), draft);
  Object.assign(draft, { asking: true, askProblem: null });
  ctx.render();
  try {
    await post(`/api/guardian/orders/${id}/strike`, { struck });
    await ctx.refreshOrder(id);
  } catch (error) {
    draft.askProblem = error;
    await ctx.refreshOrder(id).catch(() => {});
  }
  draft.asking = false;
  ctx.render();
}

// ---- deciding ---------------------------------------------------------------------------------------------------------------

async function decide(ctx, entry, verdict) {
  const { state } = ctx;
  const { view, order } = entry;
  const draft = draftOf(view.order_id);
  if (draft.busy) return;
  const { terms, seconds } = current(state, entry, draft);
  const reason = typedText(draft.reason);
  if (reason && textProblem(reason, MAX_NOTE)) {
    draft.problem = { code: `text-${textProblem(reason, MAX_NOTE)}` };
    ctx.render();
    return;
  }
  const suggest = verdict === "refuse" ? suggestionOf(draft, order) : null;
  Object.assign(draft, { busy: true, problem: null });
  ctx.render();
  let decided = false;
  try {
    if (draft.signed?.verdict !== verdict || draft.signed.first !== seconds?.digest) {
      const noted = verdict === "refuse" || terms.struck.length > 0 || draft.noting;
      const wire = await signDecision(state, order, verdict, { terms, reason: noted && reason, suggest, seconds });
      draft.signed = { verdict, wire, first: seconds?.digest };
    }
    await postMessage(`/api/guardian/orders/${view.order_id}/decision`, draft.signed.wire);
    draft.mine = true;
    draft.refusing = false;
    decided = true;
    if (verdict === "refuse") announce(t("order.refused-said"));
  } catch (error) {
    draft.problem = error;
    if (error.status && error.status < 500) draft.signed = null; // answered: sending it again would not help
  }
  await ctx.refreshOrder(view.order_id).catch(() => {}); // without a connection; the next event stream reloads it
  draft.busy = false;
  if (decided && verdict === "approve") announce(t(hasNodded(state, state.orders.get(view.order_id)?.order ?? {}) ? "nods.one-more" : "order.approved-said"));
  ctx.render();
  if (decided) focusHeading(); // the buttons are gone
}

async function signDecision(state, order, verdict, { terms, reason, suggest, seconds }) {
  const { book, guardian } = state.home;
  const now = serviceNow();
  const bill = order.requote ?? order.bill;
  const approve = verdict === "approve";
  const said = {
    v: 1,
    order: order.order.digest,
    bill: bill.digest,
    struck: approve ? terms.struck.map((line) => line.id) : [],
    household: order.order.payload.household,
    watch: order.order.payload.watch,
    wearer: order.order.payload.wearer,
    payee: order.bill.payload.certificate,
    total: approve ? terms.total : { minor: bill.payload.total, currency: bill.payload.currency },
    verdict,
    guardian: guardian.guardian,
    credential: guardian.credential,
    log_head: book.head,
    at: now,
    pay_by: now + MAX_DECISION_AGE_MS,
  };
  if (reason) said.reason = reason;
  if (suggest) said.suggest = suggest;
  if (approve && seconds) said.first = seconds.digest;
  const payload = utf8(JSON.stringify(said));
  const wire = approve && (await showsPayments(guardian))
    ? await signShownPayment(state.service, payload, guardian.credential, { payee: order.certificate.payload.name, total: said.total })
    : await signWithPasskey(state.service, "decision", payload, guardian.credential);
  await verifyDecision(wire, book, order.order, order.bill, order.requote, order.certificate); // as watch and service will
  return wire;
}

// ---- the page -----------------------------------------------------------------------------------------------------------------

/** What to say when an order ended or the watch confirmed it, or null. */
export function endingSaid(entry, kind, names) {
  const outcome = entry?.order?.outcome?.payload;
  if (!outcome) return null;
  if (kind === "result") return t("step.result", { outcome: t(`outcome.${outcome.outcome}`) });
  return t(`ending.${outcome.outcome}`, { total: money(outcome.total), name: names.get(entry.order.order.payload.wearer)?.name ?? "" });
}

/** Elements of the page for one order. */
export function orderPage(ctx, id) {
  const { state } = ctx;
  const entry = state.orders.get(id);
  if (!entry) {
    return state.loadingOrder ? [h("h1", {}, t("order.loading"))] : [h("h1", {}, t("order.gone")), notice("info", t("order.gone-more"))];
  }
  if (entry.error) return unbelievable(ctx, entry);
  const draft = draftOf(id);
  const { order, view } = entry;
  const name = state.home.names.get(order.order.payload.wearer)?.name ?? t("wearer.unknown");
  const waiting = view.state === "waiting";
  const now = current(state, entry, draft);
  if (waiting && now.ask === "due" && draft.struck === null && !draft.askTimer) {
    draft.askTimer = setTimeout(() => askShop(ctx, id), ASK_DELAY_MS); // what the wearer left out, only the shop can price
  }
  return [
    h("h1.unseen", {}, t("order.title", { name })),
    wearerCard(order, name),
    ruleCard(state, entry),
    waiting ? null : ending(ctx, entry, name),
    shopCard(order),
    codeCard(order, name),
    linesCard(ctx, entry, now, waiting),
    waiting && spendingCard(ctx, entry, now.terms, name),
    !waiting && storyCard(state, entry),
    waiting ? actions(ctx, entry, now, name) : files(entry),
  ];
}

/** What a standing rule did, or why it did nothing. */
function ruleCard(state, entry) {
  const note = ruleNote(state, entry);
  return note && h(`p.badge.${note.kind}`, { testid: "rule-note" }, icon(note.kind === "stop" ? "cross" : "list"), note.text);
}

function unbelievable(ctx, entry) {
  return [
    h("h1", {}, t("order.unbelievable")),
    notice("bad", problemText(entry.error), h("p", {}, t("order.unbelievable-more"))),
    h("button.plain", { type: "button", onclick: () => ctx.refreshOrder(entry.view.order_id) }, icon("undo"), t("again")),
    h("p.code", { testid: "verify-error" }, entry.error.code ?? "error"),
  ];
}

/** First of all: who it is, and how the watch made sure (claim 6). */
function wearerCard(order, name) {
  const said = order.order.payload;
  return h("section.card.wearer", { testid: "wearer", "aria-label": t("order.who") },
    avatar(name),
    h("div", {},
      h("p.name", {}, name),
      h("p.badge.good", { testid: "wearer-check" }, icon("check"), t(`order.${said.wearer_check.method}-checked`, { time: when(said.wearer_check.at) })),
      askedAgain(order),
      said.occasion && h("p.quote", { testid: "occasion" }, t(`occasion.${said.occasion}`)),
      said.reason && h("p.quote", {}, h("bdi", {}, `“${said.reason}”`))));
}

function shopCard(order) {
  const shop = order.certificate.payload;
  return h("section.card.shop", { "aria-label": t("order.shop") },
    h("span.tile", {}, icon("shop")),
    h("div", {},
      h("p.name", {}, h("bdi", {}, shop.name)),
      h("div.row", {},
        h("p.badge.good", {}, icon("shield"), t("order.verified")),
        h("p.soft", {}, h("bdi", {}, shop.city), ` · ${regionName(shop.country)}`))));
}

/** A printed code has no bill of the shop's behind it: who chose the amount, and whom the code itself names. */
function codeCard(order, name) {
  const { scanned } = order.bill;
  if (!scanned) return null;
  const shop = order.certificate.payload.name;
  const same = scanned.payee === shop || (scanned.shop !== null && shop.startsWith(scanned.payee)); // ours may be cut short
  const typed = scanned.amount_minor === null;
  return h("section.card", { testid: "printed-code", "aria-label": t("order.printed-code") },
    h("p.badge.wait", { testid: "amount-by" }, icon(typed ? "pencil" : "camera"), typed ? t("order.amount-typed", { name }) : t("order.amount-printed")),
    h("p.soft", {}, typed ? t("order.printed-more") : t("order.printed-fixed")),
    !same && h("p", { testid: "code-payee" }, t("order.code-says"), " ", h("bdi", {}, scanned.payee)));
}

function regionName(code) {
  try {
    return new Intl.DisplayNames(document.documentElement.lang, { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}

function linesCard(ctx, entry, now, waiting) {
  const { order } = entry;
  const bill = order.bill.payload;
  const struck = waiting ? now.struck : (order.decision?.terms ? order.decision.payload.struck : []);
  const shown = order.requote?.payload.lines ?? bill.lines;
  const adjustments = waiting ? (now.terms?.adjustments ?? bill.adjustments) : (order.decision?.terms?.adjustments ?? bill.adjustments);
  const price = (line) => shown.find((other) => other.id === line.id) ?? line;
  return h("section.card.lines", { "aria-label": t("order.lines") },
    h("h2", {}, t("order.lines-count", { count: bill.lines.length })),
    waiting && h("p.soft.hint", {}, now.seconds ? t("nods.same") : t("order.strike-hint")),
    h("ul", {},
      ...bill.lines.map((line) => lineRow(ctx, entry, line, price(line), struck.includes(line.id), waiting, now.seconds))),
    adjustments.length > 0 && !(waiting && now.all) && h("dl.sums", {},
      ...adjustments.map((part) => h("div", {}, h("dt", {}, h("bdi", {}, part.name)),
        h("dd.amount", {}, ...newPrice(bill.adjustments.find(({ kind, name }) => kind === part.kind && name === part.name) ?? part, part, bill.currency))))),
    !waiting && h("dl.sums.total", {}, h("div", {}, h("dt", {}, t("total")), h("dd.amount", { testid: "final-total" }, money(finalTotal(order))))));
}

const finalTotal = (order) =>
  order.outcome?.payload.total ?? order.decision?.payload.total
  ?? { minor: (order.requote ?? order.bill).payload.total, currency: order.bill.payload.currency };

/** An amount, and before it the old one where a requote changed it. */
const newPrice = (before, { amount }, currency) => [
  before.amount !== amount && h("s.soft", {}, money({ minor: before.amount, currency })), " ", money({ minor: amount, currency }),
];

function lineRow(ctx, entry, line, priced, struck, waiting, seconds) {
  const { currency } = entry.order.bill.payload;
  const draft = draftOf(entry.view.order_id);
  const left = entry.order.order.payload.without.includes(line.id);
  const details = [
    line.quantity > 1 && t("order.times", { count: number(line.quantity), price: money({ minor: priced.unit_price, currency }) }),
    line.category,
    line.bundle !== undefined && t("order.bundled"),
  ].filter(Boolean).join(" · ");
  return h(`li.line${struck ? ".struck" : ""}`, { key: line.id, testid: `line-${line.id}` },
    h("span.thing", {}, goodsIcon(line)),
    h("div.what", {},
      h("p.name", {}, struck ? h("s", {}, h("bdi", {}, line.name)) : h("bdi", {}, line.name),
        line.min_age !== undefined && h("span.age", {}, t("order.min-age", { age: number(line.min_age) }))),
      details && h("p.soft", {}, details)),
    h("p.amount", {}, struck ? h("s", {}, money({ minor: line.amount, currency })) : newPrice(line, priced, currency)),
    waiting && !left && !seconds && h(`button.strike${struck ? ".struck" : ""}`, {
      type: "button", testid: `strike-${line.id}`, "data-struck": String(struck), disabled: draft.busy,
      "aria-label": struck ? t("order.put-back", { name: line.name }) : t("order.strike", { name: line.name }),
      onclick: () => toggle(ctx, entry, line),
    }, icon(struck ? "undo" : "minus"), h("span", {}, struck ? t("order.back-short") : t("order.strike-short"))),
    left && h("p.badge.wait", { testid: `left-out-${line.id}` }, t("deciding.left-out")),
    (!waiting || seconds) && struck && !left && h("p.badge.stop", {}, t("order.taken-out")));
}

/** How the shop answers a strike that only it can price; always ends by itself. */
function askState(ctx, entry, now) {
  const { view } = entry;
  const draft = draftOf(view.order_id);
  if (now.ask === null) {
    const lowered = entry.order.requote && now.struck.length > 0 && now.terms;
    return lowered ? h("p.badge.good", { testid: "requoted" }, icon("check"), t("order.requoted", { total: money(now.terms.total) })) : null;
  }
  const putBack = !sameLines(now.struck, withLeftOut(entry.order, now.agreed)) && h("button.plain", { type: "button", testid: "put-back", onclick: () => setStruck(ctx, entry, now.agreed) }, icon("undo"), t("order.put-it-back"));
  const again = h("button.plain", { type: "button", testid: "ask-again", onclick: () => askShop(ctx, view.order_id) }, t("order.ask-again"));
  if (now.ask === "refused") {
    return notice("bad", t("order.shop-says-no"), h("p.quote", { testid: "shop-reason" }, h("bdi", {}, `“${view.ask.reason}”`)), h("div.row", {}, putBack));
  }
  if (now.ask === "silent") return notice("bad", t("order.shop-silent"), h("div.row", {}, again, putBack));
  if (now.ask === "failed") return notice("bad", problemText(draft.askProblem), h("div.row", {}, again, putBack));
  const left = view.ask?.state === "asked" && sameLines(view.ask.struck, now.struck) ? entry.askEnds - performance.now() : ASK_MS;
  return notice("wait", t("order.asking", { seconds: number(Math.max(0, Math.ceil(left / 1000))) }), timeBar(left, ASK_MS, t("order.asking-bar")));
}

function actions(ctx, entry, now, name) {
  const { state } = ctx;
  const { order, view } = entry;
  const draft = draftOf(view.order_id);
  const left = entry.ends - performance.now();
  const { balance } = state.home;
  const rail = view.rail ?? "wallet";
  const enough = rail !== "wallet" || !now.terms || now.terms.total.currency !== balance.currency || now.terms.total.minor <= balance.minor;
  const asked = { minor: order.bill.payload.total, currency: order.bill.payload.currency };
  const lower = now.terms && now.terms.total.minor < asked.minor;
  const note = now.all ? null : nodNote(ctx, draft, now.struck.length > order.order.payload.without.length, name);
  if (left <= 0) return h("div.actions", {}, notice("wait", t("order.time-over")));
  if (left <= LAST_MINUTE_MS && !draft.warned) {
    draft.warned = true;
    announce(t("order.time-left", { time: timeLeft(left) }));
  }
  return h("div.actions", { role: "region", "aria-label": t("order.decide") },
    timeBar(left, Math.max(1, order.order.payload.expires - order.order.payload.created), t("order.time-bar")),
    nodsNote(ctx, entry, now.terms?.total),
    askState(ctx, entry, now),
    h("div.sum", {},
      h("span", {}, t("total")),
      h("span.soft.clock", { testid: "time-left" }, t("order.time-left", { time: timeLeft(left) })),
      lower && h("s.soft", {}, money(asked)),
      h("strong.amount", { testid: "total", "aria-live": "polite" }, now.terms ? money(now.terms.total) : "—")),
    h("div.beside", {},
      now.terms && enough && !now.nodded && h("p.soft", {},
        rail === "wallet"
          ? t("order.balance-after", { balance: money(balance), rest: money({ minor: balance.minor - now.terms.total.minor, currency: balance.currency }) })
          : t(`order.rail-${rail}`)),
      !draft.refusing && !now.all && !now.nodded && !note && addNote(ctx, draft)),
    !enough && notice("bad", t("order.too-little", { balance: money(balance) })),
    draft.problem && notice("bad", problemText(draft.problem)),
    draft.refusing ? refusal(ctx, entry, now, name) : [
      !now.nodded && note,
      now.all && h("p.soft", {}, t("order.all-struck")),
      !now.nodded && noUndo(),
      h("div.buttons", {},
        !now.all && h("button.refuse", {
          type: "button", testid: "refuse", disabled: draft.busy,
          onclick: () => {
            draft.refusing = true;
            ctx.render();
            document.querySelector("[data-testid=reason]")?.focus();
          },
        }, t("order.refuse")),
        now.nodded ? null : now.all
          ? busyButton("button.main.stop", { type: "button", testid: "refuse-all", onclick: () => decide(ctx, entry, "refuse") }, draft.busy, icon("cross"), t("order.refuse"))
          : busyButton("button.main", {
            type: "button", testid: "approve", disabled: !now.terms || !enough, onclick: () => decide(ctx, entry, "approve"),
          }, draft.busy, icon("check"), now.terms ? t("order.approve", { total: money(now.terms.total) }) : t("order.approve-wait"))),
    ]);
}

/** Said before anything is signed. */
const noUndo = () => h("p.soft.no-undo", { testid: "no-undo" }, icon("warning"), h("span", {}, t("order.no-undo")));

function refusal(ctx, entry, now, name) {
  const draft = draftOf(entry.view.order_id);
  const suggest = suggestionOf(draft, entry.order);
  return h("div.refusal", {},
    ...noteField(ctx, draft, t("order.reason", { name })),
    readyNotes(ctx, draft),
    suggestionForm(ctx, entry, draft, now.struck),
    noUndo(),
    h("div.buttons", {},
      h("button.plain", { type: "button", testid: "refuse-cancel", onclick: () => { draft.refusing = false; ctx.render(); } }, t("cancel")),
      busyButton("button.main.stop", {
        type: "button", testid: "refuse-confirm", disabled: suggest === undefined, onclick: () => decide(ctx, entry, "refuse"),
      }, draft.busy, icon("cross"), t(suggest ? "deciding.refuse-and-suggest" : "order.refuse-now"))));
}

/** An open order that is decided: its rail was asked for the money, the watch may pay, or its rail is paying. */
export const standing = (view) => (["holding", "paying"].includes(view.state) ? view.state : "approved");

/** What became of it, in steps: approved, paid, and what the watch itself says. */
function ending(ctx, entry, name) {
  const { order, view } = entry;
  const draft = draftOf(view.order_id);
  const outcome = order.outcome?.payload;
  const kind = outcome?.outcome ?? standing(view);
  const look = { paid: "good", holding: "wait", approved: "wait", paying: "wait", refused: "stop", failed: "stop", expired: "stop", cancelled: "stop" }[kind];
  const symbol = { paid: "check", holding: "clock", approved: "clock", paying: "clock", refused: "cross", failed: "warning", expired: "clock", cancelled: "cross" }[kind];
  const total = money(finalTotal(order));
  const left = entry.ends - performance.now();
  return h(`section.card.ending.${look}`, { testid: "outcome", "data-outcome": kind },
    h("span.big", {}, icon(symbol, "huge")),
    h("h2", {}, t(`ending.${kind}`, { total, name })),
    view.refunded && h("p.lead", { testid: "refunded" }, t("ending.refunded", { total: money(view.refunded) })),
    ...(view.refunds ?? []).filter(({ reason }) => reason).map(({ reason }) => h("p.quote", {}, h("bdi", {}, `“${reason}”`))),
    ...(view.disputes ?? []).map(({ amount, state: is }) => h("p", { testid: `dispute-${is}`, role: "status" }, t(`dispute.${is}`, { total: money(amount) }))),
    view.asking && h("p", { testid: "asking", role: "status" }, t(`asking.${view.asking}`)),
    view.confirm_url?.startsWith("https://") && h("a.main", { href: view.confirm_url, testid: "confirm-with-bank" }, icon("shield"), t("asking.confirm")),
    outcome?.outcome === "failed" && h("p", {}, t(`fail.${outcome.reason}`)),
    order.decision?.payload.reason && h("p.quote", { testid: "note" }, h("bdi", {}, `“${order.decision.payload.reason}”`)),
    suggestionNote(order),
    kind === "cancelled" && h("p", {}, t(`cancel-reason.${order.cancel.payload.reason}`, { name })),
    ["approved", "holding"].includes(kind) && left > 0 && timeBar(left, MAX_DECISION_AGE_MS, t("order.time-bar")),
    kind === "approved" && h("p.soft", {}, left > 0 ? t("ending.pay-by", { time: timeLeft(left) }) : t("order.time-over")),
    order.decision && !draft.mine && h("p.soft", { testid: "decided-by" }, decidedBy(ctx, order)),
    outcome && !order.result && h("p.soft", { testid: "no-result" }, t("ending.watch-silent")));
}

function decidedBy(ctx, order) {
  const own = order.decision.payload.guardian === ctx.state.home.guardian.guardian;
  if (own) return t("ending.by-you", { time: when(order.decision.payload.at) });
  const { guardian, verdict, at } = order.decision.payload;
  return t(`order.answered.${verdict}`, { name: guardianName(ctx.state.home, guardian), time: when(at) });
}

function files(entry) {
  const { order, view } = entry;
  return h("section.card", {},
    h("h2", {}, t("files.title")),
    h("p.soft", {}, t("files.more", { day: day(order.order.payload.created) })),
    order.outcome
      ? h("a.plain", { href: `/api/guardian/orders/${view.order_id}/evidence`, download: `nodpay-${view.order_id}.evidence.json`, testid: "evidence" }, icon("download"), t("files.evidence"))
      : h("p.soft", {}, t("files.later")));
}
