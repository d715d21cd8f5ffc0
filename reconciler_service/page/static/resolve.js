// The dialog that resolves a case: choose how, see what it would change, say why, confirm.

import { newRequestId, post } from "./api.js";
import { corrections, titleOf } from "./case.js";
import { grouped, isDecimal, prose } from "./decimal.js";
import { find, make, say } from "./dom.js";
import { done, failed } from "./notices.js";

const ACTIONS = [
  { name: "APPLY_FILLS", text: "Apply the fills", more: "books the fills that never arrived: the realised PnL is true", verb: "Apply to the book" },
  { name: "ADOPT_VENUE", text: "Adopt the venue", more: "makes the book say what the venue says", verb: "Apply to the book" },
  { name: "KEEP_LOCAL", text: "Keep the book", more: "the venue is to be mended; the case stays, acknowledged", verb: "Keep the book" },
  { name: "DISMISS", text: "Dismiss", more: "ends the case; what is still wrong in the next run is a new one", verb: "Dismiss the case" },
];

export class ResolveDialog {
  // `current(id)` returns the case as it stands now, undefined when it has ended.
  constructor(current) {
    this.current = current;
    this.dialog = find("resolve");
    this.asked = 0;
    this.radios = ACTIONS.map(({ name, text, more }) => {
      const radio = make("input", { type: "radio", name: "action", value: name, change: () => this.preview() });
      find("resolve-actions").append(make("label", {}, radio, make("span", {}, make("b", {}, text), ` ${more}`)));
      return radio;
    });
    find("resolve-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.confirm();
    });
    // A click beside the dialog is no answer: a reason that was typed would be lost.
    this.dialog.addEventListener("close", () => {
      const focused = document.activeElement; // until it is painted, one that cannot be seen any more
      if (focused === document.body || this.dialog.contains(focused)) find("drifts-title").focus(); // its card has gone
    });
  }

  show(drift) {
    this.drift = drift;
    say(find("resolve-title"), `Resolve ${titleOf(drift)}`);
    say(find("resolve-summary"), prose(drift.summary));
    find("resolve-reason").value = "";
    const first = suggested(drift);
    for (const radio of this.radios) radio.checked = radio.value === first;
    this.dialog.showModal();
    this.radios.find((radio) => radio.checked).focus();
    this.preview();
  }

  get action() {
    const name = this.radios.find((radio) => radio.checked).value;
    return ACTIONS.find((one) => one.name === name);
  }

  // The stream has moved on: what is shown is asked anew when the case has changed.
  refresh() {
    if (!this.dialog.open || this.isSending) return;
    const now = this.current(this.drift.drift_id);
    if (!now) return this.tell("This case has ended meanwhile. There is nothing left to resolve.");
    if (now.revision === this.drift.revision) return undefined;
    this.drift = now;
    say(find("resolve-summary"), prose(now.summary));
    return this.preview("The case has changed meanwhile; this is how it stands now.");
  }

  ask(more) {
    const body = { action: `RESOLVE_ACTION_${this.action.name}`, expected_revision: this.drift.revision, ...more };
    return post(`v1/drifts/${encodeURIComponent(this.drift.drift_id)}:resolve`, body);
  }

  tell(...words) {
    this.ready(false);
    find("resolve-preview").replaceChildren(...words.filter(Boolean).map((text) => make("p", {}, text)));
  }

  ready(isReady) {
    find("resolve-confirm").disabled = !isReady;
    say(find("resolve-confirm"), this.action.verb);
  }

  async preview(note = "") {
    const asked = (this.asked += 1);
    this.requestId = newRequestId(); // what is confirmed is this preview, however often it has to be sent
    this.tell(note, "Asking what would change…");
    let answer;
    try {
      answer = await this.ask({ dry_run: true });
    } catch (error) {
      if (asked === this.asked) this.tell(note, `✖ ${error.message}`, error.advice);
      return;
    }
    if (asked !== this.asked) return;
    const parts = [];
    if (note) parts.push(make("p", {}, note));
    if (answer.correction.length) parts.push(corrections(answer.correction));
    else parts.push(make("p", {}, "Nothing in the book is changed."));
    if (answer.estimated) parts.push(make("p", { class: "warn" }, estimate(answer.assumed_price)));
    find("resolve-preview").replaceChildren(...parts);
    this.ready(true);
  }

  async confirm() {
    const { drift, action } = this;
    this.isSending = true;
    this.ready(false);
    say(find("resolve-confirm"), "Sending…");
    try {
      await this.ask({ reason: find("resolve-reason").value.trim(), request_id: this.requestId });
      this.dialog.close();
      done(`${action.text}: done`, titleOf(drift));
    } catch (error) {
      this.ready(true);
      if (error.reason === "STALE_REVISION") this.tell(`✖ ${error.message}`, error.advice);
      failed(`Not resolved: ${titleOf(drift)}`, error);
    } finally {
      this.isSending = false;
      this.refresh();
    }
  }
}

function estimate(at) {
  return `◆ It is an estimate${isDecimal(at) ? ` at an assumed price of ${grouped(at)}` : ""}: not by fills.`;
}

// The true PnL where there are fills; what else there is otherwise.
function suggested(drift) {
  const kinds = new Set((drift.explanation?.evidence || []).map((one) => one.kind));
  if (kinds.has("fill") || kinds.has("liquidation")) return "APPLY_FILLS";
  return ["DRIFT_KIND_ALLOCATION", "DRIFT_KIND_EQUITY"].includes(drift.kind) ? "KEEP_LOCAL" : "ADOPT_VENUE";
}
