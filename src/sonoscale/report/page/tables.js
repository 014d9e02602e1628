// Tables sort by their heads, filter by a word, copy as CSV, Markdown and LaTeX, and select by their rows.
const SHOWN = 200;

function modelOf(table) {
  if (table.dataset.rows) {
    const found = page.grids[table.dataset.rows];
    const about = found.keys === "runs" ? runs : (found.keys || []).map(([run, config]) => ({ run, config }));
    return { heads: found.heads, rows: found.rows.map((cells, i) => ({
      run: about[i] && about[i].run, config: about[i] && about[i].config,
      cells: cells.map((cell) => (Array.isArray(cell) ? { text: cell[0], sort: cell[1] } : { text: cell, sort: cell })),
    })) };
  }
  const heads = all("thead th", table).map((head) => ({ head: head.textContent, kind: head.className }));
  const rows = all("tbody tr", table).map((row) => ({
    run: row.dataset.run, config: row.dataset.config,
    cells: Array.from(row.children).map((cell) => ({
      text: cell.textContent, strong: !!cell.querySelector("strong"),
      sort: heads[cell.cellIndex].kind === "number" ? (cell.dataset.sort === "" ? null : Number(cell.dataset.sort)) : cell.textContent,
    })),
  }));
  return { heads, rows };
}

function rowElement(row, heads) {
  const cells = row.cells.map((cell, i) => {
    const text = cell.strong ? make("strong", {}, cell.text) : document.createTextNode(cell.text);
    return make(i ? "td" : "th", { class: heads[i].kind || null, scope: i ? null : "row" }, text);
  });
  const behind = row.run || row.config ? runsBehind(row) : [];
  const on = behind.some((run) => selection.runs.has(run));
  return make("tr", { "data-run": row.run, "data-config": row.config, tabindex: behind.length ? 0 : null,
    "aria-selected": behind.length ? String(on) : null, class: selection.runs.size && behind.length && !on ? "dim" : null }, ...cells);
}

const asCsv = (rows) => rows.map((row) => row.map((text) => (/[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text)).join(",")).join("\n");
const asMarkdown = (rows) => {
  const line = (row) => "| " + row.map((text) => text.replace(/\|/g, "\\|")).join(" | ") + " |";
  return [line(rows[0]), "|" + rows[0].map(() => "---").join("|") + "|", ...rows.slice(1).map(line)].join("\n");
};
function asLatex(rows, heads) {
  const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--", "²": "$^2$", "×": "$\\times$" };
  const safe = (text) => text.replace(/[&%$#_{}]/g, "\\$&").replace(/[\\~^](?![&%$#_{}])|[−–²×]/g, (sign) => special[sign]);
  const line = (row) => row.map(safe).join(" & ") + " \\\\";
  return ["\\begin{tabular}{" + heads.map((one) => (one.kind === "number" ? "r" : "l")).join("") + "}", "\\toprule",
    line(rows[0]), "\\midrule", ...rows.slice(1).map(line), "\\bottomrule", "\\end{tabular}"].join("\n");
}

function startTable(holder) {
  const table = holder.querySelector("table");
  const model = modelOf(table);
  let order = model.rows.slice();
  let words = "";
  let shown = SHOWN;
  let onlyPicked = false;
  const heads = all("thead th button", table);
  const note = make("p", { class: "more" });
  const more = make("button", { type: "button", on: { click: () => { shown = Infinity; fill(); } } }, "show all");

  const matching = () => order.filter((row) => (!words || row.cells.some((cell) => String(cell.text).toLowerCase().includes(words))) &&
    (!onlyPicked || runsBehind(row).some((run) => selection.runs.has(run))));
  function fill() {
    const found = matching();
    table.tBodies[0].replaceChildren(...found.slice(0, shown).map((row) => rowElement(row, model.heads)));
    const hidden = found.length - Math.min(found.length, shown);
    note.replaceChildren(words || onlyPicked ? found.length + " of " + order.length + " rows match. " : "",
      hidden ? "The first " + shown + " of " + found.length + " rows are shown; " : "", hidden ? more : "");
  }
  function sort(event) {
    const head = event.currentTarget.closest("th");
    const column = head.cellIndex;
    const numeric = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const known = (value) => value !== null && value !== undefined && value !== "" && value === value;
    order.sort((a, b) => {
      const left = a.cells[column].sort, right = b.cells[column].sort;
      if (!known(left) || !known(right)) return (known(right) ? 1 : 0) - (known(left) ? 1 : 0); // unknown values stay last
      const found = typeof left === "number" && typeof right === "number" ? left - right
        : String(left).localeCompare(String(right), "en", { numeric: true });
      return descending ? -found : found;
    });
    fill();
  }
  heads.forEach((head) => head.addEventListener("click", sort));
  const texts = () => [model.heads.map((one) => one.head), ...matching().map((row) => row.cells.map((cell) => String(cell.text)))];
  const button = (label, act, title) => make("button", { type: "button", title, on: { click: (event) => copy(act(), event.currentTarget) } }, label);
  const bar = make("div", { class: "tablebar" });
  if (model.rows.length > 5) {
    bar.append(make("input", { type: "search", placeholder: "filter rows", "aria-label": "Filter rows of: " + table.caption.textContent,
      on: { input: (event) => { words = event.currentTarget.value.trim().toLowerCase(); fill(); } } }));
  }
  if (model.rows.some((row) => row.run || row.config)) {
    bar.append(make("label", {}, make("input", { type: "checkbox", on: { change: (event) => { onlyPicked = event.currentTarget.checked; fill(); } } }), " selected only"));
  }
  bar.append(make("span", { class: "copies" }, "copy as ", button("CSV", () => asCsv(texts())), button("Markdown", () => asMarkdown(texts())),
    button("LaTeX", () => asLatex(texts(), model.heads), "for the booktabs package")));
  holder.before(bar);
  holder.after(note);
  const select = (event) => {
    const row = event.target.closest("tbody tr");
    if (!row || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    const behind = runsBehind(row.dataset);
    if (!behind.length) return;
    event.preventDefault();
    const add = event.shiftKey || event.ctrlKey || event.metaKey;
    const same = !add && behind.length === selection.runs.size && behind.every((run) => selection.runs.has(run));
    selection.set(same ? [] : behind, "table", add);
  };
  table.addEventListener("click", select);
  table.addEventListener("keydown", select);
  selection.watchers.push(() => {
    if (onlyPicked) return fill();
    for (const row of table.tBodies[0].rows) {
      if (row.tabIndex < 0) continue;
      const on = runsBehind(row.dataset).some((run) => selection.runs.has(run));
      row.setAttribute("aria-selected", String(on));
      row.classList.toggle("dim", selection.runs.size > 0 && !on);
    }
  });
  if (table.dataset.rows) fill();
}

function startTables() { all(".scroll").forEach(startTable); }
