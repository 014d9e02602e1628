"""How often the audit's verdict is right, on tables whose truth is known: writes `docs/audit-verdicts.md`.

Runs differ in parameters and data; rank and quality follow capacity and add noise of their own. In the kinds where
rank means something, part of the noise is common to both. Table i of a cell has seed i.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from rich.progress import track
from threadpoolctl import threadpool_limits

from sonoscale import __version__
from sonoscale.laws import read_runs
from sonoscale.laws.audit import VERDICTS
from sonoscale.laws.audit._audit import rule
from sonoscale.laws.audit._gather import gather

PAGE = Path(__file__).parent.parent / "docs" / "audit-verdicts.md"
COUNTS = (12, 16, 20, 30, 60, 120)
NOISE = {"large": 0.6, "small": 0.15}
"""Standard deviation of the noise, in standard deviations of what capacity explains."""
FAMILIES = 3


def saturating(size: np.ndarray, data: np.ndarray, slowness: float) -> np.ndarray:
    """A score that climbs to a ceiling in both, by powers of them."""
    return -np.exp(-0.5 * slowness * size) - 0.7 * np.exp(-0.5 * slowness * data)


KINDS: dict[str, dict[str, Any]] = {
    "nothing: rank and quality unrelated": {"of_rank": 0.0, "of_quality": 0.0},
    "rank follows capacity, quality does not": {"of_quality": 0.0},
    "only capacity, linear in logarithms": {},
    "only capacity, quality saturates": {"bent": "quality"},
    "only capacity, rank and quality saturate": {"bent": "both"},
    "only capacity, heavy tails": {"tails": True},
    "only capacity, families differ in level": {"families": "level"},
    "only capacity, families differ in level and slope": {"families": "slope"},
    "only capacity, two seeds each": {"seeds": 2},
    "rank adds to capacity, linear": {"common": 0.8},
    "rank adds to capacity, both saturate": {"common": 0.8, "bent": "both"},
    "rank adds to capacity, families": {"common": 0.8, "families": "level"},
    "rank adds to capacity, two seeds each": {"common": 0.8, "seeds": 2},
    "more rank is worse": {"sign": -1.0},
}


def make_table(
    count: int, noise: float, seed: int, *, of_rank: float = 1.0, of_quality: float = 1.0, bent: str = "",
    tails: bool = False, families: str = "", seeds: int = 1, common: float = 0.0, sign: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """A table of `count` configurations. `common`: the correlation of rank and quality at equal capacity."""
    rng = np.random.default_rng(seed)
    size = rng.choice(6, count) * 1.2 + rng.normal(0, 0.05, count)  # log of parameters, about a factor 400
    data = rng.choice(4, count) * 1.6
    rank = saturating(size, data, 1.4) if bent == "both" else 0.1 * size + 0.08 * data
    quality = saturating(size, data, 1.0) if bent else size / 6 + data / 5
    label = np.array(["a", "b", "c"])[rng.integers(0, FAMILIES, count)]
    number = np.unique(label, return_inverse=True)[1]

    def scaled(column: np.ndarray) -> np.ndarray:
        return (column - column.mean()) / column.std()

    rank, quality = scaled(rank) * of_rank, scaled(quality) * of_quality
    if families:
        rank, quality = rank + np.array([0.0, 1.0, -0.7])[number], quality + np.array([0.0, 0.9, -0.9])[number]
    if families == "slope":
        tilt = scaled(size) * np.array([0.0, 0.4, -0.4])[number]
        rank, quality = rank + tilt, quality + tilt

    def draw() -> np.ndarray:
        return rng.standard_t(3, count) / np.sqrt(3) if tails else rng.normal(size=count)

    shared = draw()
    rank = rank + noise * (np.sqrt(common) * shared + np.sqrt(1 - common) * draw())
    quality = sign * quality + noise * (np.sqrt(common) * shared + np.sqrt(1 - common) * draw())
    again = np.repeat(np.arange(count), seeds)
    table = {
        "params": np.exp(12 + size)[again],
        "clips": np.exp(8 + data)[again],
        "flops": np.exp(30 + size + data)[again],
        "rank": np.exp(3 + 0.2 * (rank[again] + (seeds > 1) * 0.3 * noise * rng.normal(size=len(again)))),
        "quality": 0.5 + 0.05 * (quality[again] + (seeds > 1) * 0.3 * noise * rng.normal(size=len(again))),
        "config": again,
    }
    return table | ({"family": label[again]} if families else {})


def verdict(table: dict[str, Any], *, permutations: int = 200) -> str:
    """By the rules alone, without the other evidence."""
    runs = read_runs(
        table, y="quality", clusters="config", family="family" if "family" in table else None, higher_is_better=True,
    )  # fmt: skip
    return rule(gather(runs, rank="rank"), level=0.95, bootstrap=80, permutations=permutations, seed=0)[3].verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200, help="in each cell")
    tables = parser.parse_args().tables
    started = time.perf_counter()
    lines = []
    cells = [(name, words, count) for name in KINDS for words in NOISE for count in COUNTS]
    with threadpool_limits(1):
        for name, words, count in track(cells):
            found = Counter(verdict(make_table(count, NOISE[words], i, **KINDS[name])) for i in range(tables))
            shares = " | ".join(f"{found[each] / tables:.1%}" for each in VERDICTS)
            lines.append(f"| {name} | {words} | {count} | {shares} |")
    head = [
        "# How often the audit is right",
        "",
        "Shares of verdicts over simulated tables of which the truth is known. `supported` is wrong wherever rank",
        "follows capacity only, and so is anything but the last two columns where rank and quality are unrelated. The",
        "kinds are described in `benchmarks/audit_verdicts.py`, the rules in the docstring of `sonoscale.laws.audit`.",
        "",
        "| truth | noise | configurations | " + " | ".join(f"`{each}`" for each in VERDICTS) + " |",
        "|---|---|---:|" + "---:|" * len(VERDICTS),
    ]
    noise = ", ".join(f"{words}: {value:g}" for words, value in NOISE.items())
    about = (
        f"*`python benchmarks/audit_verdicts.py --tables {tables}`: {tables} tables in each row, table i has seed i; "
        f"noise in standard deviations of what capacity explains, {noise}; level 0.95. sonoscale {__version__}, python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; {platform.machine()}, "
        f"{os.cpu_count()} cores, {time.perf_counter() - started:.0f} s.*"
    )
    PAGE.write_text("\n".join([*head, *lines, "", about, ""]))


if __name__ == "__main__":
    main()
