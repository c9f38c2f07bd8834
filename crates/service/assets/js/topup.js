// Filling the wallet from the card on file: how much, what happens, the passkey, and what became of it.
//
// A guardian's passkey signs the amount; the card is charged once for each signature. What became of a charge is the service's
// word, and in the statement once it has arrived.

import { post, serviceNow } from "./api.js";
import { randomId, utf8 } from "./bytes.js";
import { announce, h } from "./dom.js";
import { busyButton, icon, notice } from "./frame.js";
import { signWithPasskey } from "./passkey.js";
import { guardianName } from "./people.js";
import { fromDecimal, money, problemText, t, when } from "./texts.js";

const LOOKS = { answer: "wait", unknown: "wait", guardian: "wait", done: "good", declined: "bad" };

/** The amount being typed, and the nonce that makes it one charge however often it is sent. */
let draft = null;
let busy = false;
let problem = null;

export function forget() {
  draft = null;
  problem = null;
}

/** `top_up` is the service's; gives nothing where no card is on file and none was charged. */
export function cardTopUp(ctx, { card, card_top_ups: charges }, currency, readAgain) {
  // What has arrived is in the statement; the newest says so here as well.
  const arrived = charges.find(({ state }) => state === "done");
  return [
    ...charges.filter((one) => one.state !== "done" || one.dispute || one === arrived).map((one) => chargeRow(ctx.state.home, one)),
    card && (draft ? form(ctx, card, currency, readAgain) : h("button.main", {
      type: "button", testid: "card-top-up", onclick: () => { draft = { amount: "", nonce: randomId() }; ctx.render(); },
    }, icon("plus"), t("wallet.card-new"))),
  ];
}

function chargeRow(home, { amount, at, confirm_url: url, decline, dispute, guardian, state, transfer }) {
  const total = money(amount);
  const returned = dispute === "taken" || dispute === "lost";
  const words = returned ? t("wallet.card-taken", { total })
    : dispute === "open" ? t("wallet.card-disputed", { total })
      : state === "declined" ? t("wallet.card-declined", { total, why: t(`wallet.card-why-${decline}`) })
        : t(`wallet.card-${state}`, { total });
  return h("div.charge", { key: transfer, testid: "card-charge", "data-state": state, role: "status" },
    notice(returned ? "bad" : LOOKS[state], words, h("p.soft", {}, `${guardianName(home, guardian)} · ${when(at)}`)),
    url?.startsWith("https://") && h("a.main", { href: url, testid: "card-confirm" }, icon("shield"), t("asking.confirm")));
}

function form(ctx, card, currency, readAgain) {
  const minor = draft.amount.trim() ? fromDecimal(draft.amount, currency) : null;
  const fits = minor !== null && minor >= card.least && minor <= card.most;
  const amountOf = (units) => money({ minor: units, currency });
  return h("div.form", { key: "card-form" },
    h("label.field", {}, h("span", {}, t("wallet.card-amount", { currency })),
      h("input", {
        type: "text", inputmode: "decimal", autocomplete: "off", value: draft.amount, testid: "card-amount", "aria-describedby": "card-limits",
        oninput: (event) => { draft = { amount: event.target.value, nonce: randomId() }; ctx.render(); },
      })),
    h("p.soft", { id: "card-limits" },
      t("wallet.card-limits", { least: amountOf(card.least), most: amountOf(card.most), day: amountOf(card.most_a_day) })),
    fits && h("p", { testid: "card-words" }, t("wallet.card-words", { total: amountOf(minor) })),
    problem && notice("bad", problemText(problem)),
    h("div.buttons", {},
      h("button.plain", { type: "button", disabled: busy, onclick: () => { forget(); ctx.render(); } }, t("cancel")),
      busyButton("button.main", { type: "button", testid: "card-sign", disabled: !fits, onclick: () => charge(ctx, { minor, currency }, readAgain) },
        busy, icon("key"), t("wallet.card-sign"))));
}

async function charge(ctx, amount, readAgain) {
  const { service, home } = ctx.state;
  const { guardian } = home.guardian;
  [busy, problem] = [true, null];
  ctx.render();
  try {
    const said = { v: 1, household: home.book.household, guardian, amount, at: serviceNow(), nonce: draft.nonce };
    const assertion = await signWithPasskey(service, "top-up", utf8(JSON.stringify(said)), home.guardian.credential);
    await post("/api/guardian/wallet/top-ups", { assertion });
    draft = null;
    announce(t("wallet.card-asked"));
    await readAgain(ctx);
  } catch (error) {
    problem = error;
  }
  busy = false;
  ctx.render();
}
