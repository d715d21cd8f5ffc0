// Server-sent events over fetch, for ever. EventSource could send no API key, and gives up for good on a 503.
//
// The page shows what is open, not what happened: after a break it asks for the state anew instead of resuming. That
// is right as well when another ledger answers, one whose revisions mean other things.

import { ApiError, credentials } from "./api.js";

const SILENCE_MS = 25000; // heartbeats come every 10 s: who says nothing for so long has gone
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 4000;

// Yields {event, data} of a response's body.
async function* eventsOf(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    alive();
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("data: ")) found.data += line.slice(6);
        else if (line.startsWith("event: ")) found.event = line.slice(7);
      }
      if (found.data) yield found;
    }
  }
}

export class Stream {
  // `onMessage(message)`, `onUp()` when it delivers, `onDown(error)` when it does not; it comes back by itself.
  // `onlySeen`: a page that nobody looks at gives the connection back, there are six for all pages of a browser.
  constructor(url, { onMessage, onUp, onDown, onlySeen = false }) {
    Object.assign(this, { url, onMessage, onUp, onDown, onlySeen });
    this.wait = FIRST_WAIT_MS;
    if (onlySeen) document.addEventListener("visibilitychange", () => this.restart());
    addEventListener("online", () => this.restart());
    this.run();
  }

  // Begins anew at once: with another key, or after a sleep.
  restart() {
    this.wait = FIRST_WAIT_MS;
    this.connection?.abort();
    this.wake?.();
  }

  get isUnseen() {
    return this.onlySeen && document.hidden;
  }

  async run() {
    for (;;) {
      while (this.isUnseen) await new Promise((resolve) => (this.wake = resolve));
      const error = await this.follow().then(
        () => new ApiError("The stream ended.", "UNREACHABLE", 0),
        (cause) => (cause instanceof ApiError ? cause : new ApiError("The server cannot be reached.", "UNREACHABLE", 0)),
      );
      if (!this.isUnseen) this.onDown(error);
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, this.wait * (0.75 + Math.random() / 2)); // not all pages of a desk at the same moment
      });
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    }
  }

  async follow() {
    const connection = (this.connection = new AbortController());
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => connection.abort(), SILENCE_MS);
    };
    alive();
    try {
      const headers = { Accept: "text/event-stream", ...credentials() };
      const response = await fetch(this.url, { headers, signal: connection.signal, cache: "no-store" });
      if (!response.ok) throw await ApiError.fromResponse(response);
      for await (const { event, data } of eventsOf(response.body, alive)) {
        const message = JSON.parse(data);
        if (event === "error") throw ApiError.fromStatus(message, 503);
        this.wait = FIRST_WAIT_MS;
        this.onUp();
        this.onMessage(message);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  }
}
