"use strict";
// What the page knows: its data, what is selected, and small helpers. Text from data is only ever set as text.
const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const all = (css, root) => Array.from((root || document).querySelectorAll(css));
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Rows out of columns: a column is a list, or {d: distinct values, i: which of them}; `join` are columns that a row
// takes from the encoder that it is about.
const rowsOf = (() => {
  const made = new Map();
  function decode(name) {
    const table = page.tables[name];
    const columns = Object.entries(table.columns).map(([key, column]) =>
      [key, Array.isArray(column) ? column : column.i.map((at) => (at < 0 ? null : column.d[at]))]);
    const rows = [];
    for (let i = 0; i < table.n; i++) {
      const row = {};
      for (const [key, column] of columns) if (column[i] !== null) row[key] = column[i];
      rows.push(row);
    }
    if (table.join) {
      const about = new Map();
      for (const one of rowsOf("encoders")) about.set(table.join.by === "run" ? one.run : one.config, one);
      for (const row of rows) {
        const one = about.get(row[table.join.by]);
        if (one) for (const key of table.join.keys) if (one[key] !== undefined) row[key] = one[key];
      }
    }
    return rows;
  }
  const get = (name) => {
    if (!made.has(name)) made.set(name, page.tables[name] ? decode(name) : []);
    return made.get(name);
  };
  get.put = (name, rows) => made.set(name, rows);
  return get;
})();

const runs = rowsOf("encoders").filter((row) => row.of === "run");
const runsOf = new Map();
const aboutRun = new Map();
for (const row of runs) {
  if (!runsOf.has(row.config)) runsOf.set(row.config, new Set());
  runsOf.get(row.config).add(row.run);
  aboutRun.set(row.run, row);
}

// The runs that are selected, the same in every chart and table.
const selection = {
  runs: new Set(), from: null, watchers: [],
  set(found, from, add) {
    const wanted = new Set(add ? this.runs : []);
    const every = add && Array.from(found).every((run) => wanted.has(run));
    for (const run of found) every ? wanted.delete(run) : wanted.add(run);
    if (wanted.size === this.runs.size && Array.from(wanted).every((run) => this.runs.has(run))) return;
    this.runs = wanted;
    this.from = from || null;
    this.watchers.forEach((watcher) => watcher());
  },
  // Run and configuration -> true; null while nothing is selected.
  get picked() {
    if (!this.runs.size) return null;
    const found = {};
    for (const run of this.runs) {
      found[run] = true;
      found[aboutRun.get(run).config] = true;
    }
    return found;
  },
};

function runsBehind(datum) {
  if (datum.run) return aboutRun.has(datum.run) ? [datum.run] : [];
  return datum.config && runsOf.has(datum.config) ? Array.from(runsOf.get(datum.config)) : [];
}

const folderOf = (run) => (page.folder ? page.folder + "/runs/" + run : "runs/" + run);

function say(text) {
  const line = byId("live");
  if (line) line.textContent = text;
}

async function copy(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch (error) {
    const area = make("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  window.copied = text;
  if (!button) return;
  const before = button.dataset.label || button.textContent;
  button.dataset.label = before;
  button.textContent = done ? "copied" : "not copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}

function selectionBar() {
  const bar = byId("selected");
  if (!bar) return;
  const count = selection.runs.size;
  bar.hidden = !count;
  if (!count) return say("Nothing is selected.");
  const configurations = new Set(Array.from(selection.runs, (run) => aboutRun.get(run).config));
  const words = count + (count === 1 ? " run" : " runs") + " of " + configurations.size +
    (configurations.size === 1 ? " configuration" : " configurations");
  byId("selected-count").textContent = words;
  const listed = Array.from(selection.runs).slice(0, 6).map((run) => {
    const row = aboutRun.get(run);
    return make("li", {}, make("b", {}, String(row.label)), " seed " + row.seed + " ", make("code", {}, folderOf(run)));
  });
  byId("selected-runs").replaceChildren(...listed);
  if (count > 6) byId("selected-runs").append(make("li", {}, "and " + (count - 6) + " more"));
  say(words + " selected.");
}
selection.watchers.push(selectionBar);
