// Wires the page: which services are there, who asks what how often, who is told.

import * as ages from "./ages.js";
import { get, key, post, services } from "./api.js";
import { Connection } from "./connection.js";
import { find, mark, say, show } from "./dom.js";
import { Drifts } from "./drifts.js";
import { done, failed } from "./notices.js";
import { note } from "./plot.js";
import { Polling } from "./polling.js";
import { Positions } from "./positions.js";
import { ResolveDialog } from "./resolve.js";
import { Stream } from "./stream.js";
import { total, totalsOf } from "./totals.js";
import { drawAllocation, drawEquity, drawVenues } from "./venues.js";
import { SOURCES, counted } from "./words.js";

const PAGE_SIZE = 1000;
const MARKS_MS = 1000; // marks move without events
const STATUS_MS = 1500;
const ALLOCATION_MS = 5000;

const connection = new Connection();
const streams = [];
const pollings = [];
const filters = [];

function stream(name, url, onMessage, more = {}) {
  const source = connection.source(name);
  const made = new Stream(url, { onMessage, ...source, ...more });
  streams.push(made);
  return made;
}

function polling(name, everyMs, ask) {
  const made = new Polling(everyMs, ask, connection.source(name));
  pollings.push(made);
  return made;
}

async function allPositions() {
  const found = [];
  for (let token = ""; ; ) {
    const page = await get("v1/positions", { page_size: PAGE_SIZE, page_token: token });
    found.push(...page.positions);
    token = page.next_page_token;
    if (!token) return found;
  }
}

function positionsPart() {
  show(find("positions"), true);
  const table = new Positions();
  filters.push((words) => table.filter(words));
  const asking = polling("positions", MARKS_MS, async () => {
    const [all, summary] = await Promise.all([allPositions(), get("api/positions/summary")]);
    table.set(all, summary.old_marks);
    totalsOf(summary);
    note({ pnl: summary.total_unrealized_pnl });
  });
  stream("position events", "v1/positions:watch", (message) => message.events.length && asking.now(), { onlySeen: true });
}

function sourceOf({ source, venues }) {
  const isRead = venues.some((one) => one.state !== "UNCONFIGURED");
  const { name, text, more } = isRead ? SOURCES[source] || SOURCES.SOURCE_UNSPECIFIED : SOURCES.NONE;
  show(find("source"), true);
  mark(find("source"), "data-source", name);
  say(find("source"), `${text}: ${more}`);
  return text;
}

function driftsPart() {
  show(find("drifts"), true);
  let source = "";
  let open = 0;
  const title = () => (document.title = `${open ? `(${open}) ` : ""}trueup${source ? ` ${source}` : ""}`);
  const dialog = new ResolveDialog((id) => drifts.open.get(id));
  const drifts = new Drifts({
    resolve: (drift) => dialog.show(drift),
    moved: () => {
      dialog.refresh();
      for (const one of pollings) one.now(); // a correction shows at once
    },
    changed: (count, critical) => {
      open = count;
      title();
      total("Open drifts", String(count), { more: critical ? `▲ ${critical} critical` : "none critical", tone: critical ? "loss" : "" });
      note({ drifts: count });
    },
  });
  filters.push((words) => drifts.filter(words));
  stream("drifts", "v1/drifts:stream?include_open=true", (message) => drifts.take(message));
  polling("status", STATUS_MS, async () => {
    const status = await get("api/reconciliation/status");
    ages.learn(status.timestamp);
    source = sourceOf(status);
    title();
    drawVenues(status.venues);
    drifts.trust(status.venues);
    drawEquity(status.last_run?.equity);
    lastRun(status);
  });
  polling("allocation", ALLOCATION_MS, async () => drawAllocation(await get("api/reconciliation/allocation")));
  find("reconcile").addEventListener("click", reconcile);
}

function lastRun({ last_run: run, timestamp, interval_ms: every, active, position_service_ok: bookAnswers }) {
  const element = find("last-run");
  if (!run) {
    delete element.dataset.since;
    return say(element, bookAnswers ? "no run yet" : "⚠ the Position service does not answer the Reconciler");
  }
  element.dataset.before = "compared ";
  element.dataset.after = ` ago, every ${ages.words(Number(every))}${active ? "" : " by another Reconciler"}`;
  return ages.since(element, Date.now() - (Date.parse(timestamp) - Date.parse(run.finished_at)));
}

async function reconcile() {
  const button = find("reconcile");
  button.disabled = true;
  try {
    const { run, other_runs: others = [] } = await post("api/reconciliation/sync", {});
    const sum = (of) => [run, ...others].reduce((total, one) => total + of(one), 0); // slow venues have runs of their own
    const unread = sum((one) => one.checks.filter((check) => check.error).length);
    done("Reconciled", `${counted(sum((one) => one.positions_compared), "position")} compared, ${counted(sum((one) => one.confirmed), "drift")}${unread ? `, ${counted(unread, "scope")} unread` : ""}`);
  } catch (error) {
    failed("Not reconciled", error);
  } finally {
    button.disabled = false;
  }
}

function settingsPart() {
  const dialog = find("settings");
  find("open-settings").addEventListener("click", () => {
    find("api-key").value = key.get();
    dialog.showModal();
  });
  find("settings-cancel").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", () => {
    key.set(find("api-key").value.trim());
    connection.keyChanged();
    for (const one of streams) one.restart();
    for (const one of pollings) one.now();
  });
}

function filterPart() {
  const input = find("filter");
  input.addEventListener("input", () => filters.forEach((one) => one(input.value.trim().toLowerCase())));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
}

// Which parts there are depends on what this edge serves; nothing else is asked, nothing else is shown.
async function begin() {
  filterPart();
  settingsPart();
  const start = connection.source("server");
  for (;;) {
    try {
      const names = await services();
      start.onUp();
      if (names.some((name) => name.endsWith(".PositionService"))) positionsPart();
      if (names.some((name) => name.endsWith(".ReconcilerService"))) driftsPart();
      return;
    } catch (error) {
      start.onDown(error);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

begin();
