// The table of positions: nearest to liquidation first, unless another column was asked for.

import { compare, grouped, isDecimal, money, percent, price, sign, sortable } from "./decimal.js";
import { Keyed, find, make, mark, say, show } from "./dom.js";
import { CHECKS, life, margin, side } from "./words.js";

const MOST = 300; // rows; the filter finds the others
const FULL_BAR = 30; // percent of the mark: further away is far enough to be a whole bar

const COLUMNS = [
  { key: "symbol", title: "Position", of: (one) => one.symbol.toLowerCase() },
  { key: "size", title: "Size", of: (one) => one.size, number: true },
  { key: "entry_price", title: "Entry", of: (one) => one.entry_price, number: true },
  { key: "mark_price", title: "Mark", of: (one) => one.mark_price, number: true },
  { key: "notional_value", title: "Notional", of: (one) => one.notional_value, number: true },
  { key: "unrealized_pnl", title: "Unrealised PnL", of: (one) => one.unrealized_pnl, number: true },
  { key: "liquidation", title: "To liquidation", of: (one) => one.liquidation_distance_percent, bar: true },
  { key: "check", title: "Check", of: (one) => one.reconciliation_status },
];

// Decimals by value, words by the alphabet, what is not known at the end either way.
function sorted(positions, { key, down }) {
  const { of } = COLUMNS.find((one) => one.key === key);
  const keyed = positions.map((position) => {
    const value = of(position);
    return { position, by: isDecimal(value) ? sortable(value) : value || undefined };
  });
  keyed.sort((a, b) => {
    if (a.by === undefined || b.by === undefined) return Number(a.by === undefined) - Number(b.by === undefined);
    return (a.by < b.by ? -1 : Number(a.by > b.by)) * (down ? -1 : 1);
  });
  return keyed.map((one) => one.position);
}

export class Positions {
  constructor() {
    this.all = [];
    this.words = "";
    this.order = { key: "liquidation", down: false };
    this.rows = new Keyed(find("position-table").tBodies[0], build);
    this.heads = COLUMNS.map((column) => this.head(column));
    find("position-table").tHead.append(make("tr", { role: "row" }, ...this.heads));
  }

  head(column) {
    const click = () => {
      this.order = { key: column.key, down: this.order.key === column.key && !this.order.down };
      this.draw();
    };
    const kind = column.number ? "number" : column.bar ? "bar" : "";
    const button = make("button", { type: "button", click }, column.title);
    return make("th", { scope: "col", role: "columnheader", class: kind }, button);
  }

  // `oldMarks` are venue/symbol of those that the sums leave out.
  set(positions, oldMarks) {
    const old = new Set(oldMarks);
    for (const one of positions) one.isOld = old.has(`${one.venue}/${one.symbol}`);
    this.all = positions.sort((a, b) => (a.symbol < b.symbol ? -1 : Number(a.symbol > b.symbol)));
    this.draw();
  }

  filter(words) {
    this.words = words;
    this.draw();
  }

  draw() {
    const found = sorted(this.all.filter((one) => !this.words || wordsOf(one).includes(this.words)), this.order);
    this.heads.forEach((head, at) => {
      const by = COLUMNS[at].key === this.order.key;
      mark(head, "aria-sort", by ? (this.order.down ? "descending" : "ascending") : "none");
    });
    this.rows.draw(found.slice(0, MOST), (one) => one.position_id, update);
    show(find("position-table"), found.length > 0);
    say(find("position-count"), String(this.all.length));
    say(find("positions-note"), found.length > MOST ? `${MOST} of ${found.length} shown: filter for the others` : "");
    show(find("positions-empty"), found.length === 0);
    say(find("positions-empty"), this.all.length
      ? "No position matches the filter. Clear it to see them all."
      : "The book is empty. Open a position: OpenPosition by gRPC, POST api/positions/open by HTTP, or RecordFills from a bot.");
  }
}

// In the order of their names: the wire has none, and they would change places with every message.
const labelsOf = (one) => Object.entries(one.labels || {}).map(([name, value]) => `${name}=${value}`).sort();

function wordsOf(one) {
  return [one.symbol, one.asset, one.venue, one.account, side(one.side), ...labelsOf(one)].join(" ").toLowerCase();
}

function build() {
  const part = (tag, kind) => make(tag, { class: kind });
  const row = {
    name: part("strong", "symbol"), side: part("span", "side"), where: part("span", "where"), labels: part("span", "labels"),
    size: part("span"), leverage: part("span", "small"), entry: part("span"), mark: part("span"), age: part("span", "small"), notional: part("span"),
    pnl: part("span", "pnl"), pnlPercent: part("span", "small"), check: part("span", "badge"),
    fill: part("span", "fill"), distance: part("span", "distance"), liquidation: part("span", "small"),
  };
  const bar = make("span", { class: "track", "aria-hidden": "true" }, row.fill);
  const cells = [
    [row.name, " ", row.side, " ", row.where, row.labels], [row.size, " ", row.leverage], [row.entry], [row.mark, " ", row.age], [row.notional],
    [row.pnl, " ", row.pnlPercent], [row.distance, bar, " ", row.liquidation], [row.check],
  ];
  row.cells = cells.map((content, at) => {
    const column = COLUMNS[at];
    const kind = `${column.key} ${column.number ? "number" : column.bar ? "bar" : ""}`.trim();
    const named = { class: kind, "data-title": column.title };
    return at ? make("td", { role: "cell", ...named }, ...content) : make("th", { scope: "row", role: "rowheader", ...named }, ...content);
  });
  row.element = make("tr", { role: "row" }, ...row.cells);
  return row;
}

// Shown short, exact in the tooltip.
function amount(element, text, form, options) {
  say(element, isDecimal(text) ? form(text, options) : "–");
  mark(element, "title", isDecimal(text) ? text : "");
}

const tone = (text) => (isDecimal(text) ? ["loss", "", "gain"][sign(text) + 1] : "");

function update(row, one) {
  say(row.name, one.symbol);
  say(row.side, side(one.side));
  mark(row.side, "data-side", side(one.side));
  const state = one.status === "POSITION_STATUS_OPEN" ? "" : ` · ${life(one.status)}`;
  say(row.where, `${one.venue} · ${one.account}${state}`);
  say(row.labels, labelsOf(one).join(", "));
  amount(row.size, one.size, grouped);
  say(row.leverage, [isDecimal(one.leverage) ? `${grouped(one.leverage)}×` : "", margin(one.margin_mode)].filter(Boolean).join(" "));
  amount(row.entry, one.entry_price, price);
  amount(row.mark, one.mark_price, price);
  say(row.age, one.isOld ? "◆ old: not in the totals" : "");
  mark(row.element, "data-mark", one.isOld ? "old" : "");
  amount(row.notional, one.notional_value, money);
  amount(row.pnl, one.unrealized_pnl, money, { signed: true });
  mark(row.pnl, "data-tone", tone(one.unrealized_pnl));
  amount(row.pnlPercent, one.return_on_margin, percent, { signed: true, digits: 1 });
  const check = CHECKS[one.reconciliation_status] || { state: "quiet", text: "–" };
  say(row.check, check.text);
  mark(row.check, "data-state", check.state);
  liquidation(row, one);
}

// The price that the distance goes by: the venue's word, else what was given, else an estimate.
function liquidationPrice({ venue_liquidation_price: venue, liquidation_price: given, estimated_liquidation_price: estimate }) {
  if (isDecimal(venue)) return { text: `at ${price(venue)} · venue`, exact: venue };
  if (isDecimal(given)) return { text: `at ${price(given)} · given`, exact: given };
  return isDecimal(estimate) ? { text: `est. ≈ ${price(estimate)}`, exact: estimate } : { text: "", exact: "" };
}

function liquidation(row, one) {
  const distance = one.liquidation_distance_percent;
  const known = isDecimal(distance);
  const level = one.at_risk ? "risk" : known && compare(distance, "10") < 0 ? "near" : known ? "far" : "unknown";
  mark(row.element, "data-level", level);
  const words = { risk: "⚠ AT RISK ", near: "▸ ", far: "", unknown: "" }[level];
  say(row.distance, known ? words + percent(distance, { digits: 1 }) : "not known");
  const { text, exact } = liquidationPrice(one);
  say(row.liquidation, text);
  mark(row.liquidation, "title", exact);
  row.fill.style.width = known ? `${Math.max(1, Math.min(100, (Number(distance) / FULL_BAR) * 100))}%` : "0"; // pixels only
}
