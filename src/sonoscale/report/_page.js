"use strict";
(function () {
  const plots = Array.from(document.querySelectorAll(".plot"));
  const hidden = new Map(); // figure element -> set of hidden groups
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  function themed(text) {
    const light = printing || !dark.matches;
    const ink = light ? "#1f2933" : "#e4e8ec";
    const grid = light ? "#e8ecf0" : "#2b333b";
    const frame = light ? "#52606d" : "#8b98a5";
    const figure = JSON.parse(text);
    const rgb = [1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16)).join(",");
    for (const trace of figure.data) {
      if (!trace.meta.ink) continue;
      if (trace.fillcolor) trace.fillcolor = "rgba(" + rgb + "," + trace.meta.alpha + ")";
      if (trace.line) trace.line.color = ink;
      if (trace.marker) trace.marker.color = ink;
      if (trace.error_x) trace.error_x.color = "rgba(" + rgb + ",0.45)";
    }
    figure.layout.font.color = ink;
    figure.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: frame, activecolor: ink };
    figure.layout.hoverlabel = Object.assign(figure.layout.hoverlabel || {}, {
      bgcolor: light ? "#ffffff" : "#1c2228", font: Object.assign({}, figure.layout.hoverlabel.font, { color: ink }),
    });
    for (const axis of [figure.layout.xaxis, figure.layout.yaxis]) {
      Object.assign(axis, { gridcolor: grid, linecolor: frame, tickcolor: frame, showgrid: true });
    }
    return figure;
  }

  function draw(plot, width) {
    const figure = themed(plot.nextElementSibling.textContent);
    const off = hidden.get(plot.closest("figure"));
    for (const trace of figure.data) trace.visible = !trace.meta.groups.some((group) => off && off.has(group));
    if (width) Object.assign(figure.layout, { width: width, autosize: false });
    return Plotly.react(plot, figure.data, figure.layout, {
      responsive: true, displaylogo: false, plotlyServerURL: "",
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      toImageButtonOptions: { filename: plot.id, scale: 2 },
    });
  }

  function drawAll() { plots.forEach((plot) => draw(plot)); }

  function toggle(event) {
    const button = event.currentTarget;
    const figure = button.closest("figure");
    const off = hidden.get(figure) || new Set();
    hidden.set(figure, off);
    const shown = off.delete(button.dataset.group);
    if (!shown) off.add(button.dataset.group);
    for (const twin of figure.querySelectorAll(".legend button")) {
      if (twin.dataset.group === button.dataset.group) twin.setAttribute("aria-pressed", String(shown));
    }
    plots.filter((plot) => figure.contains(plot)).forEach((plot) => draw(plot));
  }

  function sort(event) {
    const head = event.currentTarget.closest("th");
    const table = head.closest("table");
    const column = Array.from(head.parentNode.children).indexOf(head);
    const numeric = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.children[column].dataset.sort;
    const compare = (a, b) => {
      const left = key(a), right = key(b);
      if (left === "" || right === "") return (left === "") - (right === ""); // unknown values stay last
      const order = numeric ? Number(left) - Number(right) : left.localeCompare(right, "en", { numeric: true });
      return descending ? -order : order;
    };
    const body = table.tBodies[0];
    Array.from(body.rows).sort(compare).forEach((row) => body.appendChild(row));
  }

  document.querySelectorAll(".legend button").forEach((button) => button.addEventListener("click", toggle));
  document.querySelectorAll(".sortable thead button").forEach((button) => button.addEventListener("click", sort));
  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => {
    printing = true;
    plots.forEach((plot) => draw(plot, plot.closest(".columns-1") ? 680 : 330));
  });
  window.addEventListener("afterprint", () => { printing = false; drawAll(); });
  drawAll();
})();
