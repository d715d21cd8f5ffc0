// Whether what is shown is true now. One broken source makes the whole page say so.

import { words } from "./ages.js";
import { find, say } from "./dom.js";
import { failed } from "./notices.js";

const PATIENCE_MS = 700; // a source that comes back sooner was never away

export class Connection {
  constructor() {
    this.down = new Map(); // name -> {since, error}
    this.waiting = new Set();
    this.wasRefused = false;
    setInterval(() => this.draw(), 250);
  }

  // How a source of this name tells about itself.
  source(name) {
    this.waiting.add(name);
    return {
      onUp: () => {
        this.waiting.delete(name);
        if (this.down.delete(name)) this.draw();
      },
      onDown: (error) => {
        this.down.set(name, { since: this.down.get(name)?.since ?? Date.now(), error });
        if (!error.needsKey || this.wasRefused) return;
        this.wasRefused = true;
        failed("Not allowed", error);
      },
    };
  }

  keyChanged() {
    this.wasRefused = false;
  }

  draw() {
    const now = Date.now();
    const broken = [...this.down].filter(([, { since }]) => now - since > PATIENCE_MS);
    const refused = broken.some(([, { error }]) => error.needsKey);
    const state = refused ? "refused" : broken.length ? "broken" : this.waiting.size ? "connecting" : "live";
    const longest = Math.max(...broken.map(([, { since }]) => now - since));
    const text = {
      live: "Connected", // not "live": that word is for real venues
      connecting: "Connecting…",
      refused: "Needs an API key: see Settings",
      broken: `Reconnecting… (${broken.map(([name]) => name).join(", ")})`,
    }[state];
    const element = find("connection");
    element.dataset.state = document.body.dataset.connection = state;
    say(element.querySelector(".sign"), { live: "●", connecting: "◌", refused: "⚿", broken: "⚠" }[state]);
    say(element.querySelector(".words"), text);
    say(element.querySelector(".age"), state === "broken" ? `shown as of ${words(longest)} ago` : ""); // not read aloud
  }
}
