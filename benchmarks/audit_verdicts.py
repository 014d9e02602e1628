"""How often the audit's verdict is right, on tables whose truth is known: writes `docs/audit-verdicts.md`.

Each table has two sizes, uniform in their logarithms over [0, 1] after scaling; rank and quality are a function of
them plus noise of standard deviation 0.1 each, or otherwise as `KINDS` says. Table i of a cell has seed i + `--seed`.
The cells are gone through in turn, table by table, until each has `--tables` or `--minutes` are over; what is done is
kept in `--results`, so that a later call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from sonoscale import __version__
from sonoscale.files import write_json, write_text
from sonoscale.laws import read_runs
from sonoscale.laws.audit._audit import RELIABILITY, rule
from sonoscale.laws.audit._gather import gather

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "audit-verdicts.md"
EXPLAINED = ROOT / "docs" / "what-the-audit-can-say.md"
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
COUNTS = (12, 20, 40, 80)
NOISE = 0.1
NULLS = {
    "smooth": "0.6 a + 0.4 b",
    "saturating": "2 (1 - exp(-3 a)) + 0.6 b",
    "step": "1 where a > 0.5",
    "hinge": "2 max(0, a - 0.5)",
    "steep hinge": "6 max(0, a - 0.5)",
    "bottleneck": "4 min(a, b)",
    "slanting step": "1 where a + b > 1",
    "size of reliability .95": "smooth; a is recorded with an error, 95 % of its variance is true",
    "all sizes of reliability .95": "smooth; so are a and b",
    "two diverged": "smooth; two runs lose 12 times the noise's size in rank and in quality",
    "through loss": "a loss = smooth + noise is recorded; rank and quality are functions of it, with noise",
    "opposite families": "smooth; two families, in one of which quality falls with size",
    "noise that grows": "smooth; noise from 0.3 to 2 times as large, along a",
    "heavy tails": "smooth; noise by Student's t with 3 degrees of freedom",
    "shared seeds": "smooth; two seeds each, whose luck (half of the noise's size) is in rank and quality alike",
    "smooth, stated exact": "smooth; the audit is told that sizes are exact (reliability 1), as they are",
    "step, stated exact": "step; so",
    "bottleneck, stated exact": "bottleneck; so",
    "third variable": "smooth; a variable that is not recorded, of half the noise's size, is in rank and in quality",
}
"""Kind -> what rank and quality have in common. In none does rank add to what sizes, or the third variable, make."""
POWERS = {f"partial {rho:g}": f"smooth; noises correlated by {rho:g}" for rho in (0.1, 0.3, 0.5, 0.7)} | {
    "partial 0.5, step": "step; noises correlated by 0.5",
    "partial 0.5, bottleneck": "bottleneck; noises correlated by 0.5",
    "partial 0.5, stated exact": "smooth; noises correlated by 0.5, reliability 1",
    "partial 0.5, step, stated exact": "step; so",
    "partial 0.5, bottleneck, stated exact": "bottleneck; so",
}
KINDS = NULLS | POWERS
FIRST = ("smooth", "step", "hinge", "bottleneck", "size of reliability .95", "partial 0.5")
"""Kinds of which there are most tables."""


def of_sizes(kind: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What sizes make of rank and quality alike."""
    if "step" in kind:
        return (a + b > 1 if "slanting" in kind else a > 0.5) * 1.0
    if "hinge" in kind:
        return (6.0 if "steep" in kind else 2.0) * np.maximum(0.0, a - 0.5)
    if "bottleneck" in kind:
        return 4 * np.minimum(a, b)
    if kind == "saturating":
        return 2 * (1 - np.exp(-3 * a)) + 0.6 * b
    return 0.6 * a + 0.4 * b


def make_table(kind: str, count: int, seed: int) -> dict[str, Any]:
    """A table of `count` configurations."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(size=(2, count))
    effect = of_sizes(kind, a, b)
    rank_noise, noise = rng.normal(size=(2, count))
    more: dict[str, Any] = {}
    if kind == "heavy tails":
        rank_noise, noise = rng.standard_t(3, size=(2, count)) / math.sqrt(3)
    if kind.startswith("partial"):
        rho = float(kind.split()[1].strip(","))
        noise = rho * rank_noise + math.sqrt(1 - rho**2) * noise
    if kind == "noise that grows":
        rank_noise, noise = (one * (0.3 + 1.7 * a) for one in (rank_noise, noise))
    rank, quality = effect + NOISE * rank_noise, effect + NOISE * noise
    if kind == "two diverged":
        rank[:2], quality[:2] = rank[:2] - 12 * NOISE, quality[:2] - 12 * NOISE
    if kind == "third variable":
        third = 0.5 * NOISE * rng.normal(size=count)
        rank, quality = rank + third, quality + third
    if kind == "through loss":
        loss = effect + NOISE * rng.normal(size=count)
        rank, quality = 1.5 * loss + NOISE * rank_noise, loss + 0.5 * np.maximum(loss - 0.5, 0) + NOISE * noise
        more["loss"] = 3 - loss
    if kind == "opposite families":
        family = rng.integers(0, 2, count)
        rank, quality = rank + 0.5 * family, np.where(family == 1, effect, -effect) + 0.3 * family + NOISE * noise
        more["family"] = np.array(["a", "b"])[family]
    recorded = [a, b]
    for i in range({"size of reliability .95": 1, "all sizes of reliability .95": 2}.get(kind, 0)):
        recorded[i] = recorded[i] + recorded[i].std() * math.sqrt(0.05 / 0.95) * rng.normal(size=count)
    table = {
        "config": np.arange(count), "params": 1e6 * np.exp(5 * recorded[0]), "clips": 1e5 * np.exp(4 * recorded[1]),
        "rank": np.exp(3 + rank), "quality": 0.5 + 0.1 * quality, **more,
    }  # fmt: skip
    if kind == "shared seeds":
        luck = 0.5 * NOISE * rng.normal(size=(2, count))
        table = {name: np.tile(column, 2) for name, column in table.items()}
        table["rank"], table["quality"] = table["rank"] * np.exp(luck.ravel()), table["quality"] + 0.1 * luck.ravel()
    return table


def verdict(table: dict[str, Any], *, reliability: float = RELIABILITY) -> str:
    """By the rules alone, without the other evidence."""
    runs = read_runs(
        table, y="quality", clusters="config", family="family" if "family" in table else None, higher_is_better=True
    )
    found = gather(runs, rank="rank")
    return rule(found, level=0.95, bootstrap=80, permutations=100, seed=0, reliability=reliability)[-1].verdict


def measure(results: Path, *, tables: int, minutes: float, seed: int, only: list[str]) -> dict[str, Any]:
    """Kind and count -> the verdicts, table by table, of `only` these cells or of all; what `results` has is kept."""
    done: dict[str, Any] = {"seed": seed, "seconds": 0.0, "cells": {}}
    if results.exists():
        done = json.loads(results.read_text())
        if done["seed"] != seed:
            raise SystemExit(f"{results} is of seed {done['seed']}, not {seed}: give another file")
    cells: dict[str, list[str]] = done["cells"]
    before, started = done["seconds"], time.monotonic()
    for turn in range(tables):
        for count in COUNTS:
            for kind in KINDS:
                # The largest take the most time: half as many. Of the kinds that are not the first, a quarter.
                each = (2 if count == COUNTS[-1] else 1) * (1 if kind in FIRST else 4)
                if only and f"{kind}|{count}" not in only:
                    continue
                mine = cells.setdefault(f"{kind}|{count}", [])
                if turn % each == 0 and len(mine) <= turn // each:
                    stated = 1.0 if kind.endswith("stated exact") else RELIABILITY
                    mine.append(verdict(make_table(kind, count, seed + len(mine)), reliability=stated))
        done["seconds"] = before + time.monotonic() - started
        write_json(results, done)
        if turn % 5 == 4:
            write_page(done)
            print(f"{turn + 1} of {tables} tables, {done['seconds']:.0f} s", flush=True)
        if time.monotonic() - started > 60 * minutes:
            break
    return done


def share(found: list[str], name: str) -> str:
    """A share with its standard error."""
    p, n = Counter(found)[name] / len(found), len(found)
    return f"{p:.3f} ± {math.sqrt(max(p * (1 - p), 0.25 / n) / n):.3f}"


def write_page(done: dict[str, Any]) -> None:
    """Tables of the shares, with their standard errors (with at least half a table's worth of variance)."""
    cells: dict[str, list[str]] = done["cells"]
    lines = [
        "# How often the audit is right",
        "",
        "Shares of verdicts over simulated tables of which the truth is known, ± the standard error. What it means:",
        "[what-the-audit-can-say.md](what-the-audit-can-say.md); the rules: the docstring of `sonoscale.laws.audit`.",
        f"Sizes are a (parameters) and b (data), uniform in [0, 1] on a log scale; noise {NOISE:g}; level 0.95, margin",
        f"0.5, reliability of sizes {RELIABILITY:g}.",
        "",
    ]

    def table(title: str, kinds: dict[str, str], name: str) -> None:
        lines.extend([f"## {title}", "", "| truth | " + " | ".join(f"n = {n}" for n in COUNTS) + " |"])
        lines.append("|---|" + "---:|" * len(COUNTS))
        for kind in kinds:
            row = [share(cells[f"{kind}|{n}"], name) if cells.get(f"{kind}|{n}") else "" for n in COUNTS]
            lines.append(f"| {kind} | {' | '.join(row)} |")
        lines.append("")

    table("`supported` where rank adds nothing to size", NULLS, "supported")
    table("`supported` where it does", POWERS, "supported")
    table("`only_through_capacity` where rank adds", POWERS, "only_through_capacity")
    table("`only_through_capacity` where rank adds nothing", NULLS, "only_through_capacity")
    lines += ["## The kinds", "", *(f"- {kind}: {words}" for kind, words in KINDS.items()), ""]
    counted = {n: sorted({len(found) for cell, found in cells.items() if cell.endswith(f"|{n}")}) for n in COUNTS}
    number = "; ".join(f"n = {n}: {', '.join(map(str, c))}" for n, c in counted.items() if c)
    lines += [
        f"*`python benchmarks/audit_verdicts.py --seed {done['seed']}`: tables per cell: {number}; the seeds are not "
        f"those on which constants were chosen. sonoscale {__version__}, python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; {platform.machine()}, {os.cpu_count()} cores, one "
        f"process, {done['seconds']:.0f} s.*",
        "",
    ]
    write_text(PAGE, "\n".join(lines))


SUMMARY = (
    ("`supported`, falsely: smooth", "smooth", "supported"),
    ("step", "step", "supported"),
    ("hinge", "hinge", "supported"),
    ("bottleneck", "bottleneck", "supported"),
    ("parameters of reliability 0.95", "size of reliability .95", "supported"),
    ("slanting step", "slanting step", "supported"),
    ("two runs that diverged", "two diverged", "supported"),
    ("third variable", "third variable", "supported"),
    ("`supported`, rightly: partial correlation 0.5", "partial 0.5", "supported"),
    ("0.5, effect of size a step", "partial 0.5, step", "supported"),
    ("the same, sizes stated to be exact", "partial 0.5, step, stated exact", "supported"),
    ("`only_through_capacity`, falsely: partial correlation 0.5", "partial 0.5", "only_through_capacity"),
    ("`only_through_capacity`, rightly: smooth", "smooth", "only_through_capacity"),
)
"""Rows of the summary in the page on what the audit can say: words, kind, verdict."""


def write_summary(done: dict[str, Any]) -> None:
    """The block between the two marks of the page on what the audit can say."""
    cells: dict[str, list[str]] = done["cells"]
    lines = ["| share of tables | " + " | ".join(f"n = {n}" for n in COUNTS) + " |", "|---|" + "---:|" * len(COUNTS)]
    for words, kind, name in SUMMARY:
        row = [share(cells[f"{kind}|{n}"], name) if cells.get(f"{kind}|{n}") else "" for n in COUNTS]
        lines.append(f"| {words} | {' | '.join(row)} |")
    head, _, rest = EXPLAINED.read_text().partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    write_text(EXPLAINED, head + MARKS[0] + "\n\n" + "\n".join(lines) + "\n\n" + MARKS[1] + tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200, help="in a cell, at most")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this time")
    parser.add_argument("--seed", type=int, default=100_000)
    parser.add_argument("--cell", action="append", default=[], help="only this one, such as 'smooth|40' (repeatable)")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "audit-verdicts.json")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        done = measure(
            options.results, tables=options.tables, minutes=options.minutes, seed=options.seed, only=options.cell
        )
        write_page(done)
        write_summary(done)


if __name__ == "__main__":
    main()
