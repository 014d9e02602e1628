// The planner: for any budget the plan that `sonoscale plan` makes, from the fitted law, its resamples and the costs.
const numbersOf = (text) => new Float64Array(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);
const quantile = (sorted, q) => {
  const at = q * (sorted.length - 1), low = Math.floor(at), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
};
const sortedOf = (values) => Float64Array.from(values).sort();
const sum = (beta, row) => row.reduce((total, one, i) => total + one * beta[i], 0);

// The best design, by a log-linear law.
function designPlanner(plan) {
  const beta = numbersOf(plan.beta), moved = numbersOf(plan.moved), errors = numbersOf(plan.errors);
  const P = beta.length, R = errors.length, tail = 0.5 * (1 - plan.level);
  const costs = Object.fromEntries(Object.entries(plan.costs).map(([name, one]) => [name, { grown: one.grown, values: numbersOf(one.values) }]));
  const shapeNames = Object.keys(plan.shapes), names = Object.keys(plan.variables);
  const size = shapeNames.length ? plan.shapes[shapeNames[0]].length : 1;
  const least = plan.known[0], sign = plan.higher_is_better ? 1 : -1;
  const back = { logit: (z) => 0.5 * (1 + Math.tanh(0.5 * z)), log: (z) => Math.exp(Math.min(z, 700)), linear: (z) => z }[plan.scale];
  const keyOf = (design) => shapeNames.map((name) => design[name]).join("\u0000");
  const placeOf = new Map();
  for (let i = 0; i < size; i++) placeOf.set(shapeNames.map((name) => plan.shapes[name][i]).join("\u0000"), i);

  const rowOf = (design) => [1, ...plan.terms.map((term) => term.reduce((product, [column, kind, level]) => product *
    (kind === "level" ? Number(design[column] === level) : kind === "log" ? Math.log(design[column]) : design[column]), 1))];
  const designOf = (shape, amount) => {
    const design = {};
    for (const name of names) design[name] = name === plan.amount ? amount : plan.shapes[name][shape];
    return design;
  };
  const costsOf = (shape, amount) => Object.fromEntries(Object.entries(costs).map(([name, one]) =>
    [name, one.grown ? one.values[shape] * (amount / least) : one.values[shape]]));
  const valueOf = (candidate, name) => (name in candidate.costs ? candidate.costs[name] : candidate.design[name]);

  // What is expected of rows less that of the one at `at`, with its interval, on the scale of the law.
  function differences(rows, at) {
    const centre = rows.map((row) => sum(beta, row));
    return rows.map((row, i) => {
      const draws = new Float64Array(R);
      for (let r = 0; r < R; r++) {
        let total = 0;
        for (let p = 0; p < P; p++) total += (row[p] - rows[at][p]) * moved[r * P + p];
        draws[r] = total;
      }
      draws.sort();
      const off = centre[i] - centre[at];
      return { off, low: off + quantile(draws, tail), high: off + quantile(draws, 1 - tail) };
    });
  }
  const tied = (one) => (one.low <= 0 && one.high >= 0) || Math.abs(one.off) < plan.floor;

  function candidatesFor(limits) {
    const found = [];
    for (let i = 0; i < size; i++) {
      let most = plan.amount in limits ? limits[plan.amount] : Infinity;
      for (const [name, cap] of Object.entries(limits)) {
        if (costs[name] && name !== plan.amount && costs[name].grown) most = Math.min(most, cap * least / costs[name].values[i]);
      }
      if (plan.whole && most !== Infinity) most = Math.floor(most * (1 + 1e-12));
      let tried = plan.known.filter((one) => one <= most);
      if (!tried.length) tried = [least];
      if (most === Infinity) tried.push(plan.beyond);
      else if (most > least) tried.push(most);
      for (const amount of Array.from(new Set(tried)).sort((a, b) => a - b)) {
        const spent = costsOf(i, amount);
        if (Object.values(spent).every(Number.isFinite)) found.push({ shape: i, amount, design: designOf(i, amount), costs: spent });
      }
    }
    return found;
  }

  function settle(best, candidates, limits) {
    let now = { ...best.design };
    let bases = plan.silent.filter((name) => name !== plan.amount && plan.variables[name].base !== null);
    const kept = candidates.filter((one) => bases.every((name) => one.design[name] === plan.variables[name].base));
    if (bases.length && kept.length) {
      let first = kept[0];
      for (const one of kept) if (sign * (one.centre - first.centre) > 0) first = one;
      now = { ...first.design };
    } else bases = [];
    for (const name of plan.silent.filter((one) => !bases.includes(one))) {
      let values = Array.from(new Set(candidates.map((one) => one.design[name]))).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      if (name === plan.amount) values = values.filter((one) => one <= now[name]);
      const rows = values.map((value) => ({ ...now, [name]: value }));
      const apart = differences(rows.map(rowOf), values.indexOf(now[name]));
      const spent = rows.map((row) => costsOf(placeOf.get(keyOf(row)), row[plan.amount]));
      const allowed = rows.map((row, i) => row[name] === now[name] || (tied(apart[i]) && Object.values(spent[i]).every(Number.isFinite) &&
        Object.entries(limits).every(([key, cap]) => (key in spent[i] ? spent[i][key] : row[key]) <= cap * (1 + 1e-9))));
      const price = spent.map((one, i) => (allowed[i] ? (one.flops !== undefined ? one.flops : one.params) : Infinity));
      const lowest = Math.min(...price);
      const cheap = values.filter((one, i) => price[i] <= lowest * (1 + 1e-9));
      const counts = plan.variables[name].counts.filter(([value]) => cheap.includes(value));
      now[name] = counts.length ? counts.reduce((a, b) => (b[1] > a[1] ? b : a))[0] : cheap[0];
    }
    if (names.every((name) => now[name] === best.design[name])) return best.design;
    return tied(differences([rowOf(best.design), rowOf(now)], 0)[1]) ? now : best.design;
  }

  return (limits) => {
    const budget = limits.flops;
    if (budget !== undefined && budget / plan.flops_tried[1] > plan.too_far) {
      return { error: "The budget is more than 100 times beyond what was tried: nothing is known there." };
    }
    const everything = candidatesFor(limits);
    if (!everything.length) return { error: "No design can be built." };
    for (const [name, cap] of Object.entries(limits)) {
      const lowest = Math.min(...everything.map((one) => valueOf(one, name)));
      if (lowest > cap * (1 + 1e-9)) return { error: "The limit on " + name + " is below the cheapest design, " + lowest.toPrecision(4) + "." };
    }
    const allowed = everything.filter((one) => Object.entries(limits).every(([name, cap]) => valueOf(one, name) <= cap * (1 + 1e-9)));
    if (!allowed.length) return { error: "No design is within all limits at once." };
    const near = allowed.filter((one) => names.every((name) => {
      const about = plan.variables[name];
      return !about.numeric || !about.positive ||
        (one.design[name] <= plan.too_far * about.high && one.design[name] >= about.low / plan.too_far);
    }));
    if (!near.length) return { error: "Every design that spends the budget lies more than 100 times beyond what was tried." };
    const rounded = (value) => Math.round(value * 1e12) / 1e12;
    let best = null;
    for (const one of near) {
      one.centre = sum(beta, rowOf(one.design));
      one.rank = rounded(sign * one.centre);
      one.price = one.costs.flops !== undefined ? one.costs.flops : one.costs.params || 0;
      if (!best || one.rank > best.rank || (one.rank === best.rank && one.price < best.price)) best = one;
    }
    const design = settle(best, near, limits);
    const row = rowOf(design), centre = sum(beta, row);
    const draws = new Float64Array(R);
    for (let r = 0; r < R; r++) {
      let total = errors[r];
      for (let p = 0; p < P; p++) total += moved[r * P + p] * row[p];
      draws[r] = total;
    }
    draws.sort();
    const low = centre + Math.min(0, quantile(draws, tail)), high = centre + Math.max(0, quantile(draws, 1 - tail));
    const spent = costsOf(placeOf.get(keyOf(design)), design[plan.amount]);
    const edges = {};
    for (const name of names) {
      const about = plan.variables[name];
      if (!about.numeric || plan.silent.includes(name)) continue;
      const slack = 1e-9 * Math.max(Math.abs(about.low), Math.abs(about.high));
      const end = design[name] <= about.low + slack ? "smallest" : design[name] >= about.high - slack ? "largest" : null;
      if (!end) continue;
      const values = near.map((one) => one.design[name]), top = Math.max(...values);
      const paid = name === plan.amount && ["flops", "clips", "hours"].some((one) => one in limits);
      const cut = top < about.last && design[name] >= top;
      if (new Set(values).size === 1 || (end === "largest" && (paid || cut))) continue;
      edges[name] = end;
    }
    const far = names.filter((name) => plan.variables[name].numeric && plan.variables[name].positive && design[name] > 0)
      .map((name) => [name, Math.max(design[name] / plan.variables[name].high, plan.variables[name].low / design[name])])
      .filter(([, beyond]) => beyond > 1 + 1e-9);
    return {
      best: design, y: plan.unit * back(centre), low: plan.unit * back(low), high: plan.unit * back(high), costs: spent,
      flops: spent.flops, edges, far, silent: plan.silent,
    };
  };
}

// The best parameters and data, by y = E + A n^-alpha + B d^-beta.
function allocationPlanner(plan) {
  const [A, ALPHA, B, BETA, E] = plan.order;
  const params = numbersOf(plan.params), draws = numbersOf(plan.draws), R = draws.length / 5, tail = 0.5 * (1 - plan.level);
  const [factor, byN, byD] = plan.cost;
  const loss = (p, at, n, d) => p[at + E] + Math.exp(Math.log(p[at + A] + 1e-300) - p[at + ALPHA] * Math.log(n)) +
    Math.exp(Math.log(p[at + B] + 1e-300) - p[at + BETA] * Math.log(d));
  const dataFor = (flops, n) => Math.exp((Math.log(flops) - Math.log(factor) - byN * Math.log(n)) / byD);
  const sizeFor = (flops, d) => Math.exp((Math.log(flops) - Math.log(factor) - byD * Math.log(d)) / byN);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function optimum(p, at, flops, mostN, mostD) {
    const corner = [mostN, mostD];
    if (flops === undefined) return corner;
    const least = mostD === Infinity ? -Infinity : Math.log(sizeFor(flops, mostD)), most = Math.log(mostN);
    if (least >= most) return corner;
    const alpha = p[at + ALPHA], beta = p[at + BETA], steep = byN / byD;
    const balance = Math.log(alpha * p[at + A] + 1e-300) - Math.log(steep * beta * p[at + B] + 1e-300);
    const free = clamp((balance + beta / byD * Math.log(flops / factor)) / (alpha + steep * beta), -69, 69);
    const n = Math.exp(clamp(free, least, most));
    return [n, dataFor(flops, n)];
  }
  // Ends of the resamples about the estimate, stretched for few clusters, on a log scale.
  function span(values, estimate) {
    const logs = sortedOf(values.map(Math.log)), centre = Math.log(estimate);
    const end = (q) => centre + plan.factor * (quantile(logs, q) - centre);
    return [Math.exp(clamp(Math.min(centre, end(tail)), -700, 700)), Math.exp(clamp(Math.max(centre, end(1 - tail)), -700, 700))];
  }
  function widened(value, [low, high], half) {
    const below = Math.min(Math.hypot(Math.log(low / value), half), 600), above = Math.min(Math.hypot(Math.log(high / value), half), 600);
    return [value * Math.exp(-below), value * Math.exp(above)];
  }
  const up = (fallen) => (plan.direction === "score" ? plan.ceiling - fallen : plan.direction === "rising" ? 1 / fallen : fallen);
  const top = Math.min(plan.ceiling === null ? Infinity : plan.ceiling, plan.most === null ? Infinity : plan.most);
  const clip = (y) => (top === Infinity ? y : clamp(y, 0, top));

  return (limits) => {
    const mostN = plan.n in limits ? limits[plan.n] : Infinity, mostD = plan.d in limits ? limits[plan.d] : Infinity;
    const [n, d] = optimum(params, 0, limits.flops, mostN, mostD);
    const flops = Math.exp(Math.log(factor) + byN * Math.log(n) + byD * Math.log(d));
    const reaches = [[plan.n, n], [plan.d, d], ["flops", flops]].map(([name, value]) =>
      [name, Math.max(value / plan.tried[name][1], plan.tried[name][0] / value)]);
    const worst = reaches.reduce((a, b) => (b[1] > a[1] ? b : a));
    if (worst[1] > plan.too_far) return { error: worst[0] + " would lie more than 100 times beyond what was tried: nothing is known there." };
    const every = Array.from({ length: R }, (_, r) => optimum(draws, 5 * r, limits.flops, mostN, mostD));
    const capped = n >= mostN * (1 - 1e-9) || d >= mostD * (1 - 1e-9);
    const reach = Math.max(Math.log(flops / plan.drift_largest), Math.log(2));
    const [halfN, halfD] = plan.drift.map((one) => (capped ? 0 : one * reach));
    const endsN = widened(n, span(every.map((one) => one[0]), n), halfN), endsD = widened(d, span(every.map((one) => one[1]), d), halfD);
    const law = loss(params, 0, n, d), centre = Math.log(law);
    const [lowest, highest] = span(Array.from({ length: R }, (_, r) => loss(draws, 5 * r, n, d)), law);
    const half = Math.hypot(plan.noise, plan.slope * Math.max(Math.log(flops / plan.largest), 0));
    const below = Math.hypot(half, Math.log(lowest) - centre), above = Math.hypot(half, Math.log(highest) - centre);
    const fallen = [Math.exp(centre - below), Math.exp(centre + above)];
    const floor = plan.direction === "score" ? 0 : -Infinity;
    const ends = (plan.direction === "falling" ? fallen : [up(fallen[1]), up(fallen[0])]).map((one) => Math.max(clip(one), floor));
    const values = { [plan.n]: n, [plan.d]: d };
    const edges = {}, within = flops >= plan.tried.flops[0] && flops <= plan.tried.flops[1] * (1 + 1e-9);
    for (const [name, value] of [["ratio", d / n], ...(within ? [[plan.n, n], [plan.d, d]] : [])]) {
      const [low, high] = plan.tried[name], slack = 1e-9 * Math.max(Math.abs(low), Math.abs(high));
      const title = name === "ratio" ? plan.d + " / " + plan.n : name;
      if (value <= low + slack) edges[title] = "smallest";
      else if (value >= high - slack) edges[title] = "largest";
    }
    for (const [name, value, cap] of [[plan.n, n, mostN], [plan.d, d, mostD]]) {
      if (value >= cap * (1 - 1e-9)) for (const other of Object.keys(edges)) if (other === name || other.includes(" / ")) delete edges[other];
    }
    return {
      best: values, y: Math.max(up(Math.exp(centre)), floor), low: ends[0], high: ends[1], flops, costs: { flops }, edges,
      intervals: { [plan.n]: endsN, [plan.d]: endsD }, far: reaches.filter(([name, beyond]) => beyond > 1 + 1e-9), silent: [],
    };
  };
}

const planFor = page.planner ? (page.planner.kind === "design" ? designPlanner : allocationPlanner)(page.planner) : null;

function startPlanner() {
  const place = byId("planner");
  if (!planFor || !place) return;
  const plan = page.planner;
  const short = (value) => {
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    for (const [unit, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (size >= unit && size < 1e15) return (value / unit).toPrecision(3) + letter;
    return size >= 1e15 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  };
  const told = (name, value) => (name === "flops" || name === "latency" ? value.toExponential(1).replace("e+", "e") : short(value));
  const title = (name) => (plan.kind === "design" ? (plan.variables[name] || {}).title : plan.titles[name]) || name;
  const limits = {};
  const controls = make("div", {});
  const verdict = make("p", { class: "result", "aria-live": "polite" }), notes = make("ul", {});
  const STEPS = 400;
  for (const slider of plan.sliders) {
    const ratio = Math.log(slider.high / slider.low);
    const at = (value) => Math.round(STEPS * Math.log(value / slider.low) / ratio);
    const input = make("input", { type: "range", id: "plan-" + slider.name, min: 0, max: STEPS + (slider.free ? 1 : 0), step: 1,
      value: slider.now ? at(slider.now) : slider.free ? STEPS + 1 : at(slider.tried * 10) });
    const output = make("output", { for: input.id });
    const read = (first) => {
      const value = Number(input.value);
      if (slider.free && value > STEPS) { delete limits[slider.name]; output.textContent = "no limit"; }
      else {
        const exact = first && slider.now ? slider.now : Number((slider.low * Math.exp(ratio * value / STEPS)).toPrecision(2));
        limits[slider.name] = exact;
        output.textContent = told(slider.name, exact) + (exact > slider.tried * 1.001 ? " (" + Number((exact / slider.tried).toPrecision(2)) + " times the largest run)" : "");
      }
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => { read(false); show(); });
    read(true);
    controls.append(make("div", { class: "slider" }, make("label", { for: input.id }, make("span", {}, slider.title), output), input));
  }
  const curve = byId("planner-curve-0");
  let wait = 0;
  function show() {
    const found = planFor(limits);
    window.planned = { limits: { ...limits }, found };
    if (found.error) {
      verdict.textContent = found.error;
      notes.replaceChildren();
    } else {
      const chosenNames = Object.keys(found.best).filter((name) => !found.silent.includes(name));
      const ends = (name) => (found.intervals ? " [" + found.intervals[name].map(short).join(", ") + "]" : "");
      verdict.textContent = (chosenNames.map((name) => title(name) + " " + short(found.best[name]) + ends(name)).join(", ") || "the usual design") +
        ": " + plan.y + " " + found.y.toPrecision(3) + " [" + found.low.toPrecision(3) + ", " + found.high.toPrecision(3) + "]";
      const lines = [Math.round(100 * plan.level) + "% interval, for one run; it costs " + told("flops", found.flops) + " FLOPs."];
      if (found.silent.length) lines.push("No effect shown, so cheap or as usual: " + found.silent.map((name) => title(name) + " " + short(found.best[name])).join(", ") + ".");
      for (const [name, beyond] of found.far) if (beyond > 1.1) lines.push(title(name) + " lies " + Number(beyond.toPrecision(2)) + " times beyond what was tried" + (beyond > 10 ? ": a direction, not a number." : "."));
      const edges = Object.entries(found.edges);
      if (edges.length) lines.push("At the edge of what was tried: " + edges.map(([name, end]) => title(name) + " (" + end + ")").join(", ") + "; the optimum may lie beyond.");
      notes.replaceChildren(...lines.map((line) => make("li", {}, line)));
    }
    clearTimeout(wait);
    wait = setTimeout(redrawCurve, 120);
  }
  function redrawCurve() {
    if (!curve) return;
    const slider = plan.sliders[0], rows = [];
    for (let i = 0; i <= 24; i++) {
      const flops = slider.low * Math.pow(slider.high / slider.low, i / 24), found = planFor({ ...limits, flops });
      if (!found.error) rows.push({ flops, y: found.y, low: found.low, high: found.high });
    }
    if (rows.length) rows[0].largest = slider.tried;
    rowsOf.put("planned_budgets", rows);
    const { found } = window.planned;
    rowsOf.put("planned_here", found.error || limits.flops === undefined ? [] : [{ flops: limits.flops, y: found.y, low: found.low, high: found.high }]);
    if (curve.dataset.drawn || curve.dataset.wanted) draw(curve);
    else { curve.dataset.wanted = "1"; seen.observe(curve); }
  }
  place.append(make("div", { class: "planner" }, make("div", {}, make("h3", {}, "Plan another budget"), controls, verdict, notes), curve ? curve.closest("figure") : null));
  show();
  redrawCurve();
}
