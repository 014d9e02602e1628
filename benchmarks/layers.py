"""Does rank choose the layer of a music model? `python benchmarks/layers.py TABLE` writes `docs/layers.md`.

The table has ten music foundation models layer by layer: label-free metrics beside the score of a probe on up to 27
measures of 5 families of tasks.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import sonoscale as so
from public_tables import DOCS, find_table, made_by
from sonoscale.laws import spearman

PAGE = DOCS / "layers.md"
SEED = 0
LEVEL = 0.95
FILE = "music_fm_layers_10.csv"
SOURCE = "Make it of github.com/angeloskanatas/music-fms-layer-eval (CC BY-SA 4.0)."
METRICS = {
    "effective rank": "effective_rank_default",
    "TwoNN dimension": "id_twonn",
    "InfoNCE": "infonce_default",
    "depth": "depth",
}
"""What is tried in the place of quality -> its column; depth is no metric, and what they must beat."""

Grid = dict[str, np.ndarray]
Grids = dict[tuple[str, str], Grid]


def read(path: Path) -> tuple[Grids, dict[str, str], dict[str, str]]:
    """(model, task) -> columns over its layers in order, and the family of each task and of each model."""
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault((row["model"], row["task"]), []).append(row)
    grids = {}
    for key, mine in found.items():
        mine.sort(key=lambda row: int(row["layer"]))
        grids[key] = {
            name: np.array([float(row[column]) for row in mine])
            for name, column in (("score", "score"), ("layer", "layer"), *METRICS.items())
        }
    return grids, {r["task"]: r["task_family"] for r in rows}, {r["model"]: r["family"] for r in rows}


def choosers(grids: Grids) -> dict[str, Callable[[tuple[str, str]], np.ndarray]]:
    """How a layer is chosen: of a (model, task) the probability of each layer."""

    def one(grid: Grid, layer: int) -> np.ndarray:
        return (np.arange(len(grid["score"])) == layer).astype(float)

    def elsewhere(key: tuple[str, str]) -> np.ndarray:
        """The relative depth at which the other models do best on the same task, on average."""
        others = [other for (model, task), other in grids.items() if task == key[1] and model != key[0]]
        best = np.mean([other["depth"][other["score"].argmax()] for other in others])
        return one(grids[key], int(np.abs(grids[key]["depth"] - best).argmin()))

    by_metric = {
        f"highest {name}": (lambda key, name=name: one(grids[key], int(grids[key][name].argmax())))
        for name in METRICS
        if name != "depth"
    }
    return by_metric | {
        "middle layer": lambda key: one(grids[key], int(np.abs(grids[key]["depth"] - 0.5).argmin())),
        "last layer": lambda key: one(grids[key], len(grids[key]["score"]) - 1),
        "depth best for other models": elsewhere,
        "random": lambda key: np.full(len(grids[key]["score"]), 1 / len(grids[key]["score"])),
        "oracle": lambda key: one(grids[key], int(grids[key]["score"].argmax())),
    }


def regret(grid: Grid, chances: np.ndarray) -> float:
    """Best score less the expected score of the choice, as a share of best less worst."""
    score = grid["score"]
    return float((score.max() - chances @ score) / np.ptp(score))


def over_models(values: dict[tuple[str, str], float], kept: Callable[[str], bool]) -> dict[str, float]:
    """The mean over the tasks that are kept, of each model."""
    found: dict[str, list[float]] = {}
    for (model, task), value in values.items():
        if kept(task) and np.isfinite(value):
            found.setdefault(model, []).append(value)
    return {model: float(np.mean(mine)) for model, mine in found.items()}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over models with its interval by Student's t."""
    mean = float(values.mean())
    half = float(stats.t.ppf(0.5 * (1 + LEVEL), len(values) - 1) * stats.sem(values)) if len(values) > 1 else np.inf
    return mean, mean - half, mean + half


def shown(values: dict[str, float], least: float = -1.0) -> str:
    """`0.31 (0.21 to 0.40)`, cut at the least and at 1."""
    mean, low, high = interval(np.array(list(values.values())))
    return f"{mean:.2f} ({max(low, least):.2f} to {min(high, 1.0):.2f})"


def within_verdicts(grids: Grids, models: list[str], kept: Callable[[str], bool]) -> Counter[str]:
    """Verdicts on the layers of each model, depth held equal: does rank say more than where a layer lies?

    The quality of a layer is its mean over tasks of (score - worst) / (best - worst).
    """
    found: Counter[str] = Counter()
    for model in models:
        mine = [grid for (one, task), grid in grids.items() if one == model and kept(task)]
        if not mine:
            continue
        quality = np.mean([(g["score"] - g["score"].min()) / np.ptp(g["score"]) for g in mine], axis=0)
        table = {"rank": mine[0]["effective rank"], "depth": mine[0]["depth"], "quality": quality}
        found[
            so.audit(
                table, rank="rank", y="quality", covariates="depth", clusters=(), higher_is_better=True, unit="none",
                seed=SEED,
            ).verdict
        ] += 1  # fmt: skip
    return found


def across_audits(grids: Grids, tasks: list[str], families: dict[str, str]) -> tuple[Counter[str], int, int, float]:
    """Verdicts over models at their last layer for each task; in how many models rank's best layer is the best one."""
    verdicts: Counter[str] = Counter()
    agree = configurations = 0
    chance = 0.0
    for task in tasks:
        columns: dict[str, list[Any]] = {name: [] for name in ("model", "family", "layer", "rank", "quality")}
        for (model, of), grid in grids.items():
            if of == task:
                columns["model"] += [model] * len(grid["score"])
                columns["family"] += [families[model]] * len(grid["score"])
                columns["layer"] += grid["layer"].tolist()
                columns["rank"] += grid["effective rank"].tolist()
                columns["quality"] += grid["score"].tolist()
        audit = so.audit(
            columns, rank="rank", y="quality", covariates=(), clusters="model", family="family", layer="layer",
            higher_is_better=True, unit="none", seed=SEED,
        )  # fmt: skip
        verdicts[audit.verdict] += 1
        if not isinstance(audit.layers, str):
            agree += audit.layers.agree
            configurations += audit.layers.configurations
            chance += audit.layers.chance * audit.layers.configurations
    return verdicts, agree, configurations, chance


def across(grids: Grids, tasks: list[str], at: str, draws: int = 1000) -> tuple[float, float, float]:
    """Mean over tasks of Spearman's rho over models, of rank with score, with an interval over resampled models."""
    models = sorted({model for model, _ in grids})

    def point(grid: Grid) -> tuple[float, float]:
        if at == "last layer":
            return float(grid["effective rank"][-1]), float(grid["score"][-1])
        if at == "best layer":
            best = int(grid["score"].argmax())
            return float(grid["effective rank"][best]), float(grid["score"][best])
        return float(grid["effective rank"].mean()), float(grid["score"].mean())

    points = {key: point(grid) for key, grid in grids.items() if key[1] in tasks}

    def rho(chosen: list[str]) -> float:
        values = []
        for task in tasks:
            pairs = np.array([points[model, task] for model in chosen if (model, task) in points])
            if len(pairs) >= 4 and (np.ptp(pairs, axis=0) > 0).all():
                ranks = stats.rankdata(pairs, axis=0)
                values.append(float(np.corrcoef(ranks.T)[0, 1]))
        return float(np.mean(values)) if values else np.nan

    rng = np.random.default_rng(SEED)
    resampled = [rho(rng.choice(models, len(models)).tolist()) for _ in range(draws)]
    low, high = np.nanquantile(resampled, [0.5 * (1 - LEVEL), 0.5 * (1 + LEVEL)])
    return rho(models), float(low), float(high)


def main() -> None:
    """Count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, nargs="?", help=f"{FILE}; else it is looked for in SONOSCALE_DATA")
    path = find_table(parser.parse_args().table, FILE, SOURCE)
    warnings.simplefilter("ignore", UserWarning)
    grids, family_of, objective_of = read(path)
    models = list(objective_of)
    families = list(dict.fromkeys(family_of.values()))
    groups: Mapping[str, Callable[[str], bool]] = {
        name: (lambda task, name=name: family_of[task] == name) for name in families
    } | {"all": lambda task: True}
    tasks = {name: [task for task in family_of if kept(task)] for name, kept in groups.items()}
    counts = {name: len(over_models(dict.fromkeys(grids, 0.0), kept)) for name, kept in groups.items()}

    rhos = {
        metric: {key: spearman(grid[metric], grid["score"], bootstrap=80).value for key, grid in grids.items()}
        for metric in METRICS
    }
    within = [
        f"| {metric} | " + " | ".join(shown(over_models(rhos[metric], kept)) for kept in groups.values()) + " |"
        for metric in METRICS
    ]
    verdicts = {name: within_verdicts(grids, models, kept) for name, kept in groups.items()}
    words = ("supported", "only_through_capacity", "not_supported", "insufficient_data")
    judged = [
        f"| {name} | " + " | ".join(str(found[word]) for word in words) + " |" for name, found in verdicts.items()
    ]

    losses = {
        name: {key: regret(grid, choose(key)) for key, grid in grids.items()}
        for name, choose in choosers(grids).items()
    }
    chosen = [
        f"| {name} | " + " | ".join(shown(over_models(losses[name], kept), 0.0) for kept in groups.values()) + " |"
        for name in losses
    ]
    by_rank = "highest effective rank"
    differences, said = [], {}
    for other in ("middle layer", "last layer", "depth best for other models", "random"):
        cells = []
        for name, kept in groups.items():
            mine, theirs = over_models(losses[by_rank], kept), over_models(losses[other], kept)
            off = {model: mine[model] - theirs[model] for model in mine}
            cells.append(shown(off))
            said[other, name] = interval(np.array(list(off.values())))
        differences.append(f"| {other} | " + " | ".join(cells) + " |")

    across_rows, audits = [], {}
    for name in groups:
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*across(grids, tasks[name], at)) for at in (
            "last layer", "best layer", "mean over layers"
        )]  # fmt: skip
        if name != "all":
            audits[name] = across_audits(grids, tasks[name], objective_of)
            found, agree, configurations, chance = audits[name]
        else:
            found = sum((one[0] for one in audits.values()), Counter())
            agree, configurations, chance = (sum(one[i] for one in audits.values()) for i in (1, 2, 3))
        kinds = ", ".join(f"{count} `{word}`" for word, count in found.items())
        across_rows.append(
            f"| {name} | {len(tasks[name])} | {' | '.join(cells)} | {kinds} | {agree} of {configurations} "
            f"({chance:.0f} by chance) |"
        )
    header = "| " + " | ".join(f"{name} ({counts[name]} models)" for name in groups) + " |"
    rule = "|---" + "|---:" * len(groups) + "|"
    supported, every = verdicts["all"]["supported"], sum(verdicts["all"].values())
    rho_rank, rho_depth = (interval(np.array(list(over_models(rhos[m], groups["all"]).values()))) for m in (
        "effective rank", "depth"
    ))  # fmt: skip
    PAGE.write_text(
        "\n".join(
            [
                "# Does rank choose the layer?",
                "",
                f"{len(models)} music foundation models, layer by layer (the embedding of the input is layer 0): "
                "effective "
                f"rank without labels beside the score of a probe on up to {len(family_of)} measures "
                f"of {len(families)} families of tasks, several of them of one data set. One seed each. Intervals are "
                f"{LEVEL:.0%}, by Student's t over models (each the mean over its tasks), since tasks and layers of "
                "one "
                "model are dependent.",
                "",
                "## Layers within a model",
                "",
                "Spearman's rho of score with each column over the layers of a model; depth is where a layer lies.",
                "",
                "| with " + header,
                rule,
                *within,
                "",
                f"Over all tasks rho is {rho_rank[0]:.2f} ({rho_rank[1]:.2f} to {rho_rank[2]:.2f}) with rank, and "
                f"{rho_depth[0]:.2f} ({rho_depth[1]:.2f} to {rho_depth[2]:.2f}) with depth alone. Does rank say more "
                "than depth? `so.audit` on the layers of each model, its quality the mean over the family's tasks, "
                "depth "
                "as the covariate; the number of models with each verdict:",
                "",
                "| tasks | " + " | ".join(f"`{word}`" for word in words) + " |",
                "|---|" + "---:|" * len(words),
                *judged,
                "",
                f"Over all tasks the audit says `supported` in {supported} of {every} models. Neighbouring layers are "
                "alike, so that the layers of a model are fewer than they look: the audit takes them as independent, "
                "and "
                "these verdicts are rather too sure than not sure enough.",
                "",
                "## Choosing a layer",
                "",
                "Regret: best score less that of the layer chosen, as a share of best less worst over the layers, 0 "
                "for "
                "the oracle and 1 for the worst layer; mean over models. `depth best for other models` uses the "
                "labels of "
                "other models, not of this one.",
                "",
                "| chosen by " + header,
                rule,
                *chosen,
                "",
                "Regret of the highest effective rank less that of each other choice, paired by model; above zero, "
                "rank "
                "chooses worse:",
                "",
                "| less that of " + header,
                rule,
                *differences,
                "",
                " ".join(_sentence(other, said[other, "all"]) for other in ("middle layer", "last layer", "random")),
                *_families(said, families),
                "",
                "## Across models",
                "",
                "Spearman's rho over models of effective rank with score, mean over tasks, with an interval over "
                "resampled models: at the last layer, at each model's best layer, and of means over layers. Then the "
                'verdicts of `so.audit(..., layer="layer")`, one for each task, at the last layer (the table has no '
                "sizes, so that nothing can be held equal and nothing can be supported); and in how many (model, "
                "task) the "
                "layer of the highest rank is the best.",
                "",
                "| tasks | measures | last layer | best layer | mean over layers | verdicts | best layer found |",
                "|---|---:|---:|---:|---:|---|---:|",
                *across_rows,
                "",
                made_by("layers.py", SEED, path),
                "",
            ]
        )
    )
    print(f"written: {PAGE}")


def _sentence(other: str, off: tuple[float, float, float]) -> str:
    mean, low, high = off
    how = "worse than" if low > 0 else "better than" if high < 0 else "not significantly different from"
    words = {"random": "a random choice", "middle layer": "the middle layer", "last layer": "the last layer"}[other]
    return f"Choosing by rank is {how} {words}: {mean:+.2f} ({low:+.2f} to {high:+.2f})."


def _families(said: dict[tuple[str, str], tuple[float, float, float]], families: list[str]) -> list[str]:
    """What differs by family of tasks, in a sentence each way."""
    out = []
    for word, ours in (("worse", lambda off: off[1] > 0), ("better", lambda off: off[2] < 0)):
        found = [f"{name} ({other})" for (other, name), off in said.items() if name in families and ours(off)]
        out.append(f"By family of tasks, rank is significantly {word} in: {', '.join(found) or 'none'}.")
    return ["", " ".join(out)]


if __name__ == "__main__":
    main()
