// Unrealised PnL and open drifts since the page was opened. Floats here become pixels, never words.

import { words } from "./ages.js";
import { compare, money } from "./decimal.js";
import { find, show } from "./dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const SIZE = { width: 640, height: 150, line: 104, strip: 30 }; // the line above, the strip of drifts below
const MOST = 720; // points; then every second one goes, and half as many come in

const points = [];
let every = 1;
let skipped = 0;
const latest = { pnl: null, drifts: null };

// Either may be unknown (null).
export function note(seen) {
  Object.assign(latest, seen);
  skipped += 1;
  if (skipped < every) return;
  skipped = 0;
  points.push({ at: Date.now(), ...latest });
  if (points.length > MOST) {
    points.splice(0, points.length, ...points.filter((_, at) => at % 2 === 0));
    every *= 2;
  }
  draw();
}

function shape(tag, attributes, text = "") {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function draw() {
  const known = points.filter((one) => one.pnl !== null);
  const counted = points.filter((one) => one.drifts !== null);
  show(find("plot"), known.length + counted.length > 0);
  const begin = points[0].at;
  const span = Math.max(points.at(-1).at - begin, 1000);
  const x = (at) => ((at - begin) / span) * SIZE.width;
  const drawn = [];
  if (known.length) drawn.push(...line(known, x));
  if (counted.length) drawn.push(...strip(counted, x));
  const svg = find("plot").querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(...drawn);
  find("plot").querySelector("figcaption").textContent = summary(known, counted, span);
}

function line(known, x) {
  const values = known.map((one) => Number(one.pnl));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(high - low, Math.abs(high) * 0.002, 1);
  const y = (value) => 4 + (1 - (value - low) / room) * (SIZE.line - 8);
  const path = known.map((one, at) => `${at ? "L" : "M"}${x(one.at).toFixed(1)} ${y(values[at]).toFixed(1)}`).join("");
  const zero = low < 0 && high > 0 ? [shape("line", { class: "zero", x1: 0, x2: SIZE.width, y1: y(0), y2: y(0) })] : [];
  const end = known.at(-1);
  const area = `${path}L${x(end.at).toFixed(1)} ${SIZE.line}L${x(known[0].at).toFixed(1)} ${SIZE.line}Z`;
  return [...zero, shape("path", { class: "area", d: area }), shape("path", { class: "curve", d: path })];
}

function strip(counted, x) {
  const most = Math.max(1, ...counted.map((one) => one.drifts));
  const base = SIZE.height - 2;
  const y = (count) => (base - (count / most) * SIZE.strip).toFixed(1);
  let path = `M${x(counted[0].at).toFixed(1)} ${base}V${y(counted[0].drifts)}`;
  for (const one of counted) path += `H${x(one.at).toFixed(1)}V${y(one.drifts)}`;
  const floor = shape("line", { class: "zero", x1: 0, x2: SIZE.width, y1: base, y2: base });
  return [floor, shape("path", { class: "steps", d: `${path}V${base}Z` })];
}

function summary(known, counted, span) {
  const told = [];
  if (known.length) {
    const values = known.map((one) => one.pnl).sort(compare);
    const [now, low, high] = [known.at(-1).pnl, values[0], values.at(-1)].map((one) => money(one, { signed: true }));
    told.push(`— Unrealised PnL ${now}, between ${low} and ${high}`);
  }
  if (counted.length) {
    told.push(`▮ Open drifts ${counted.at(-1).drifts}, at most ${Math.max(...counted.map((one) => one.drifts))}`);
  }
  return `${told.join(" · ")} · ${words(span)}`;
}
