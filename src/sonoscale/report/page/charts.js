// Charts: drawn when they come into sight, redrawn for another theme, width or variable; every one selects, and shows
// what is selected elsewhere.
const variables = new Map((page.variables || []).map((one) => [one.key, one]));
const chosen = { ...(page.chosen || {}), facet: "" };
const views = new Map(); // chart element -> {view, spec}
let printing = false;

const copyOf = (value) => JSON.parse(JSON.stringify(value));

function* units(spec) {
  if (spec.spec) yield* units(spec.spec);
  else if (spec.layer) for (const layer of spec.layer) yield* units(layer);
  else yield spec;
}

// The specification with other variables in the place of those that it was written with.
function retarget(spec, controls) {
  const at = page.chosen;
  if (!at || !controls.length) return spec;
  const now = (name) => (controls.includes(name) ? chosen[name] : at[name]);
  const x = variables.get(now("x")), y = variables.get(now("y")), colour = variables.get(now("colour"));
  const curves = rowsOf("curves").some((row) => x && row.xname === x.column) && now("y") === "quality";
  const drop = (unit) => {
    const from = unit.data && unit.data.name;
    if (from === "curves" && controls.includes("x")) {
      if (!curves) return true;
      const mine = rowsOf("curves").filter((row) => row.xname === x.column), style = unit.mark.style;
      return !mine.some((row) => (style === "band" ? row.low !== undefined : row.best === (style === "law")));
    }
    const field = unit.encoding && unit.encoding.x && unit.encoding.x.field;
    return controls.includes("x") && field === at.x + "_low" && !(x.ends);
  };
  if (spec.layer) spec.layer = spec.layer.filter((unit) => !drop(unit));
  for (const unit of units(spec)) {
    const encoding = unit.encoding || {};
    for (const one of unit.transform || []) {
      if (controls.includes("x") && one.filter && one.filter.field === "xname") one.filter.equal = x.column;
    }
    for (const channel of Object.keys(encoding)) {
      const one = encoding[channel];
      if (channel === "tooltip" && Array.isArray(one)) {
        for (const tip of one) {
          for (const [name, variable] of [["x", x], ["y", y]]) {
            if (controls.includes(name) && tip.field === at[name]) {
              tip.field = variable.key;
              tip.title = variable.title;
              if (variable.kind === "word") { tip.type = "nominal"; delete tip.format; }
            }
          }
        }
        continue;
      }
      if (!one || !one.field) continue;
      const axis = channel[0];
      for (const [name, variable] of [["x", x], ["y", y]]) {
        if (axis !== name || !controls.includes(name) || !variable) continue;
        if (one.field === at[name]) encoding[channel] = copyOf(variable[name]);
        else if (one.field === at[name] + "_low") one.field = variable.key + "_low";
        else if (one.field === at[name] + "_high") one.field = variable.key + "_high";
        else if (unit.data && unit.data.name === "curves" && channel === "x") {
          encoding.x = { ...copyOf(variable.x), field: "x" };
        }
      }
      if (controls.includes("colour") && colour && one.field === at.colour && ["color", "shape", "strokeDash"].includes(channel)) {
        const hidden = one.legend === null;
        const next = channel === "color" ? colour.colour : channel === "shape" ? colour.shape : colour.dash;
        if (!next) delete encoding[channel];
        else encoding[channel] = { ...copyOf(next), ...(hidden ? { legend: null } : {}) };
      }
    }
  }
  const facet = controls.includes("facet") && variables.get(chosen.facet);
  if (!facet) return spec;
  const { data, params, ...inner } = spec;
  for (const unit of units(inner)) if (unit.data && data && unit.data.name === data.name) delete unit.data;
  return {
    data, params,
    facet: { field: facet.key, type: facet.kind === "word" ? "nominal" : "ordinal", title: facet.title, sort: "ascending" },
    columns: 3, spec: inner,
  };
}

function sized(spec, element) {
  const width = Math.max(printing ? 640 : element.clientWidth, 200);
  const height = Number(element.dataset.height);
  if (spec.facet) {
    const columns = width > 900 ? 3 : width > 560 ? 2 : 1;
    spec.columns = columns;
    spec.spec.width = Math.floor(width / columns) - 58;
    spec.spec.height = Math.min(height * 0.6, 260);
    return legends(spec, width - 20);
  }
  spec.width = width - 8;
  spec.autosize = { type: "fit-x", contains: "padding" };
  spec.height = height;
  return legends(spec, width - 70);
}

// Legends have so many columns as there is room for: counted here, since a drawing that fits itself counts too late.
function legends(value, width) {
  if (Array.isArray(value)) return value.map((one) => legends(one, width));
  if (!value || typeof value !== "object") return value;
  const match = typeof value.expr === "string" && /^max\(1, floor\(width \/ (\d+)\)\)$/.exec(value.expr);
  if (match) return Math.max(1, Math.floor(width / Number(match[1])));
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, legends(one, width)]));
}

function namesIn(spec, found) {
  if (spec && typeof spec === "object") {
    if (spec.data && spec.data.name) found.add(spec.data.name);
    Object.values(spec).forEach((one) => namesIn(one, found));
  }
  return found;
}

function tooltip(handler, event, item, value) {
  const box = byId("tooltip");
  if (!value || !item || !item.datum || item.opacity === 0) { box.hidden = true; return; }
  const list = make("dl", {});
  for (const [name, text] of Object.entries(value)) list.append(make("dt", {}, name), make("dd", {}, String(text)));
  const found = runsBehind(item.datum);
  for (const run of found.slice(0, 3)) list.append(make("dt", {}, "run"), make("dd", {}, make("code", {}, folderOf(run))));
  if (found.length > 3) list.append(make("dt", {}, ""), make("dd", {}, "and " + (found.length - 3) + " more runs"));
  if (found.length && page.command) list.append(make("dt", {}, "command"), make("dd", {}, make("code", {}, page.command)));
  box.replaceChildren(list);
  box.hidden = false;
  const room = document.documentElement.clientWidth;
  const left = Math.min(event.clientX + 14, room - box.offsetWidth - 8);
  const above = event.clientY + box.offsetHeight + 20 > window.innerHeight;
  box.style.left = Math.max(8, left) + "px";
  box.style.top = (above ? event.clientY - box.offsetHeight - 12 : event.clientY + 16) + "px";
}

function brushed(element, name, value) {
  const fields = Object.entries(value || {});
  if (!fields.length) {
    if (selection.from === "brush of " + element.id) selection.set([], null);
    return;
  }
  const found = [];
  for (const row of rowsOf(name)) {
    const inside = fields.every(([field, ends]) => {
      const at = row[field];
      return typeof at === "number" && ends.length === 2 && typeof ends[0] === "number"
        ? at >= Math.min(...ends) && at <= Math.max(...ends) : ends.includes(at);
    });
    if (inside) found.push(...runsBehind(row));
  }
  selection.set(found, "brush of " + element.id);
}

async function draw(element) {
  if (element.dataset.busy) { element.dataset.again = "1"; return; }
  element.dataset.busy = "1";
  const controls = (element.dataset.controls || "").split(" ").filter(Boolean);
  const spec = sized(retarget(copyOf(page.charts[element.id]), controls), element);
  spec.datasets = {};
  for (const name of namesIn(spec, new Set())) spec.datasets[name] = rowsOf(name).map((row) => ({ ...row }));
  for (const parameter of spec.params) if (parameter.name === "picked") parameter.value = selection.picked;
  const marks = Object.values(spec.datasets).reduce((sum, rows) => sum + rows.length, 0);
  const old = views.get(element);
  const stage = make("div", { class: "stage" });
  try {
    const made = await vegaEmbed(stage, spec, {
      mode: "vega-lite", actions: false, ast: true, renderer: marks > 4000 ? "canvas" : "svg", tooltip,
      config: page.themes[dark.matches && !printing ? "dark" : "light"],
    });
    if (old) old.finalize();
    element.replaceChildren(stage);
    views.set(element, made);
    all("svg, canvas", stage).forEach((one) => one.setAttribute("aria-hidden", "true"));
    connect(element, made.view, spec);
    element.dataset.drawn = "1";
  } catch (error) {
    element.textContent = "This chart could not be drawn.";
    console.error(element.id, error);
  }
  delete element.dataset.busy;
  if (element.dataset.again) { delete element.dataset.again; draw(element); }
}

function connect(element, view, spec) {
  let dragged = false;
  let wait = 0;
  try {
    view.addSignalListener("brush", (name, value) => {
      dragged = Object.keys(value || {}).length > 0;
      clearTimeout(wait);
      wait = setTimeout(() => brushed(element, spec.data ? spec.data.name : element.dataset.brush, value), 60);
    });
  } catch (error) { /* this chart has no brush */ }
  view.addEventListener("click", (event, found) => {
    if (dragged) return;
    const item = found && found.opacity === 0 ? null : found; // what cannot be seen is not there
    const add = event.shiftKey || event.ctrlKey || event.metaKey;
    const role = (item && item.mark && item.mark.role) || "";
    if (role.startsWith("legend") && item.datum && chosen.colour) {
      const found = runs.filter((row) => String(row[chosen.colour]) === String(item.datum.value));
      if (found.length) return selection.set(found.map((row) => row.run), element.id, add);
    }
    const behind = item && item.datum ? runsBehind(item.datum) : [];
    if (behind.length) selection.set(behind, element.id, add);
    else if (selection.runs.size && !add) selection.set([], null);
  });
}

function showPicked() {
  for (const [element, made] of views) {
    made.view.signal("picked", selection.picked).runAsync();
  }
}
selection.watchers.push(showPicked);

// With the keyboard: arrows go through the configurations of a chart in the order of its axis, Escape clears.
function walk(event) {
  const element = event.currentTarget;
  if (event.key === "Escape") return selection.set([], null);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || !page.chosen) return;
  event.preventDefault();
  const key = (element.dataset.controls || "").includes("x") ? chosen.x : page.chosen.x;
  const rows = rowsOf("encoders").filter((row) => row.of === "configuration" && row.final)
    .sort((a, b) => (a[key] > b[key] ? 1 : a[key] < b[key] ? -1 : 0));
  if (!rows.length) return;
  const at = (Number(element.dataset.at || (step > 0 ? -1 : rows.length)) + step + rows.length) % rows.length;
  element.dataset.at = at;
  const row = rows[at];
  selection.set(runsBehind(row), element.id);
  const named = (name) => (variables.get(name) ? variables.get(name).title + " " + row[name] : "");
  say([row.label, named(key), named("quality"), row.n + " seeds"].join(", "));
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting && !entry.target.dataset.drawn && !entry.target.dataset.busy) draw(entry.target);
  }
}, { rootMargin: "300px 0px" });

function redraw(which) {
  for (const element of views.keys()) if (!which || which(element)) draw(element);
}

function startCharts() {
  for (const element of all(".chart")) {
    element.addEventListener("keydown", walk);
    if (!element.id.startsWith("planner-curve")) seen.observe(element); // that one waits for the planner's rows
  }
  for (const control of all("[data-choose]")) {
    control.addEventListener("change", () => {
      const name = control.dataset.choose;
      chosen[name] = control.value;
      all(`[data-choose="${name}"]`).forEach((other) => { other.value = control.value; });
      redraw((element) => (element.dataset.controls || "").split(" ").includes(name));
    });
  }
  dark.addEventListener("change", () => redraw());
  let wait = 0, width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(wait);
    wait = setTimeout(() => redraw(), 150);
  });
  window.addEventListener("beforeprint", () => { printing = true; all(".chart").forEach((one) => draw(one)); });
  window.addEventListener("afterprint", () => { printing = false; redraw(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") selection.set([], null); });
  const clear = byId("clear");
  if (clear) clear.addEventListener("click", () => selection.set([], null));
  const ids = byId("copy-runs");
  if (ids) ids.addEventListener("click", () => copy(Array.from(selection.runs, folderOf).join("\n"), ids));
}
