// One drift case as a card: what, how bad, why we think so, what can be done.

import { clock, here, since } from "./ages.js";
import { grouped, isDecimal, prose } from "./decimal.js";
import { make, mark, say, show } from "./dom.js";
import { cause, counted, field, kind, margin, severity, side, status } from "./words.js";

const SNOOZES = [["15 min", 15], ["1 h", 60], ["4 h", 240], ["24 h", 1440]];
let cards = 0;

export function build(act) {
  const part = (tag, kind, attributes = {}) => make(tag, kind ? { class: kind, ...attributes } : attributes);
  const id = `case-${(cards += 1)}`;
  const row = {
    severity: part("span", "severity"), title: part("h3", "", { id }), status: part("span", "badge"), seen: part("span", "small age"),
    summary: part("p", "summary"), evidence: part("ul", "evidence"), table: part("table", "diff"), rule: part("p", "small"),
    snoozes: part("div", "snoozes", { hidden: true, role: "group", "aria-label": "Snooze for" }),
  };
  const button = (text, click, kind) => make("button", { type: "button", class: kind, click }, text);
  row.acknowledge = button("Acknowledge", () => act.acknowledge(row.drift));
  row.snooze = button("Snooze…", () => {
    show(row.snoozes, row.snoozes.hidden);
    mark(row.snooze, "aria-expanded", !row.snoozes.hidden);
  });
  mark(row.snooze, "aria-expanded", false);
  row.snoozes.append(...SNOOZES.map(([text, minutes]) => button(text, () => {
    row.snooze.click();
    row.snooze.focus();
    act.snooze(row.drift, minutes);
  })));
  row.resolve = button("Resolve…", () => act.resolve(row.drift), "primary");
  const more = make("details", {}, make("summary", {}, "Book against venue"), row.table, row.rule);
  row.buttons = make("div", { class: "buttons" }, row.resolve, row.acknowledge, row.snooze, row.seen);
  const head = make("div", { class: "case-head" }, row.severity, row.title, row.status);
  row.element = make("article", { "aria-labelledby": id, class: "case" }, head, row.summary, row.evidence, more, row.buttons, row.snoozes);
  return row;
}

export const titleOf = (drift) => `${drift.symbol || drift.venue} · ${kind(drift.kind)}`;

export function update(row, drift) {
  const fresh = row.drift?.revision !== drift.revision;
  row.drift = drift;
  const how = severity(drift.severity);
  mark(row.element, "data-severity", how.text);
  say(row.severity, `${how.sign} ${how.text}`);
  say(row.title, titleOf(drift));
  const until = drift.status === "DRIFT_STATUS_SNOOZED" && drift.snoozed_until ? ` until ${clock(drift.snoozed_until)}` : "";
  say(row.status, drift.status === "DRIFT_STATUS_CONFIRMED" ? "new" : status(drift.status) + until);
  mark(row.status, "data-state", drift.status === "DRIFT_STATUS_CONFIRMED" ? "bad" : "quiet");
  row.seen.dataset.after = " ago";
  since(row.seen, here(drift.first_seen));
  say(row.summary, prose(drift.summary));
  show(row.acknowledge, drift.status !== "DRIFT_STATUS_ACKNOWLEDGED");
  if (fresh) evidence(row, drift);
}

function evidence(row, drift) {
  const why = drift.explanation || { evidence: [], correction: [], cause: "" };
  row.evidence.replaceChildren(...why.evidence.map((one) =>
    make("li", {}, make("b", {}, one.kind), ` ${prose(one.text)} `, one.id ? make("span", { class: "id", title: one.id }, one.id) : "")));
  const caption = make("caption", {}, why.cause ? `Cause: ${cause(why.cause)}` : "");
  const head = make("thead", {}, make("tr", {}, ...["", "Book", "Venue"].map((text) => make(text ? "th" : "td", text ? { scope: "col" } : {}, text))));
  const rows = compared(drift);
  show(row.table, rows.length > 0);
  const body = make("tbody", {}, ...rows.map(([name, book, venue]) =>
    make("tr", { class: book === venue ? "" : "differs" }, make("th", { scope: "row" }, name), make("td", { class: "number" }, book), make("td", { class: "number" }, venue))));
  row.table.replaceChildren(caption, head, body);
  const seen = `Seen ${counted(drift.times_seen, "time")}. Rule: ${drift.rule}`;
  say(row.rule, drift.reason ? `${seen}. ${drift.actor}: ${drift.reason}` : seen);
}

function compared({ local, actual }) {
  const number = (text) => (isDecimal(text) ? grouped(text) : "–");
  const pick = (of) => [local, actual].map((one) => (one ? of(one) : "–"));
  return [
    ["side", ...pick((one) => side(one.side) || "–")],
    ["size", ...pick((one) => number(one.size))],
    ["entry price", ...pick((one) => number(one.entry_price))],
    ["leverage", ...pick((one) => number(one.leverage))],
    ["margin mode", ...pick((one) => margin(one.margin_mode) || "–")],
    ["liquidation price", ...pick((one) => number(one.liquidation_price))],
  ].filter(([, book, venue]) => book !== "–" || venue !== "–");
}

// The rows of a correction: field, before, after. Exact, whatever their length.
export function corrections(changes) {
  const exact = (text) => (isDecimal(text) ? grouped(text) : text.toLowerCase() || "–");
  const head = make("tr", {}, ...["Field", "Now", "After"].map((text) => make("th", { scope: "col" }, text)));
  const rows = changes.map((one) =>
    make("tr", {}, make("th", { scope: "row" }, field(one.field)), make("td", { class: "number" }, exact(one.before)),
      make("td", { class: "number after" }, make("span", { "aria-hidden": "true" }, "→ "), exact(one.after))));
  return make("table", { class: "diff" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
