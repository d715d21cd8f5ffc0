// The drift feed: the open cases, worst first, and those that ended lately.

import { here, since } from "./ages.js";
import { get, newRequestId, post } from "./api.js";
import { build, titleOf, update } from "./case.js";
import { Keyed, find, make, say, show } from "./dom.js";
import { announce, done, failed } from "./notices.js";
import { resolution, severity } from "./words.js";

const MOST = 200; // cards; the filter finds the others
const ENDED = 10;
const CALM_MS = 200; // a burst of events asks once what ended
const TOGETHER = 3; // more new ones at once are counted, not read out

export class Drifts {
  // `resolve(drift)` opens the dialog; `changed(count)` is told how many are open; `moved()` that something happened.
  constructor({ resolve, changed, moved }) {
    Object.assign(this, { changed, moved });
    this.open = new Map();
    this.arriving = null; // ids of the snapshot that is under way
    this.isKnown = false; // a snapshot has been shown
    this.words = "";
    this.venues = [];
    const act = { resolve, acknowledge: (drift) => this.acknowledge(drift), snooze: (drift, minutes) => this.snooze(drift, minutes) };
    this.cards = new Keyed(find("cases"), () => build(act));
  }

  // A message of the stream. A snapshot replaces what was known, once all of it has come.
  take(message) {
    const isSnapshot = message.phase === "STREAM_PHASE_SNAPSHOT";
    if (isSnapshot) this.arriving ??= new Set();
    const fresh = [];
    for (const { drift } of message.events) {
      if (isSnapshot) this.arriving.add(drift.drift_id);
      if (drift.status === "DRIFT_STATUS_RESOLVED") this.open.delete(drift.drift_id);
      else {
        if (!this.open.has(drift.drift_id)) fresh.push(drift);
        this.open.set(drift.drift_id, drift);
      }
    }
    if (isSnapshot && message.snapshot_end) {
      for (const id of this.open.keys()) if (!this.arriving.has(id)) this.open.delete(id);
      this.arriving = null;
    }
    if (!isSnapshot && !message.events.length) return;
    if (this.isKnown && fresh.length) this.tell(fresh);
    if (!this.arriving) {
      this.isKnown = true;
      this.draw();
      clearTimeout(this.soon);
      this.soon = setTimeout(() => this.lately(), CALM_MS);
      this.moved();
    }
  }

  tell(fresh) {
    const words = fresh.slice(0, TOGETHER).map((drift) => `${severity(drift.severity).text}: ${drift.summary}`);
    if (fresh.length > TOGETHER) words.push(`and ${fresh.length - TOGETHER} more`);
    announce(`New drift. ${words.join(" ")}`);
  }

  // No drift means that all is well only where every venue is being read.
  trust(venues) {
    this.venues = venues;
    this.sayNothing();
  }

  sayNothing() {
    const read = this.venues.filter((one) => one.state !== "UNCONFIGURED");
    const unread = read.filter((one) => one.state !== "OK").map((one) => one.venue);
    let text = "✓ Book and venues agree. Nothing to do.";
    if (this.open.size) text = "No drift matches the filter. Clear it to see them all.";
    else if (!this.venues.length) text = "No drift is open.";
    else if (!read.length) text = "No venue is read, so nothing is compared. Give the Reconciler HYPERLIQUID_KEY or COINBASE_KEY_FILE.";
    else if (unread.length) text = `◆ No drift is open, but ${unread.join(" and ")} cannot be read completely: see Venues.`;
    say(find("drifts-empty"), text);
  }

  filter(words) {
    this.words = words;
    this.draw();
  }

  draw() {
    const all = [...this.open.values()];
    const found = all.filter((one) => !this.words || wordsOf(one).includes(this.words));
    found.sort((a, b) => rank(a) - rank(b) || Date.parse(b.first_seen) - Date.parse(a.first_seen));
    const hadFocus = find("cases").contains(document.activeElement);
    this.cards.draw(found.slice(0, MOST), (one) => one.drift_id, update);
    if (hadFocus && document.activeElement === document.body) find("drifts-title").focus();
    say(find("drift-count"), String(all.length));
    show(find("drifts-empty"), found.length === 0 && this.isKnown);
    this.sayNothing();
    this.changed(all.length, all.filter((one) => one.severity === "DRIFT_SEVERITY_CRITICAL").length);
  }

  // The newest of those that ended: what somebody else resolved should not just vanish.
  async lately() {
    const { drifts } = await get("v1/drifts", { statuses: "DRIFT_STATUS_RESOLVED", page_size: ENDED }).catch(() => ({ drifts: [] }));
    show(find("ended"), drifts.length > 0);
    find("ended").querySelector("ul").replaceChildren(...drifts.map((one) => {
      const age = make("span", { class: "small age", "data-after": " ago" });
      since(age, here(one.last_seen));
      const by = one.actor ? ` by ${one.actor}` : "";
      return make("li", {}, make("b", {}, titleOf(one)), ` ${resolution(one.resolution)}${by}${one.reason ? `: ${one.reason}` : ""} `, age);
    }));
  }

  acknowledge(drift) {
    return this.move(drift, "acknowledge", {}, "Acknowledged");
  }

  snooze(drift, minutes) {
    const until = new Date(Date.now() + minutes * 60000).toISOString();
    return this.move(drift, "snooze", { until }, "Snoozed");
  }

  async move(drift, verb, more, title) {
    const body = { request_id: newRequestId(), expected_revision: drift.revision, ...more };
    try {
      const answer = await post(`v1/drifts/${encodeURIComponent(drift.drift_id)}:${verb}`, body);
      if (this.open.has(drift.drift_id)) this.open.set(drift.drift_id, answer.drift);
      this.draw();
      done(title, titleOf(drift));
    } catch (error) {
      failed(`Not ${title.toLowerCase()}: ${titleOf(drift)}`, error);
    }
  }
}

const rank = (drift) => (drift.status === "DRIFT_STATUS_SNOOZED" ? 10 : 0) + severity(drift.severity).rank;

function wordsOf(drift) {
  return [drift.symbol, drift.asset, drift.venue, drift.account, titleOf(drift), severity(drift.severity).text, drift.summary].join(" ").toLowerCase();
}
