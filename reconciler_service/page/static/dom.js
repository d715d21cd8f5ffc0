// Makes and changes elements. Whatever comes from outside goes in as text, never as markup.

export const find = (id) => document.getElementById(id);

// make("td", {class: "number", "aria-label": "…"}, "text", element…)
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Only what differs is written: a screen reader or a selection is not disturbed by what stays the same.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (value === undefined || value === "") element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Rows by key: elements stay the same ones as long as their key does, so that focus and open details survive.
export class Keyed {
  constructor(parent, build) {
    this.parent = parent;
    this.build = build;
    this.rows = new Map();
  }

  // `update(row, item)` is told the row that `build(item)` made, an object with its `element`.
  draw(items, keyOf, update) {
    const wanted = new Set(items.map(keyOf));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let before = this.parent.firstElementChild;
    for (const item of items) {
      let row = this.rows.get(keyOf(item));
      if (!row) this.rows.set(keyOf(item), (row = this.build(item)));
      update(row, item);
      if (row.element === before) before = before.nextElementSibling;
      else this.parent.insertBefore(row.element, before);
    }
  }
}
