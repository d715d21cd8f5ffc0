// How the venues are doing, how the portfolio is spread over them, whether their accounts add up.

import { here, since } from "./ages.js";
import { compare, isDecimal, money, share, shift, sign } from "./decimal.js";
import { Keyed, find, make, mark, say, show } from "./dom.js";
import { PUSHES, VENUE_STATES, counted } from "./words.js";

const list = (id, build) => new Keyed(find(id).querySelector("ul"), build);
const keyOf = (one) => `${one.venue}/${one.account}`;

const venues = list("venues", () => {
  const row = { name: make("strong"), state: make("span", { class: "badge" }), facts: make("span", { class: "small" }), age: make("span", { class: "small age" }), error: make("p", { class: "small" }), push: make("p", { class: "small warn" }), equity: make("p", { class: "small" }) };
  row.element = make("li", {}, make("div", { class: "line" }, row.name, row.state, row.age), row.facts, row.error, row.push, row.equity);
  return row;
});

function sayOrHide(element, text) {
  say(element, text);
  show(element, Boolean(text));
}

export function drawVenues(found) {
  show(find("venues"), true);
  venues.draw(found, keyOf, (row, one) => {
    const how = VENUE_STATES[one.state] || { state: "quiet", sign: "?" };
    say(row.name, `${one.venue} · ${one.account}`);
    say(row.state, `${how.sign} ${one.state.toLowerCase()}`);
    mark(row.state, "data-state", how.state);
    const never = Number(one.age_ms) < 0;
    if (never) {
      delete row.age.dataset.since;
      say(row.age, "never read");
    } else {
      row.age.dataset.before = "read ";
      row.age.dataset.after = " ago";
      since(row.age, Date.now() - Number(one.age_ms));
    }
    const source = one.source === "SOURCE_LIVE" ? "LIVE" : "SIMULATED";
    const isRead = one.state !== "UNCONFIGURED";
    const facts = [source, PUSHES[one.push?.state], counted(one.positions, "position"), `${counted(Number(one.budget_left), "request")} left this minute`];
    say(row.facts, isRead ? facts.filter(Boolean).join(" · ") : "");
    sayOrHide(row.error, one.last_error);
    sayOrHide(row.push, isRead ? pushProblem(one.push) : "");
    sayOrHide(row.equity, isRead && one.equity_unchecked ? `equity not checked: ${one.equity_unchecked}` : "");
  });
}

// Its last error stays after recovery: it is said only while it is true.
const pushProblem = (push) => (push?.state === "DOWN" ? `◆ push is down, so it is polled${push.last_error ? `: ${push.last_error}` : ""}` : "");

const shares = list("allocation", () => {
  const row = { name: make("strong"), words: make("span", { class: "badge" }), value: make("span", { class: "small" }), age: make("span", { class: "small" }), booked: make("span", { class: "small" }), fill: make("span", { class: "fill" }), band: make("span", { class: "band" }), tick: make("span", { class: "tick" }) };
  const track = make("span", { class: "track", "aria-hidden": "true" }, row.band, row.fill, row.tick);
  row.element = make("li", {}, make("div", { class: "line" }, row.name, row.words), track, row.value, row.age, row.booked);
  return row;
});

const BY = { ALLOCATION_BASIS_VENUE: " by the venue", ALLOCATION_BASIS_BOOK: " by the book" };

export function drawAllocation({ allocations, tolerance, portfolio_value: value }) {
  const found = Object.entries(allocations).map(([venue, one]) => ({ venue, account: "", ...one }));
  found.sort((a, b) => compare(b.target, a.target));
  show(find("allocation"), found.length > 0 && sign(value) > 0); // no share of nothing is on target
  say(find("allocation").querySelector(".muted"), `of ${money(value)} USD, ±${share(tolerance, { digits: 0 })} allowed`);
  shares.draw(found, keyOf, (row, one) => {
    const pixels = (text) => Math.max(0, Math.min(100, Number(shift(text, 2)))); // percent, for bars only
    say(row.name, one.venue);
    say(row.words, one.within_tolerance ? "✓ on target" : `◆ ${share(one.drift, { signed: true })} off`);
    mark(row.words, "data-state", one.within_tolerance ? "good" : "warn");
    say(row.value, `${share(one.actual)}, target ${share(one.target)} · ${money(one.value)} USD${BY[one.basis] || ""}`);
    asked(row.age, one.observed_at);
    const differs = isDecimal(one.booked_value) && money(one.booked_value) !== money(one.value);
    say(row.booked, differs ? ` · ${money(one.booked_value)} USD in the book` : "");
    row.fill.style.width = `${pixels(one.actual)}%`;
    row.tick.style.left = `${pixels(one.target)}%`;
    row.band.style.left = `${pixels(one.target) - pixels(tolerance)}%`;
    row.band.style.width = `${2 * pixels(tolerance)}%`;
  });
}

function asked(element, at) {
  if (!at) {
    delete element.dataset.since;
    return say(element, "");
  }
  element.dataset.before = ", read ";
  element.dataset.after = " ago";
  return since(element, here(at));
}

const accounts = list("equity", () => {
  const row = { name: make("strong"), value: make("span", { class: "number" }), gap: make("span", { class: "badge wide" }) };
  row.element = make("li", {}, make("div", { class: "line" }, row.name, row.value), row.gap);
  return row;
});

// What accounts are worth against what the book explains: the last run's checks. Hidden where it has none.
export function drawEquity(checks = []) {
  const told = checks.filter((one) => isDecimal(one.actual));
  show(find("equity"), told.length > 0);
  accounts.draw(told, keyOf, (row, one) => {
    say(row.name, `${one.venue} · ${one.account}`);
    say(row.value, `${money(one.actual)} USD`);
    mark(row.value, "title", one.actual);
    const { text, state } = verdict(one);
    say(row.gap, text);
    mark(row.gap, "data-state", state);
  });
}

function verdict({ expected, gap, tolerance, confirmed }) {
  if (!isDecimal(gap)) return { text: "not checked yet", state: "quiet" };
  if (compare(gap.replace("-", ""), tolerance || "0") <= 0) return { text: `✓ adds up: ${money(expected)} expected`, state: "good" };
  const off = `${money(gap, { signed: true })} against ${money(expected)} expected`;
  return confirmed ? { text: `◆ ${off}: something is missing in the book`, state: "bad" } : { text: `… ${off}: looking again`, state: "warn" };
}
