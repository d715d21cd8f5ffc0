// Amounts are decimal strings from edge to edge: they are compared, rounded and grouped as such, never as floats.

const FORM = /^(-?)(\d+)(?:\.(\d+))?$/;
const GAP = "\u202f"; // a narrow space that does not break
const MINUS = "\u2212";

// The whole number of 10^-scale parts. Throws for what is not a plain decimal.
function units(text, scale) {
  const found = FORM.exec(text);
  if (!found) throw new RangeError(`not a plain decimal: ${text}`);
  const fraction = (found[3] || "").padEnd(scale, "0");
  return BigInt(found[1] + found[2] + fraction);
}

const scaleOf = (text) => (text.split(".")[1] || "").length;

function plain(parts, scale) {
  const digits = (parts < 0n ? -parts : parts).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  return (parts < 0n ? "-" : "") + whole + (scale ? `.${digits.slice(-scale)}` : "");
}

export const isDecimal = (text) => typeof text === "string" && FORM.test(text);

export function compare(one, other) {
  const scale = Math.max(scaleOf(one), scaleOf(other));
  const [a, b] = [units(one, scale), units(other, scale)];
  return a < b ? -1 : Number(a > b);
}

// What to sort by: the number of 10^-18 parts, the smallest that the contract knows.
export function sortable(text) {
  const [, minus, whole, fraction = ""] = FORM.exec(text);
  return BigInt(minus + whole + fraction.padEnd(18, "0").slice(0, 18));
}

export const sign = (text) => compare(text, "0");

export function add(one, other) {
  const scale = Math.max(scaleOf(one), scaleOf(other));
  return plain(units(one, scale) + units(other, scale), scale);
}

// Times 10 to the power of `places`: a share as percent.
export function shift(text, places) {
  const scale = scaleOf(text);
  return plain(units(text, scale) * 10n ** BigInt(places), scale);
}

// Rounded half to even, with exactly `digits` fraction digits.
export function round(text, digits) {
  const scale = scaleOf(text);
  const parts = units(text, scale);
  if (scale <= digits) return plain(parts * 10n ** BigInt(digits - scale), digits);
  const step = 10n ** BigInt(scale - digits);
  const size = parts < 0n ? -parts : parts;
  const [whole, twice] = [size / step, (size % step) * 2n];
  const kept = twice > step || (twice === step && whole % 2n) ? whole + 1n : whole;
  return plain(parts < 0n ? -kept : kept, digits);
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

// Texts of the services have thousands and the percent sign apart by a space: a line must not end there.
export const prose = (text) => text.replace(/(?<=\d) (?=\d{3}(?!\d)|%)/g, GAP);

// Written for people: grouped by threes, a real minus, with `signed` a plus as well.
export function grouped(text, { signed = false } = {}) {
  const [, , whole, fraction] = FORM.exec(text);
  const body = whole.replace(/\B(?=(\d{3})+$)/g, GAP) + (fraction ? `.${fraction}` : "");
  const how = sign(text);
  return (how < 0 ? MINUS : signed && how > 0 ? "+" : "") + body;
}

export const money = (text, options) => grouped(round(text, 2), options);
export const percent = (text, options) => `${grouped(round(text, options?.digits ?? 2), options)}${GAP}%`;
export const share = (text, options) => percent(shift(text, 2), { digits: 1, ...options });

// About eight significant digits: prices run from 0.00001 to 100000.
export function price(text) {
  const [, , whole, fraction = ""] = FORM.exec(text);
  const zeros = whole === "0" ? /^0*/.exec(fraction)[0].length : 0;
  return grouped(trimmed(round(text, Math.max(2, (whole === "0" ? 6 : 8 - whole.length) + zeros))));
}
