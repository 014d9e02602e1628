"""Whether the quality axis does what it says: simulated studies whose truth is known.

For each design (configurations x seeds) and true reliability: how often the interval of the reliability holds the
truth, and how often the default rule keeps the score. Then studies of five tasks, of which some tell nothing: how well
quality by each rule orders the configurations as their true level does (Spearman's correlation, mean over studies).

    python benchmarks/quality.py [--trials 2000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from reading import footer
from sonoscale.laws import QualityRule, reliability

DESIGNS = ((6, 2), (12, 2), (8, 3), (20, 3), (40, 2))
TRUTHS = (0.0, 0.3, 0.6, 0.9)
MIXTURES = ((0.9, 0.9, 0.9, 0.0, 0.0), (0.9, 0.6, 0.3, 0.0, 0.0), (0.6, 0.6, 0.6, 0.6, 0.6), (0.9, 0.3, 0.3, 0.3, 0.3))
RULES = {
    "all, plain": QualityRule("plain", None),
    "all, weighted": QualityRule("reliability", None),
    "reliable, plain": QualityRule("plain"),
    "reliable, weighted": QualityRule(),
}


def draw(rng: np.random.Generator, level: np.ndarray, seeds: int, truth: float) -> np.ndarray:
    """Scores `[configs, seeds]` of unit variance, of which this share lies between configurations."""
    return np.sqrt(truth) * level[:, None] + np.sqrt(1 - truth) * rng.normal(size=(len(level), seeds))


def coverage(trials: int) -> list[dict[str, Any]]:
    """A row for each design and truth."""
    rows = []
    for configs, seeds in DESIGNS:
        names = np.repeat(np.arange(configs), seeds)
        for truth in TRUTHS:
            rng = np.random.default_rng(0)
            found = [
                reliability(draw(rng, rng.normal(size=configs), seeds, truth).ravel(), names) for _ in range(trials)
            ]
            rows.append({
                "configs": configs, "seeds": seeds, "truth": truth,
                "covered": float(np.mean([one.low <= truth <= one.high for one in found])),
                "kept": float(np.mean([one.low > 0 for one in found])),
            })  # fmt: skip
    return rows


def ordering(trials: int) -> list[dict[str, Any]]:
    """A row for each design and mixture of tasks."""
    rows = []
    for configs, seeds in DESIGNS:
        names = np.repeat(np.arange(configs), seeds)
        for mixture in MIXTURES:
            rng = np.random.default_rng(1)
            found: dict[str, list[float]] = {rule: [] for rule in RULES}
            for _ in range(trials):
                level = rng.normal(size=configs)
                scores = np.array([draw(rng, level, seeds, truth) for truth in mixture])  # [tasks, configs, seeds]
                judged = [reliability(one.ravel(), names) for one in scores]
                for name, rule in RULES.items():
                    kept = [rule.min_reliability is None or one.low > rule.min_reliability for one in judged]
                    kept = kept if any(kept) else [True] * len(kept)
                    weights = np.array([
                        (one.value if rule.weights == "reliability" else 1.0) if keep else 0.0
                        for one, keep in zip(judged, kept, strict=True)
                    ])  # fmt: skip
                    weights = weights if weights.any() else np.ones(len(weights))
                    quality = np.tensordot(weights, scores, axes=1)  # of each run, as laws take it
                    found[name].append(float(stats.spearmanr(quality.ravel(), level[names])[0]))  # pyright: ignore[reportArgumentType]
            means = {name: float(np.mean(values)) for name, values in found.items()}
            rows.append({"configs": configs, "seeds": seeds, "reliability of the tasks": list(mixture), **means})
    return rows


def shown(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        cells = (f"{cell:.3f}" if isinstance(cell, float) else " ".join(map(str, cell)) if isinstance(cell, list)
                 else str(cell) for cell in row.values())  # fmt: skip
        table.add_row(*cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    parts = {
        "Interval of reliability, and what the default rule keeps": coverage(arguments.trials),
        "Order of the runs by quality against the truth": ordering(max(1, arguments.trials // 4)),
    }
    console = Console(width=150)
    for title, rows in parts.items():
        console.print(shown(title, rows))
    console.print(footer())
    if arguments.json:
        arguments.json.write_text(json.dumps(parts, indent=1))


if __name__ == "__main__":
    main()
