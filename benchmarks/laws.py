"""How well laws are fitted and extrapolated on public tables: part of `make bench`, written into `docs/laws.md`.

Chinchilla's runs (Besiroglu et al., arXiv 2404.10102), 36 learning curves (Alabdulmohsin et al., arXiv 2209.06640) and
104 language models (Gadre et al., arXiv 2403.08540), from a folder that has them as chinchilla_fig4_epoch.csv,
learning_curves_36.csv and mlfoundations_scaling_104models.csv.

Each section is kept in `--results` as soon as it is measured, and is not measured again by a later call, unless the
code of the laws, this file or the tables have changed since. The page is written when all sections are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

import sonoscale.laws
from sonoscale.files import write_json, write_text
from sonoscale.laws import Estimate, Extrapolation, extrapolate, fit, read_table
from sonoscale.laws._newton import Objective, minimise
from sonoscale.laws._search import search
from sonoscale.laws.extrapolation import PANEL
from sonoscale.laws.forms import FORMS
from sonoscale.laws.plan import plan_allocation
from sonoscale.provenance import provenance

PAGE = Path(__file__).parent.parent / "docs" / "laws.md"
START, END = "<!-- tables: begin -->", "<!-- tables: end -->"
RESAMPLES = 4000
PUBLISHED = {"A": 124.522, "B": 1293.284, "E": 0.026, "alpha": 0.015, "beta": 0.021}  # standard errors they print
THRESHOLDS = (1e20, 3e20, 1e21, 3e21)
LARGEST = 5.7e21  # the 7B models, by 6 N D
SMALLER = (3e19, 1e20, 3e20)  # for the 34 or 35 models of one data set, whose largest took 6e21
LEVELS = (0.5, 0.8, 0.95)
SEEDS = 60  # simulated curves of each kind
NOISE = 0.01  # of them, in log y
REACHES = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 10.0])
BINS = 10  # of the PIT histogram

Columns = dict[str, np.ndarray]


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of the work."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def refit(table: Columns) -> list[str]:
    """Chinchilla's equation 2 again, as Besiroglu et al. do it."""
    kept = np.asarray(table["epoch_excluded_outlier"]).astype(int) == 0
    x, y = np.stack([table["N"], table["D"]], axis=1)[kept], table["loss"][kept]
    objective = Objective(form=FORMS["chinchilla"], x=x, y=y, scale="log", huber=1e-3)
    found = search(objective)
    once = seconds(lambda: search(objective), 9)
    names = objective.form.parameters
    rng = np.random.RandomState(42)  # theirs
    draws = np.stack([np.bincount(rng.choice(len(y), len(y)), minlength=len(y)) for _ in range(RESAMPLES)])
    started = time.perf_counter()
    params, _ = minimise(objective, draws.astype(float), np.tile(found.params[0], (RESAMPLES, 1)), tolerance=1e-11)
    many = time.perf_counter() - started
    alpha, beta = params[:, names.index("alpha")], params[:, names.index("beta")]
    share = beta / (alpha + beta)
    lines = [
        f"Objective {found.value[0]:.13f} (from {found.starts} starts, {found.agreed} of them agree) in "
        f"{1e3 * once:.0f} ms; {RESAMPLES:,} resampled fits in {many:.1f} s, on one thread.",
        "",
        "| | estimate | standard error | theirs | 80 % interval | 95 % interval |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    columns = {name: (found.params[0][i], params[:, i]) for i, name in enumerate(names)}
    best = dict(zip(names, found.params[0], strict=True))
    columns["a = beta / (alpha + beta)"] = (best["beta"] / (best["alpha"] + best["beta"]), share)
    theirs = {**PUBLISHED, "a = beta / (alpha + beta)": 0.020}
    for name, (value, drawn) in columns.items():
        ends = np.quantile(drawn, [0.1, 0.9, 0.025, 0.975])
        lines.append(
            f"| {name} | {value:.5g} | {drawn.std(ddof=1):.4g} | {theirs[name]:.4g} | "
            f"{ends[0]:.4g} to {ends[1]:.4g} | {ends[2]:.4g} to {ends[3]:.4g} |"
        )
    width = np.subtract(*np.quantile(share, [0.9, 0.1]))
    return [*lines, "", f"Width of the 80 % interval of a: {width:.4f} (theirs 0.051)."]


def curves(table: Columns) -> list[str]:
    """Each form, and the panel of them all, on the held-out parts of the learning curves."""
    lines = [
        "| form | mean RMSE of log | median | inside 95 % | inside naive 95 % | s per curve |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    tasks: dict[str, list[float]] = {}
    for form in (*PANEL, "auto"):
        laws = fit(
            table, "seen", y="loss", group=["domain", "task", "model"], held_out="is_train==0", clusters=(), form=form,
            bootstrap=100,
        ).groups  # fmt: skip
        errors = [law.rmse_log for law in laws if law.rmse_log is not None]
        assert len(errors) == len(laws)
        lines.append(
            f"| {form} | {np.mean(errors):.4f} | {np.median(errors):.4f} | "
            f"{np.mean([law.coverage for law in laws if law.coverage is not None]):.1%} | "
            f"{np.mean([law.naive_coverage for law in laws if law.naive_coverage is not None]):.1%} | "
            f"{statistics.median(law.seconds for law in laws):.3f} |"
        )
        for law, error in zip(laws, errors, strict=True):
            tasks.setdefault(f"{law.group['task']}", []).append(error)
    models = len(laws) // len(tasks)
    lines += ["", f"| task | {' | '.join((*PANEL, 'auto'))} |", "|---|" + "---:|" * (len(PANEL) + 1)]
    for task, errors in tasks.items():
        means = [np.mean(errors[i : i + models]) for i in range(0, len(errors), models)]
        lines.append(f"| {task} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    return lines


def interval_score(low: np.ndarray, high: np.ndarray, y: np.ndarray, level: float) -> np.ndarray:
    """Winkler's score of intervals (Journal of the American Statistical Association 67, 1972): less is better."""
    missed = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return high - low + 2.0 / (1.0 - level) * missed


def split_curves(table: Columns) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each curve x and y that are fitted, and x and y held out."""
    keys = np.array([f"{a}|{b}|{c}" for a, b, c in zip(table["domain"], table["task"], table["model"], strict=True)])
    found = []
    for key in dict.fromkeys(keys.tolist()):
        rows, held = keys == key, np.asarray(table["is_train"]).astype(int) == 0
        x, y = table["seen"].astype(float), table["loss"].astype(float)
        found.append((x[rows & ~held], y[rows & ~held], x[rows & held], y[rows & held]))
    return found


def calibrated(table: Columns) -> list[str]:
    """How often intervals of `auto` and naive ones hold the held-out points of the learning curves, and their score."""
    parts = split_curves(table)
    lines = [
        "| level | inside | inside naive | Winkler | Winkler naive | half-width of log | naive |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ranks = np.zeros((2, BINS))
    for level in LEVELS:
        rows = []
        for x, y, new, observed in parts:
            found = extrapolate(x, y, y_name="loss", level=level).predict(new)
            assert found.naive_low is not None
            assert found.naive_high is not None
            z = np.log(observed)
            for low, high in ((found.low, found.high), (found.naive_low, found.naive_high)):
                a, b = np.log(low), np.log(high)
                rows.append([np.mean((a <= z) & (z <= b)), interval_score(a, b, z, level).mean(), np.mean(b - a) / 2])
        ours, naive = np.mean(rows[::2], axis=0), np.mean(rows[1::2], axis=0)
        lines.append(
            f"| {level:.0%} | {ours[0]:.1%} | {naive[0]:.1%} | {ours[1]:.4f} | {naive[1]:.4f} | {ours[2]:.4f} | "
            f"{naive[2]:.4f} |"
        )
    steps = [1.0 - 2.0 * k / BINS for k in range(BINS // 2)]  # ends of these central intervals are the edges of bins
    for x, y, new, observed in parts:
        edges: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for level in [step for step in steps if step < 1.0]:
            found = extrapolate(x, y, y_name="loss", level=level).predict(new)
            assert found.naive_low is not None
            assert found.naive_high is not None
            edges[0].extend((found.low, found.high))
            edges[1].extend((found.naive_low, found.naive_high))
        for which in range(2):
            ends = np.sort(np.array(edges[which]), axis=0)
            middle = np.sqrt(ends[BINS // 2 - 2] * ends[BINS // 2 - 1])  # of a normal distribution of log y
            ends = np.sort(np.vstack([ends, middle]), axis=0)
            place = (ends <= observed).sum(axis=0)
            ranks[which] += np.bincount(place, minlength=BINS)[:BINS] / len(observed)
    shares = ranks / len(parts)
    lines += [
        "",
        "PIT histogram: share of held-out points in each tenth of the predicted distribution:",
        "",
        "```",
    ]
    lines += [f"{'':12}" + "".join(f"{k / BINS:6.1f}" for k in range(BINS))]
    lines += [
        f"{name:12}" + "".join(f"{share:6.3f}" for share in row)
        for name, row in zip(("auto", "naive"), shares, strict=True)
    ]
    lines += [f"{'auto':6}{(k + 0.5) / BINS:5.2f} {'#' * round(200 * share)}" for k, share in enumerate(shares[0])]
    return [*lines, "```"]


def bend(at: float, before: float, more: float, floor: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """A power law of exponent `before` that changes by `more` at one place, within a tenth of an e-fold."""
    return lambda x: floor + (x / 1e3) ** -before * np.exp(-0.1 * more * np.logaddexp(0.0, 10.0 * np.log(x / at)))


LAWS: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "no bend": {
        "floor": lambda x: 0.5 + 20.0 * x**-0.4, "power": lambda x: 3.0 * x**-0.15,
        "levels off": lambda x: 0.3 + 60.0 * (1.0 / x + 1e-5) ** 0.5,
    },
    "bend inside": {
        "steeper at 0.1": bend(1e5, 0.1, 0.3), "flatter at 0.1": bend(1e5, 0.4, -0.3),
        "steeper at 0.3": bend(3e5, 0.1, 0.3), "flatter at 0.3": bend(3e5, 0.4, -0.3),
        "steeper, then a floor": bend(3e4, 0.05, 0.5, 0.2),
    },
    "bend outside": {"steeper at 2": bend(2e6, 0.1, 0.3), "flatter at 2": bend(2e6, 0.4, -0.3)},
}  # fmt: skip


def simulated() -> list[str]:
    """Coverage of 95 % intervals over simulated curves, x from 1e3 to 1e6, at reaches beyond the largest x."""
    heads = " | ".join(f"x{reach:g}" for reach in REACHES)
    lines = [f"| law | n | {heads} | half-width x1 | x10 |", "|---|---|" + "---:|" * (len(REACHES) + 2)]
    for group, laws in LAWS.items():
        for name, law in laws.items():
            for n in (20, 40):
                x, inside, wide = np.geomspace(1e3, 1e6, n), [], []
                for seed in range(SEEDS):
                    rng = np.random.default_rng([seed, n])
                    new = law(1e6 * REACHES) * np.exp(NOISE * rng.normal(size=len(REACHES)))
                    found = extrapolate(x, law(x) * np.exp(NOISE * rng.normal(size=n)), y_name="loss").predict(
                        1e6 * REACHES
                    )
                    inside.append((found.low <= new) & (new <= found.high))
                    wide.append(0.5 * np.log(found.high / found.low))
                cells = " | ".join(f"{share:.2f}" for share in np.mean(inside, axis=0))
                half = np.median(wide, axis=0)
                lines.append(f"| {group}: {name} | {n} | {cells} | {half[0]:.3f} | {half[-1]:.3f} |")
    return lines


def moved(table: Columns) -> list[str]:
    """Plans from the smaller runs of Chinchilla's table, ten times beyond them, against the optimum of all runs."""
    lines = [
        "| runs | fitted up to | origins | N | of all | D | of all | a | of all | inside |",
        "|---|---|---:|---|---:|---|---:|---|---:|---:|",
    ]
    total = np.zeros(3, dtype=int)
    count = 0
    outlier = np.asarray(table["epoch_excluded_outlier"]).astype(int) == 1
    for name, kept in (("240", ~outlier), ("all 245", np.ones(len(outlier), dtype=bool))):
        for limit in (3e19, 1e20, 3e20, 1e21):
            both = []
            for rows in (kept, kept & (table["C"] <= limit)):
                part = {column: table[column][rows] for column in ("N", "D", "loss")}
                both.append(plan_allocation(part, n="N", d="D", y="loss", flops=10 * limit, bootstrap=500, force=True))
            whole, one = both
            inside = [whole.n.value in one.n, whole.d.value in one.d, whole.a.value in one.a]
            total += inside
            count += 1
            lines.append(
                f"| {name} | {limit:.0e} | {one.origins} | {span(one.n)} | {whole.n.value:.3g} | {span(one.d)} | "
                f"{whole.d.value:.3g} | {span(one.a)} | {whole.a.value:.3f} | {sum(inside)} of 3 |"
            )
    held = ", ".join(f"{what} in {share}" for what, share in zip(("N", "D", "a"), total.tolist(), strict=True))
    return [*lines, "", f"Inside the 95 % interval: {held} of {count}. " + steady()]


def steady() -> str:
    """The same where the law holds: the share of intervals that hold the truth, and their width."""
    rng, hits, widths = np.random.default_rng(0), [], []
    flops, n = np.meshgrid(np.geomspace(1e17, 4e19, 5), np.geomspace(3e7, 3e9, 8))
    n, d, budget, a = n.ravel(), (flops / 6.0 / n).ravel(), 4e20, 0.36 / 0.7
    best = (0.34 * 400.0 / (0.36 * 1200.0)) ** (1 / 0.7) * (budget / 6.0) ** a
    for _ in range(SEEDS):
        y = (1.7 + 400.0 / n**0.34 + 1200.0 / d**0.36) * np.exp(0.004 * rng.standard_normal(len(n)))
        one = plan_allocation({"N": n, "D": d, "loss": y}, n="N", d="D", y="loss", flops=budget, bootstrap=100)
        hits.append([best in one.n, a in one.a])
        widths.append([0.5 * np.log(one.n.high / one.n.low), 0.5 * (one.a.high - one.a.low)])
    share, half = np.mean(hits, axis=0), np.median(widths, axis=0)
    return (
        f"On {SEEDS} simulated tables of 40 runs where the law holds, ten times beyond: N in {share[0]:.0%}, a in "
        f"{share[1]:.0%}, with half-widths of {half[0]:.2f} of log N and {half[1]:.3f} of a."
    )


def held_out(law: Extrapolation, x: np.ndarray, y: np.ndarray) -> tuple[int, int, int, float]:
    """Rows, those inside the interval, inside the naive one, and the sum of squared errors of log y."""
    found = law.predict(x)
    assert found.naive_low is not None
    assert found.naive_high is not None
    inside = (found.low <= y) & (y <= found.high)
    naive = (found.naive_low <= y) & (y <= found.naive_high)
    return len(y), int(inside.sum()), int(naive.sum()), float((np.log(found.value / y) ** 2).sum())


def coverage(chinchilla: Columns, models: Columns) -> list[str]:
    """95 % intervals for runs larger than all that were fitted."""
    lines = [
        "| table | fitted up to | held out | inside 95 % | inside naive 95 % | RMSE of log |",
        "|---|---:|---:|---:|---:|---:|",
    ]

    def add(name: str, upto: str, found: Sequence[tuple[int, int, int, float]]) -> None:
        rows, inside, naive, squares = (sum(column) for column in zip(*found, strict=True))
        lines.append(
            f"| {name} | {upto} | {rows} | {inside / rows:.1%} | {naive / rows:.1%} | {np.sqrt(squares / rows):.4f} |"
        )

    for name, kept in (
        ("Chinchilla, 240 runs", np.asarray(chinchilla["epoch_excluded_outlier"]).astype(int) == 0),
        ("Chinchilla, all 245", np.ones(len(chinchilla["N"]), dtype=bool)),
    ):
        x, y, c = (
            np.stack([chinchilla["N"], chinchilla["D"]], axis=1)[kept],
            chinchilla["loss"][kept],
            chinchilla["C"][kept],
        )
        pooled = []
        for limit in THRESHOLDS:
            law = extrapolate(x[c <= limit], y[c <= limit], x_names=("N", "D"), y_name="loss")
            pooled.append(held_out(law, x[c > limit], y[c > limit]))
            add(name, f"{limit:.0e} FLOPs", pooled[-1:])
        add(name, "pooled", pooled)
    x, c = (
        np.stack([models["params"], models["tokens"]], axis=1).astype(float),
        6.0 * models["params"] * models["tokens"],
    )
    everything = []
    for column in [name for name in models if name.startswith("loss_")] + ["avg_top1_error_all"]:
        pooled = []
        for dataset in np.unique(models["dataset"]):
            for limit in SMALLER:
                fitted = (models["dataset"] == dataset) & (c <= limit)
                held = (models["dataset"] == dataset) & (c > limit)
                law = extrapolate(x[fitted], models[column][fitted], x_names=("params", "tokens"), y_name=column)
                pooled.append(held_out(law, x[held], models[column][held]))
        add(f"104 models, {column.removesuffix('_')}", "3e19, 1e20, 3e20", pooled)
        if column.startswith("loss_"):
            everything += pooled
    add("104 models, eight losses", "pooled", everything)
    return lines


def planned(models: Columns) -> list[str]:
    """The best split for the compute of the largest model, without the models of 1B parameters and more."""
    lines = [
        "| data set | best N | best D | N within 1 % | C^a | largest run | observed | predicted | inside | error |",
        "|---|---|---|---|---|---|---:|---|---:|---:|",
    ]
    for dataset in np.unique(models["dataset"]):
        part = {name: column[models["dataset"] == dataset] for name, column in models.items()}
        plan = plan_allocation(
            part, n="params", d="tokens", y="loss_c4_val_shard_0000000_0000010_", flops=LARGEST, bootstrap=2000,
            held_out=part["params"] >= 1e9,
        )  # fmt: skip
        assert plan.check is not None
        assert plan.basin is not None
        largest = max(plan.check.runs, key=lambda run: run.flops or 0.0)
        inside = sum(bool(run.covered) for run in plan.check.runs)
        lines.append(
            f"| {dataset} | {span(plan.n)} | {span(plan.d)} | {plan.basin[0]:.2g} to {plan.basin[1]:.2g} | "
            f"{span(plan.a)} | {largest.run['params']:.2g}, {largest.run['tokens']:.2g} | {largest.observed:.3f} | "
            f"{largest.predicted.value:.3f} ({largest.predicted.low:.3f} to {largest.predicted.high:.3f}) | "
            f"{inside} of {len(plan.check.runs)} | "
            f"{plan.check.error:.1%} |"
        )
    return lines


def span(value: Estimate) -> str:
    """A value with its interval."""
    return f"{value.value:.3g} ({value.low:.2g} to {value.high:.2g})"


def main() -> None:
    """Measure, print and write into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    home = os.environ.get("SONOSCALE_TEST_DATA") or Path(__file__).parents[1].parent / "shared" / "data"
    parser.add_argument("--tables", type=Path, default=Path(home) / "laws", help="folder of the three tables")
    results = Path(__file__).parent.parent / "build" / "laws.json"
    parser.add_argument("--results", type=Path, default=results, help="what is measured already")
    options = parser.parse_args()
    folder, results = options.tables, options.results
    console = Console()
    if not folder.is_dir():
        console.print(f"laws: skipped, there is no folder {folder} (see --tables)")
        return
    read = {
        name: read_table(folder / f"{name}.csv")
        for name in ("chinchilla_fig4_epoch", "learning_curves_36", "mlfoundations_scaling_104models")
    }
    models = {
        name: column.astype(float) if name in ("params", "tokens") else column
        for name, column in read["mlfoundations_scaling_104models"].items()
    }
    mark = fingerprint([folder / f"{name}.csv" for name in read])
    done = json.loads(results.read_text()) if results.is_file() else {}
    if done.get("of") != mark:
        done = {"of": mark, "seconds": 0.0, "sections": {}}
    results.parent.mkdir(parents=True, exist_ok=True)
    for title, lines in sections(read, models):
        if title in done["sections"]:
            console.print(f"{title}: measured already", markup=False)
            continue
        started = time.process_time()
        done["sections"][title] = lines()
        done["seconds"] += time.process_time() - started
        write_json(results, done)
        console.print(f"{title}: {time.process_time() - started:.0f} s", markup=False)
    parts = [part for title, lines in done["sections"].items() for part in (f"### {title}", "", *lines, "")]
    write("\n".join(parts), done["seconds"], console)


def fingerprint(tables: Sequence[Path]) -> str:
    """Of the code of the laws, of this file and of the tables: sections of other code are not joined with these."""
    code = sorted(Path(sonoscale.laws.__file__).parent.rglob("*.py"))
    found = hashlib.sha256()
    for file in (*code, Path(__file__), *tables):
        found.update(file.read_bytes())
    return found.hexdigest()


def sections(read: dict[str, Columns], models: Columns) -> list[tuple[str, Callable[[], list[str]]]]:
    """The title of each section, and what measures it."""
    chinchilla, learning = read["chinchilla_fig4_epoch"], read["learning_curves_36"]
    return [
        ("Chinchilla's law again", lambda: refit(chinchilla)),
        ("Learning curves, from their first fifth of points (half the largest x)", lambda: curves(learning)),
        ("Calibration of `auto` on the 36 learning curves", lambda: calibrated(learning)),
        (f"Simulated curves: coverage of 95 % intervals, {SEEDS} curves a cell, noise of {NOISE:.0%}", simulated),
        ("Larger runs than any that was fitted", lambda: coverage(chinchilla, models)),
        ("Chinchilla's optimum from the smaller runs", lambda: moved(chinchilla)),
        (
            f"A plan for {LARGEST:.1e} FLOPs from models under 1B parameters (104 models, C4 loss)",
            lambda: planned(models),
        ),
    ]


def write(text: str, seconds: float, console: Console) -> None:
    """Print the sections and put them into the page."""
    facts = provenance("torch", "numpy", "scipy")
    text += "\n*`python benchmarks/laws.py`; " + ", ".join(f"{k} {facts[k]}" for k in ("sonoscale", "python", "numpy"))
    text += f"; {seconds:.0f} s of CPU time, one process; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the "
    text += f"end (times are rough); seeds 0 to {SEEDS - 1}.*"
    console.print(text, markup=False, soft_wrap=True)
    if PAGE.is_file():
        before, rest = PAGE.read_text().split(START)
        write_text(PAGE, f"{before}{START}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
