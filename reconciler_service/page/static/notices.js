// What the page says beside itself: messages that stay until they were read, and words for screen readers.

import { find, make } from "./dom.js";

const MOST = 4;
const READ_MS = 6000;

function notice(kind, title, text) {
  const box = find("notices");
  const close = make("button", { type: "button", "aria-label": `Close: ${title}`, click: () => element.remove() }, "✕");
  const sign = make("span", { class: "sign", "aria-hidden": "true" }, kind === "error" ? "✖" : "✔");
  const element = make("div", { class: `notice ${kind}` }, sign, make("div", {}, make("strong", {}, title), make("p", {}, text)), close);
  box.append(element);
  while (box.children.length > MOST) box.firstElementChild.remove();
  return element;
}

// An error stays until it is closed: it says what to do.
export function failed(title, error) {
  notice("error", title, [error.message, error.advice].filter(Boolean).join(" "));
}

export function done(title, text) {
  const element = notice("done", title, text);
  setTimeout(() => element.remove(), READ_MS);
}

export function announce(text) {
  find("announcer").textContent = text;
}
