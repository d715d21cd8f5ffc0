// Ages that count. An element with data-since (this browser's clock, milliseconds) shows how long ago that was.

import { say } from "./dom.js";

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
let ahead = 0; // this browser's clock minus the server's, ms

// Learns the difference from an answer that carries the server's time.
export function learn(timestamp) {
  ahead = Date.now() - Date.parse(timestamp);
}

export const here = (timestamp) => Date.parse(timestamp) + ahead;

export function words(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const at = UNITS.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = UNITS[at];
  const rest = UNITS[at + 1];
  const more = rest && Math.floor((seconds % size) / rest[0]);
  return `${Math.floor(seconds / size)} ${unit}${more && size > 60 ? ` ${more} ${rest[1]}` : ""}`;
}

export function since(element, moment) {
  element.dataset.since = moment;
  count(element, Date.now());
}

function count(element, now) {
  const moment = Number(element.dataset.since);
  say(element, `${element.dataset.before || ""}${words(now - moment)}${element.dataset.after || ""}`);
}

export function clock(timestamp) {
  const when = new Date(here(timestamp));
  const today = when.toDateString() === new Date().toDateString();
  return when.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" });
}

setInterval(() => {
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-since]")) count(element, now);
}, 1000);
