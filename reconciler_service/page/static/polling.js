// Asks again and again, but not while nobody looks.

import { ApiError } from "./api.js";

const LONGEST_MS = 8000;
const LATE_MS = 5000;

export class Polling {
  // `ask()` does the work; `onUp()` and `onDown(error)` tell how it went. `everyMs` counts from answer to question.
  constructor(everyMs, ask, { onUp, onDown }) {
    Object.assign(this, { everyMs, ask, onUp, onDown });
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
    addEventListener("online", () => this.now());
    this.run();
  }

  // Asks at once, or once more when it is asking already.
  now() {
    this.again = true;
    this.wake?.();
  }

  async run() {
    for (let failures = 0; ; ) {
      this.again = false;
      const began = performance.now();
      // A browser has six connections to a server, streams of other windows among them: an answer may hang for long.
      const late = setTimeout(() => this.onDown(new ApiError("The server does not answer.", "UNREACHABLE", 0)), LATE_MS);
      try {
        await this.ask();
        failures = 0;
        this.onUp();
      } catch (error) {
        failures += 1;
        this.onDown(error);
      } finally {
        clearTimeout(late);
      }
      // A server that needs long is asked less often.
      const pause = Math.min(this.everyMs * 2 ** Math.min(failures, 3), LONGEST_MS) + 2 * (performance.now() - began);
      if (!this.again) await this.pause(pause);
    }
  }

  pause(ms) {
    return new Promise((resolve) => {
      let timer;
      const look = () => (document.hidden ? (timer = setTimeout(look, ms)) : resolve());
      timer = setTimeout(look, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
