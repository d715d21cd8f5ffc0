// The figures on top.

import { isDecimal, money, sign } from "./decimal.js";
import { Keyed, find, make, mark, say, show } from "./dom.js";
import { counted } from "./words.js";

const rows = new Keyed(document.querySelector("#totals dl"), () => {
  const row = { title: make("dt"), value: make("dd"), more: make("dd", { class: "small" }) };
  row.element = make("div", {}, row.title, row.value, row.more);
  return row;
});
const ORDER = ["Unrealised PnL", "Realised PnL", "Net exposure", "At risk", "Open drifts"];
const shown = new Map(); // title -> {title, value, more, tone}

export function total(title, value, { more = "", tone = "" } = {}) {
  shown.set(title, { title, value, more, tone });
  show(find("totals"), true);
  rows.draw(ORDER.filter((one) => shown.has(one)).map((one) => shown.get(one)), (one) => one.title, (row, one) => {
    say(row.title, one.title);
    say(row.value, one.value);
    say(row.more, one.more);
    mark(row.element, "data-tone", one.tone);
  });
}

export function totalsOf(summary) {
  const signed = (text) => (isDecimal(text) ? money(text, { signed: true }) : "–");
  const tone = (text) => (isDecimal(text) ? ["loss", "", "gain"][sign(text) + 1] : "");
  const marks = [[summary.missing_marks, "without a mark"], [summary.old_marks || [], "with an old mark"]].filter(([found]) => found.length);
  const more = marks.length ? `◆ leaves out ${marks.map(([found, why]) => `${found.length} ${why}`).join(", ")}` : "of all live positions";
  const guessed = isDecimal(summary.estimated_pnl) && sign(summary.estimated_pnl) ? `, ${money(summary.estimated_pnl, { signed: true })} estimated` : "";
  total("Unrealised PnL", signed(summary.total_unrealized_pnl), { more, tone: tone(summary.total_unrealized_pnl) });
  total("Realised PnL", signed(summary.total_realized_pnl), { more: `of live positions${guessed}`, tone: tone(summary.total_realized_pnl) });
  total("Net exposure", money(summary.net_notional, { signed: true }), {
    more: `long ${money(summary.long_notional)} · short ${money(summary.short_notional)}`,
  });
  const risky = summary.positions_at_risk;
  total("At risk", String(risky), { more: risky ? "⚠ near liquidation" : `of ${counted(summary.total_positions, "position")}`, tone: risky ? "loss" : "" });
}
