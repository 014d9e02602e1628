"""Which recipes learn? `python benchmarks/recipes.py RESULTS... DATA` writes `docs/recipes.md`.

Each RESULTS is a ledger, the folder of a study with its `ledger.parquet`, or a folder of such folders: those of the
studies in `studies/recipes/`, each made by `sonoscale study run`, for example with `--out RESULTS/recipes-scaling --set
data.root=DATA`, and any others with the same tasks. Of studies that are not there nothing is said. DATA is the folder
of the tasks, on which runs of 1e14 operations are held against their baselines once more, clip by clip.
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from scipy import stats

from paired import LEVEL, PROTOCOLS, Found, differences, hold_against
from paired import table as paired_table
from sonoscale.corpora import FolderTaskConfig
from sonoscale.study._ledger import read_ledger

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "recipes.md"
TRIED = ROOT / "studies" / "recipes" / "tried.csv"
CHOOSING = ("esc10", "wakeword6", "gm_family", "drum_hit")
CONFIRMING = ("fsdd_digit", "gm_octave", "mandarin_initial")
FIVE = ("esc10", "wakeword6", "fsdd_digit", "gm_family", "gm_octave")
SETS = {"choosing": CHOOSING, "confirming": CONFIRMING, "five": FIVE}
HARDEST = ("drum_hit", "mandarin_initial")
LONG = 0.9e14
"""Operations from which a run is held against the targets."""
FEW = 8
"""Configurations of a study that are all shown."""
KNN, LINEAR = 0.62, 0.73
"""What public encoders of other people's reach in the mean of the five tasks, trained on far more audio."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study that was run: its file, where its results are, and the ledger's rows of its first readout."""

    name: str
    config: dict[str, Any]
    folder: Path
    file: str
    rows: list[Row]

    @property
    def sets(self) -> dict[str, tuple[str, ...]]:
        """The sets of tasks that it has all tasks of."""
        tasks = {row["task"] for row in self.rows}
        return {name: each for name, each in SETS.items() if tasks.issuperset(each)}

    @property
    def labels(self) -> list[str]:
        """Its configurations; of a study of many, those that the others are variations of."""
        all_labels = list(dict.fromkeys(row["label"] for row in self.rows))
        return all_labels if len(all_labels) <= FEW else [each for each in all_labels if each.endswith("base")]

    def of(self, label: str) -> list[Row]:
        """The rows of a configuration."""
        return [row for row in self.rows if row["label"] == label]


def main(results: Sequence[Path], data: Path) -> None:
    """Write the page."""
    studies = find(results)
    held = {
        (study.name, label): hold(study, label, data)
        for study in studies
        for label in study.labels
        if set(study.sets) == set(SETS) and is_long(study.of(label)) and (study.folder / "runs").is_dir()
    }
    parts = [HEAD, decades(studies)]
    if held:
        parts.append(targets(held))
    parts += [hardest(studies), rank(studies), tried(), best(studies), "## The studies"]
    for study in studies:
        parts.append(section(study))
        parts += [against(label, found) for (name, label), found in held.items() if name == study.name]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


HEAD = f"""# Recipes: encoders that learn on a CPU

**What to use.** Contrast of two views of one second on a small CNN, read out by frequency. It is what `pretrain` and
`study` do where a file says nothing else:

```yaml
encoder: {{backbone: cnn, width: 64, depth: 1}}
objective: {{kind: contrastive}}
train: {{clip_seconds: 1.0, batch_size: 128, lr: 2.0e-3, warmup_steps: 20, flops: [1.0e+13]}}
readouts: [frequency+std]
```

The views are cut out of the same second, stretched along time and frequency, mixed with other clips and faded. The
stretching is what makes it learn ([views](#recipes-views)), and it has a price: what differs in pitch or in the fine
course of time alone comes out alike. Where a task hangs on that, hold the encoder against log-mel statistics first
([the two hardest tasks](#the-two-hardest-tasks)).

Written by `python benchmarks/recipes.py RESULTS... DATA` from the ledgers of studies, most of them in
`studies/recipes/`. Everything was chosen on four tasks ({", ".join(CHOOSING)})
and confirmed on three others ({", ".join(CONFIRMING)}); *five* are
{", ".join(FIVE)}. Log-mel statistics and the untrained twin are read out like the
encoder. Scores are of each task's own metric, by nearest neighbours, eight labels a class and a linear probe; after ±
is the deviation between seeds. Rank is RankMe, centred, of the token mean on held-out clips."""


def find(places: Sequence[Path]) -> list[Study]:
    """The studies in folders, those of `studies/` in the order of their files there, then the others."""
    ours: dict[str, Path] = {}
    for file in sorted((ROOT / "studies").rglob("*.yaml"), key=lambda file: (file.parent.name != "recipes", file)):
        ours[yaml.safe_load(file.read_text(encoding="utf-8"))["name"]] = file
    found = []
    for place in places:
        inside = [place] if (place / "ledger.parquet").is_file() else [] if place.is_file() else sorted(place.iterdir())
        ledgers = [place] if place.is_file() else [each / "ledger.parquet" for each in inside]
        for ledger in (each for each in ledgers if each.is_file()):
            folder = ledger.parent
            if (folder / "study.yaml").is_file():
                config = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
            else:
                config = read_ledger(ledger).about["study"]
            name, rows = config["name"], read(ledger)
            file = ours.get(name)
            if rows and {row["task"] for row in rows}.issuperset(CHOOSING):
                found.append(Study(name, config, folder, "" if file is None else str(file.relative_to(ROOT)), rows))
    order = list(ours)
    return sorted(found, key=lambda each: (order.index(each.name) if each.name in order else len(order), each.name))


def read(ledger: Path) -> list[Row]:
    """The ledger of a study, of the readout of its quality; empty where no run is finished."""
    rows: list[Row] = pq.read_table(ledger).to_pylist()
    return [row | {"protocol": _plain(row["protocol"])} for row in rows if row["readout"] == rows[0]["readout"]]


def is_long(rows: Sequence[Row]) -> bool:
    """Whether a configuration was trained for 1e14 operations."""
    return max(row["flops"] for row in rows) > LONG


def hold(study: Study, label: str, data: Path) -> Found:
    """The last checkpoints of a configuration, one a seed, against log-mel statistics and their twins."""
    runs = [study.folder / "runs" / name for name in sorted({row["run"] for row in study.of(label)})]
    wanted = {*CHOOSING, *CONFIRMING}
    tasks = [FolderTaskConfig.model_validate(raw).load(data) for raw in study.config["tasks"] if raw["name"] in wanted]
    return hold_against(runs, tasks, study.config["readouts"][0])


def decades(studies: Sequence[Study]) -> str:
    """Per configuration, the mean score on the five tasks over the budgets, and how much each step adds."""
    lines = [
        ["recipe", "study", "seeds", "log-mel", "untrained", "by FLOPs of training", "rise from budget to budget"],
        ["---", "---", "---:", "---:", "---:", "---", "---"],
    ]
    for study in studies:
        for label in study.labels if "five" in study.sets else ():
            mine = study.of(label)
            steps = sorted({row["step"] for row in mine})
            scores = [f"{_flops(mine, step)}: {_of(mine, step, 'score')}" for step in steps if _of(mine, step, "score")]
            rises = [_difference(each["five"]) for _, each in _rises(mine, {"five": FIVE})]
            floors = [_of(mine, steps[-1], key) for key in ("floor_logmel", "floor_untrained")]
            name = f"{label}, {'procedural' if study.config['data']['kind'] == 'procedural' else 'recordings'}"
            lines.append([name, study.name, _seeds(mine), *floors, "; ".join(scores), "; ".join(rises)])
    return (
        "## What compute buys\n\nThe mean over the five tasks and the three protocols, of encoders trained on "
        f"recordings (a pool of nine hours) or on procedural audio, with the rise between budgets of the same seeds "
        f"and its {LEVEL:.0%} interval (Student's t over seeds) where there are several seeds:\n\n" + _lines(lines)
    )


def targets(held: dict[tuple[str, str], Found]) -> str:
    """What was aimed at, and whether it was reached."""
    lines = [["study", "recipe", "aim", "found", "reached"], ["---"] * 5]
    for (study, label), found in held.items():
        for protocol, least in (("knn", KNN), ("linear", LINEAR)):
            value, low, high = differences(found, FIVE, [protocol])[0]
            lines.append([
                study, label, f"{protocol}, mean of five: {least}", f"{value:.3f} ({low:.3f} to {high:.3f})",
                "yes" if value >= least else "no",
            ])  # fmt: skip
        for task in HARDEST:
            for what, (value, low, high) in zip(
                ("log-mel statistics", "the untrained twin"), differences(found, [task], PROTOCOLS)[1:], strict=True
            ):
                lines.append([
                    study, label, f"{task}, above {what}", f"{value:+.3f} ({low:+.3f} to {high:+.3f})",
                    "yes" if low > 0 else "no",
                ])  # fmt: skip
    return (
        "## Against strong encoders and the baselines\n\nAt 1e14 operations. Public encoders trained on far more audio "
        f"score about {KNN} by nearest neighbours and {LINEAR} by a linear probe in the mean of the five tasks. Of the "
        "two hardest tasks it is the mean over the three protocols, paired by clip, read out alike, with 95% intervals "
        "over test clips; the scores are means over seeds:\n\n" + _lines(lines)
    )


def hardest(studies: Sequence[Study]) -> str:
    """Of each recipe at its last budget, and of its untrained twin, the scores on the two hardest tasks."""
    lines = [["recipe", "study", "FLOPs", *HARDEST], ["---", "---", "---:", *["---:"] * len(HARDEST)]]
    for study in (each for each in studies if {row["task"] for row in each.rows}.issuperset(HARDEST)):
        if len(lines) == 2:
            lines.append(["log-mel statistics", "", "0", *(_cell(study.rows, [t], "floor_logmel") for t in HARDEST)])
        for label in study.labels:
            mine = study.of(label)
            step = max(row["step"] for row in mine)
            last = [row for row in mine if row["step"] == step]
            for what, flops, key in (("untrained", "0", "floor_untrained"), ("", _flops(mine, step), "score")):
                name = f"{label}, {what}" if what else label
                lines.append([name, study.name, flops, *(_cell(last, [task], key) for task in HARDEST)])
    return (
        "## The two hardest tasks\n\nStrokes of unseen drum kits, and initials of Mandarin syllables before unseen "
        "finals: consonants of some tens of milliseconds. A token of the CNN is 160 ms of 16 bands, one of the "
        "transformer of frames 40 ms of all bands, and untrained it tells initials better. Compare each recipe with "
        "its own untrained twin, and with log-mel statistics. Nearest neighbours / eight labels a class / linear:\n\n"
        + _lines(lines)
    )


def rank(studies: Sequence[Study]) -> str:
    """Where rank follows quality over training."""
    lines = [
        ["recipe", "study", "moves alike", "rank, untrained", "rank by FLOPs of training"],
        ["---", "---", "---:", "---:", "---"],
    ]
    total: dict[str, list[int]] = {}
    for study in studies:
        for label in study.labels:
            mine = study.of(label)
            same, of = follows(mine)
            kind = mine[0]["objective"]
            total[kind] = [a + b for a, b in zip(total.get(kind, [0, 0]), (same, of), strict=True)]
            ranks = [
                f"{_flops(mine, step)}: {np.mean([row['rankme_centred'] for row in mine if row['step'] == step]):.1f}"
                for step in sorted({row["step"] for row in mine})
            ]
            start = np.mean([row["rankme_centred_start"] for row in mine])
            lines.append([label, study.name, f"{same} of {of}", f"{start:.1f}", "; ".join(ranks)])
    said = ", ".join(f"{kind} in {same} of {of}" for kind, (same, of) in total.items())
    return (
        "## Where rank follows quality\n\nFrom one point of a run to the next, the untrained network first: how often "
        "the rank moves in the direction in which the mean over all tasks and protocols does. By objective: "
        f"{said}. About half is what a coin gives; far fewer means that a *falling* rank goes with learning.\n\n"
        + _lines(lines)
    )


def tried() -> str:
    """What was tried and given up, with code that was not kept."""
    with TRIED.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return (
        "## What was tried besides\n\nBefore the studies below, with code of which only what won was kept; one seed, "
        "the tasks to choose on, readout `frequency+std`, the pool of nine hours. From `studies/recipes/tried.csv`:"
        "\n\n" + _lines(lines)
    )


def follows(rows: Sequence[Row]) -> tuple[int, int]:
    """Of the moves from one point of a run to the next, in how many rank moves as quality, and how many there are."""
    same = total = 0
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        floors = [row["floor_untrained"] for row in mine if row["floor_untrained"] is not None]
        points = [(mine[0]["rankme_centred_start"], np.mean(floors))] if floors else []
        for step in sorted({row["step"] for row in mine}):
            here = [row for row in mine if row["step"] == step]
            points.append((here[0]["rankme_centred"], np.mean([r["score"] for r in here])))
        for (before, quality), (after, later) in itertools.pairwise(points):
            same += bool((after > before) == (later > quality))
            total += 1
    return same, total


def best(studies: Sequence[Study]) -> str:
    """The checkpoints that score most on the tasks to choose on, and what they score on the others."""
    lines = [["study", "what", "seed", "FLOPs", "M params", *SETS], ["---", "---", *["---:"] * 6]]
    scored, known = [], set[tuple[str, int]]()  # a run may be in several studies
    for study in studies:
        rows = study.rows
        for label, seed, step in dict.fromkeys((row["label"], row["seed"], row["step"]) for row in rows):
            mine = [row for row in rows if (row["label"], row["seed"], row["step"]) == (label, seed, step)]
            quality = _of_seeds(mine, CHOOSING, "score", PROTOCOLS)
            if (mine[0]["run"], step) in known:
                continue
            known.add((mine[0]["run"], step))
            if quality and set(study.sets) == set(SETS):
                cells = [_cell(mine, tasks, "score") for tasks in SETS.values()]
                size = f"{mine[0]['params'] / 1e6:.2f}"
                line = [study.name, label, str(seed), f"{mine[0]['flops']:.1e}", size, *cells]
                scored.append((quality[seed], line))
    lines += [line for _, line in sorted(scored, key=lambda pair: -pair[0])[:5]]
    return (
        "## The best checkpoints\n\nBy the mean over the tasks to choose on and the three protocols, of all studies "
        "below that have all tasks; a cell is nearest neighbours / eight labels a class / linear:\n\n" + _lines(lines)
    )


def section(study: Study) -> str:
    """What a study found."""
    facts = {}
    if (study.folder / "provenance.json").is_file():
        facts = json.loads((study.folder / "provenance.json").read_text(encoding="utf-8"))
    about = [f"`{study.file}`"] if study.file else []
    about += [f"readout `{study.rows[0]['readout']}`", _machine(facts)]
    parts = [
        f"### {study.name}",
        f"{study.config.get('description', '').strip()} {', '.join(part for part in about if part)}. A cell is nearest "
        "neighbours / eight labels a class / linear.",
        table([row for label in study.labels for row in study.of(label)], study.sets),
    ]
    rises = [
        f"- {label}, {budgets}: " + ", ".join(f"{name} {_difference(values)}" for name, values in each.items())
        for label in study.labels
        for budgets, each in _rises(study.of(label), study.sets)
    ]
    if rises:
        parts.append("Rise of the mean over the three protocols from one budget to the next:")
        parts.append("\n".join(rises))
    return "\n\n".join(parts)


def against(label: str, found: Found) -> str:
    """A configuration at its last budget, task by task, against its baselines."""
    return (
        f"{label} at its last budget against its baselines, read out alike, with 95% intervals over test clips; "
        "differences are paired by clip, of several tasks they are of the means:\n\n" + paired_table(found, SETS)
    )


def _plain(protocol: str) -> str:
    return protocol.partition("/")[0]  # without its version


def _machine(facts: dict[str, Any]) -> str:
    found = [str(facts[key]) for key in ("cpu", "machine", "platform") if facts.get(key)]
    return ", ".join(["Sonoscale " + str(facts.get("sonoscale", facts.get("version", ""))), *found[:1]]).strip()


def table(rows: Sequence[Row], sets: dict[str, tuple[str, ...]]) -> str:
    """One line for each configuration and budget, after the floors."""
    head = ["what", "FLOPs", "M params", "seeds", *sets, "rank, untrained", "rank"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    lines.append(["log-mel statistics", "", "", "", *(_cell(rows, t, "floor_logmel") for t in sets.values()), "", ""])
    for label in dict.fromkeys(row["label"] for row in rows):
        mine = [row for row in rows if row["label"] == label]
        size = f"{mine[0]['params'] / 1e6:.2f}"
        last = max(row["step"] for row in mine)
        final = [row for row in mine if row["step"] == last]
        twin = [_cell(final, t, "floor_untrained") for t in sets.values()]
        lines.append([f"{label}, untrained", "0", size, _seeds(final), *twin, "", ""])
        for step in sorted({row["step"] for row in mine}):
            here = [row for row in mine if row["step"] == step]
            scores = [_cell(here, t, "score") for t in sets.values()]
            ranks = [f"{np.mean([row[key] for row in here]):.1f}" for key in ("rankme_centred_start", "rankme_centred")]
            lines.append([label, f"{here[0]['flops']:.1e}", size, _seeds(here), *scores, *ranks])
    return _lines(lines)


def _seeds(rows: Iterable[Row]) -> str:
    return str(len({row["seed"] for row in rows}))


def _of_seeds(rows: Sequence[Row], tasks: Sequence[str], key: str, protocols: Sequence[str]) -> dict[int, float]:
    """Mean over tasks and protocols, by seed."""
    found: dict[int, float] = {}
    for seed in sorted({row["seed"] for row in rows}):
        values = {
            (row["task"], row["protocol"]): row[key]
            for row in rows
            if row["seed"] == seed and row["task"] in tasks and row["protocol"] in protocols
        }
        if len(values) == len(tasks) * len(protocols) and None not in values.values():
            found[seed] = float(np.mean(list(values.values())))
    return found


def _cell(rows: Sequence[Row], tasks: Sequence[str], key: str) -> str:
    parts = []
    for protocol in PROTOCOLS:
        values = list(_of_seeds(rows, tasks, key, [protocol]).values())
        if values:
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and np.ptp(values) > 0 else ""
            parts.append(f"{np.mean(values):.3f}{spread}")
    return " / ".join(parts)


def _rises(rows: Sequence[Row], sets: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """From budget to budget, in words, and by set of tasks how much more each seed scores."""
    for before, after in itertools.pairwise(sorted({row["step"] for row in rows})):
        found: dict[str, list[float]] = {}
        for name, tasks in sets.items():
            first, second = (
                _of_seeds([row for row in rows if row["step"] == step], tasks, "score", PROTOCOLS)
                for step in (before, after)
            )
            found[name] = [second[seed] - first[seed] for seed in first if seed in second]
        if all(found.values()):
            yield f"{_flops(rows, before)} to {_flops(rows, after)}", found


def _flops(rows: Iterable[Row], step: int) -> str:
    return f"{next(row['flops'] for row in rows if row['step'] == step):.1e}".replace("e+", "e")


def _of(rows: Sequence[Row], step: int, key: str) -> str:
    """The mean over the five tasks and the protocols at a step, with the deviation between seeds."""
    values = list(_of_seeds([row for row in rows if row["step"] == step], FIVE, key, PROTOCOLS).values())
    if not values:
        return ""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if np.ptp(values) > 0 else "")


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _difference(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


if __name__ == "__main__":
    *given, tasks = map(Path, sys.argv[1:])
    main(given, tasks)
