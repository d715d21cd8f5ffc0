// Renders openapi.json, and sends requests. Everything goes into the page as text, never as markup.
"use strict";

const find = (id) => document.getElementById(id);

function make(tag, content, ...children) {
  const element = document.createElement(tag);
  if (typeof content === "string") element.textContent = content;
  else Object.assign(element, content);
  element.append(...children);
  return element;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split(".").pop();
  if (schema.type === "array") return `${typeOf(schema.items)}[]`;
  if (schema.additionalProperties) return `{string: ${typeOf(schema.additionalProperties)}}`;
  return schema.format || schema.type || "any";
}

function fieldsOf(api, schema) {
  const name = schema?.$ref?.replace("#/components/schemas/", "");
  const rows = Object.entries(api.components.schemas[name]?.properties || {}).map(([field, inner]) =>
    make("tr", {}, make("td", field), make("td", typeOf(inner)), make("td", { className: "text", textContent: inner.description || "" })));
  return rows.length ? make("table", {}, ...rows) : make("p", "Nothing.");
}

async function send(verb, path, parameters, body, output) {
  const query = new URLSearchParams();
  for (const { name, where, input } of parameters) {
    if (where === "path") path = path.replace(`{${name}}`, input.value.split("/").map(encodeURIComponent).join("/"));
    else if (input.value) query.append(name, input.value);
  }
  const headers = find("key").value ? { "X-API-Key": find("key").value } : {};
  const options = { method: verb, headers };
  if (body?.value.trim()) {
    options.body = body.value;
    headers["Content-Type"] = "application/json";
  }
  const leaving = new AbortController();
  options.signal = leaving.signal;
  setTimeout(() => leaving.abort(), 30000); // a stream is shown for half a minute
  const url = path.slice(1) + (query.size ? `?${query}` : "");
  output.textContent = `${verb} /${url}\n`;
  try {
    const response = await fetch(url, options);
    output.textContent += `${response.status} ${response.statusText}\n\n`;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) output.textContent += part.value;
  } catch (error) {
    output.textContent += `\n${error.name === "AbortError" ? "left after 30 s" : error.message}`;
  }
}

function operationOf(api, verb, path, operation) {
  const output = make("pre", { hidden: true });
  const parameters = operation.parameters.map((one) => ({ ...one, where: one.in, input: make("input", { placeholder: typeOf(one.schema) }) }));
  const rows = parameters.map((one) =>
    make("tr", {}, make("td", one.name + (one.required ? " *" : "")), make("td", {}, one.input), make("td", { className: "text", textContent: one.description })));
  const body = operation.requestBody && make("textarea", { rows: 3, cols: 60, placeholder: "{ JSON }" });
  const button = make("button", { textContent: "Send", onclick: () => { output.hidden = false; send(verb, path, parameters, body, output); } });
  const answer = Object.values(operation.responses["200"].content)[0].schema;
  const inside = make("div", {}, make("p", { className: "text", textContent: operation.description }),
    make("table", {}, ...rows), ...(body ? [body, document.createElement("br")] : []), button, output, make("h4", "Answer"), fieldsOf(api, answer));
  const details = make("details", {}, make("summary", {}, make("b", verb), ` ${path} `, make("small", operation.summary)), inside);
  details.dataset.words = `${verb} ${path} ${operation.description}`.toLowerCase();
  return details;
}

async function main() {
  const api = await (await fetch("openapi.json")).json();
  document.title = find("title").textContent = api.info.title;
  for (const tag of api.tags) {
    const section = make("section", {}, make("h2", tag.name), make("p", { className: "text", textContent: tag.description }));
    for (const [path, verbs] of Object.entries(api.paths))
      for (const [verb, operation] of Object.entries(verbs))
        if (operation.tags[0] === tag.name) section.append(operationOf(api, verb.toUpperCase(), path, operation));
    find("operations").append(section);
  }
  find("filter").oninput = (event) => {
    for (const one of document.querySelectorAll("details")) one.hidden = !one.dataset.words.includes(event.target.value.toLowerCase());
  };
}

main().catch((error) => find("operations").append(make("p", `openapi.json cannot be read: ${error.message}`)));
