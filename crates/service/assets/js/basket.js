// What a till puts on a bill, and how it answers when a guardian strikes lines. Pure: goods and rules in, bills out.
//
// A rule is kept with each bill: {discount: {percent} | {minor} | null, tax: percent, bundles, fresh}. A requote follows the
// same rule over fewer lines, so nothing in it is ever dearer than before.

export const MAX_LINES = 64;

const sumOf = (lines) => lines.reduce((sum, line) => sum + line.amount, 0);

/** Lines of a basket: a Map from good id to quantity. `settings` by good id: {partner, fresh}. */
export function basketLines(goods, basket, settings) {
  const lines = [];
  for (const good of goods) {
    const quantity = basket.get(good.id) ?? 0;
    if (quantity === 0) continue;
    const line = { id: good.id, name: good.name, quantity, unit_price: good.unit_price, amount: quantity * good.unit_price };
    if (good.category !== undefined) line.category = good.category;
    if (good.min_age !== undefined) line.min_age = good.min_age;
    const partner = settings[good.id]?.partner;
    if (partner && basket.get(partner)) line.bundle = [good.id, partner].sort()[0];
    lines.push(line);
  }
  for (const line of lines) {
    const bundle = line.bundle ?? lines.find((other) => other.bundle && settings[other.id]?.partner === line.id)?.bundle;
    if (bundle) line.bundle = bundle;
  }
  return lines;
}

/** Whether only the shop can reduce this bill. */
export function needsRequote(lines, rule) {
  return Boolean(rule.discount || rule.tax || lines.some((line) => line.bundle || rule.fresh.includes(line.id)));
}

/** Discount and tax over `lines`, of a bill whose lines once came to `asked`. */
export function adjustmentsFor(lines, rule, asked, names) {
  const sum = sumOf(lines);
  const adjustments = [];
  let discount = 0;
  if (rule.discount?.percent) discount = Math.floor((sum * rule.discount.percent) / 100);
  if (rule.discount?.minor) discount = Number((BigInt(rule.discount.minor) * BigInt(sum)) / BigInt(asked)); // pro rata
  if (discount > 0) adjustments.push({ kind: "discount", name: names.discount, amount: -Math.min(discount, sum) });
  const tax = Math.floor(((sum - discount) * (rule.tax ?? 0)) / 100);
  if (tax > 0) adjustments.push({ kind: "tax", name: names.tax, amount: tax });
  return adjustments;
}

/** The parts of a bill that follow from lines and rule. */
export function priced(lines, rule, names, asked = sumOf(lines)) {
  const adjustments = adjustmentsFor(lines, rule, asked, names);
  const total = sumOf(lines) + sumOf(adjustments);
  const bill = { lines, total, reduction: needsRequote(lines, rule) ? "requote" : "lines-sum" };
  if (adjustments.length > 0) bill.adjustments = adjustments;
  return bill;
}

/**
 * The answer to a guardian who strikes `struck` from `original` (revision 1): `{bill}` without ids and times, or
 * `{refused: {key, values}}`, a text of the till.
 */
export function requoted(original, rule, names, struck) {
  const out = original.lines.filter((line) => struck.includes(line.id));
  const kept = original.lines.filter((line) => !struck.includes(line.id));
  const fresh = out.find((line) => rule.fresh.includes(line.id));
  if (fresh) return { refused: { key: "till.refuse.fresh", values: { name: fresh.name } } };
  for (const line of out) {
    const partner = line.bundle && kept.find((other) => other.bundle === line.bundle);
    if (partner) return { refused: { key: "till.refuse.bundle", values: { name: line.name, partner: partner.name } } };
  }
  const bill = priced(kept, rule, names, sumOf(original.lines));
  if (kept.length === 0 || bill.total <= 0) return { refused: { key: "till.refuse.nothing", values: {} } };
  return { bill: { ...bill, reduction: original.reduction } };
}

/** Cuts a refusal to what a message may hold. */
export function shortened(text, max = 60) {
  const characters = [...text];
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join("").trimEnd()}…`;
}
