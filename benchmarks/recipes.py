"""Which recipes learn? `python benchmarks/recipes.py RESULTS DATA` writes `docs/recipes.md`.

RESULTS holds the folders of the studies in `studies/recipes/`, each made by `sonoscale study run`, for example with
`--out RESULTS/recipes-scaling --set data.root=DATA`. Of studies that are not there nothing is said. DATA is the folder
of the tasks, on which the longest run is held against its baselines once more, clip by clip.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from scipy import stats

from sonoscale.config import validate
from sonoscale.corpora import FolderTaskConfig, build_features
from sonoscale.encoders import load_encoder
from sonoscale.files import default_cache
from sonoscale.pretrain import RunConfig
from sonoscale.probe import ProbeResult, probe_store
from sonoscale.study._quality import untrained_twin

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "recipes.md"
STUDIES = ("scaling", "long", "width", "procedural", "views")
CHOOSING = ("esc10", "wakeword6", "gm_family", "drum_hit")
CONFIRMING = ("fsdd_digit", "gm_octave", "mandarin_initial")
FIVE = ("esc10", "wakeword6", "fsdd_digit", "gm_family", "gm_octave")
SETS = {"choosing": CHOOSING, "confirming": CONFIRMING, "five": FIVE}
PROTOCOLS = ("knn", "few-shot", "linear")
LEVEL = 0.95

Row = dict[str, Any]


def main(results: Path, data: Path) -> None:
    """Write the page."""
    parts, found = [_head()], list[tuple[str, Sequence[Row]]]()
    for name in STUDIES:
        config = yaml.safe_load((ROOT / "studies" / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
        folder = results / config["name"]
        if (folder / "ledger.parquet").is_file():
            rows = read(folder)
            found.append((config["name"], rows))
            parts.append(section(name, config, folder, rows))
            if name == "long":
                parts.append(against_baselines(folder, config, data))
    parts.insert(1, best(found))
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head() -> str:
    return (
        "# Recipes: encoders that learn on a CPU\n\n"
        "Written by `python benchmarks/recipes.py RESULTS DATA` from the ledgers of the studies in `studies/recipes/`. "
        "Everything was chosen on four tasks (" + ", ".join(CHOOSING) + ") and confirmed on three others ("
        + ", ".join(CONFIRMING) + "); *five* are " + ", ".join(FIVE) + ". A cell is the mean score over the tasks, by "
        "nearest neighbours / eight labels a class / a linear probe, and after ± the deviation between seeds of the "
        "mean. Log-mel statistics and the untrained twin are read out like the encoder. Rank is RankMe, centred, of "
        "the token mean on held-out clips."
    )  # fmt: skip


def read(folder: Path) -> list[Row]:
    """The ledger of a study, of the readout of its quality."""
    rows: list[Row] = pq.read_table(folder / "ledger.parquet").to_pylist()
    first = rows[0]["readout"]
    return [row | {"protocol": _plain(row["protocol"])} for row in rows if row["readout"] == first]


def best(found: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The checkpoints that score most on the tasks to choose on, and what they score on the others."""
    lines = [["study", "what", "seed", "FLOPs", "M params", *SETS], ["---", "---", *["---:"] * 6]]
    scored, known = [], set[tuple[str, int]]()  # a run may be in several studies
    for study, rows in found:
        for label, seed, step in dict.fromkeys((row["label"], row["seed"], row["step"]) for row in rows):
            mine = [row for row in rows if (row["label"], row["seed"], row["step"]) == (label, seed, step)]
            quality = _of_seeds(mine, CHOOSING, "score", PROTOCOLS)
            if (mine[0]["run"], step) in known:
                continue
            known.add((mine[0]["run"], step))
            if quality and {row["task"] for row in mine} >= {*CHOOSING, *CONFIRMING}:
                cells = [_cell(mine, tasks, "score") for tasks in SETS.values()]
                size = f"{mine[0]['params'] / 1e6:.2f}"
                line = [study, label, str(seed), f"{mine[0]['flops']:.1e}", size, *cells]
                scored.append((quality[seed], line))
    lines += [line for _, line in sorted(scored, key=lambda pair: -pair[0])[:5]]
    return (
        "## The best checkpoints\n\nBy the mean over the tasks to choose on and the three protocols, of all studies "
        "below that have all tasks:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)
    )


def rank_follows(rows: Sequence[Row]) -> Iterable[str]:
    """From one point of a run to the next, the untrained network first: does rank move as quality does?"""
    for label in dict.fromkeys(row["label"] for row in rows):
        same = total = 0
        for seed in sorted({row["seed"] for row in rows if row["label"] == label}):
            mine = [row for row in rows if row["label"] == label and row["seed"] == seed]
            steps = sorted({row["step"] for row in mine})
            points = [(mine[0]["rankme_centred_start"], np.mean([r["floor_untrained"] for r in mine]))]
            for step in steps:
                here = [row for row in mine if row["step"] == step]
                points.append((here[0]["rankme_centred"], np.mean([r["score"] for r in here])))
            for (rank, quality), (later_rank, later_quality) in itertools.pairwise(points):
                same += bool((later_rank > rank) == (later_quality > quality))
                total += 1
        yield f"{label}: in {same} of {total}"


def section(name: str, config: dict[str, Any], folder: Path, rows: Sequence[Row]) -> str:
    """What a study found."""
    facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    first = rows[0]["readout"]
    sets = {label: tasks for label, tasks in SETS.items() if set(tasks) <= {row["task"] for row in rows}}
    parts = [
        f"## {config['name']}",
        f"{config['description'].strip()} `studies/recipes/{name}.yaml`, readout `{first}`, {_machine(facts)}.",
        table(rows, sets),
    ]
    rises = list(_rises(rows, sets))
    if rises:
        parts.append(
            "Rise of the mean over the three protocols from one budget to the next, of the same seeds, with its "
            f"{LEVEL:.0%} interval (Student's t over seeds) where there are several:"
        )
        parts.append("\n".join(f"- {line}" for line in rises))
        parts.append(
            "Rank moved as the mean over all tasks and protocols did, from one point of a run to the next, the "
            "untrained network first; " + "; ".join(rank_follows(rows)) + "."
        )
    return "\n\n".join(parts)


def against_baselines(folder: Path, config: dict[str, Any], data: Path) -> str:
    """The last checkpoint of a study's only run, log-mel statistics and its untrained twin, paired by clip."""
    (run,) = (file.parent for file in folder.glob("runs/*/record.json"))
    trained = load_encoder(run)
    raw = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    twin = untrained_twin(validate(RunConfig, raw, source=str(run)), trained)
    readout = config["readouts"][0]
    found: dict[tuple[str, str], list[ProbeResult]] = {}  # task, protocol -> of the run and of its baselines
    for raw in config["tasks"]:
        task = FolderTaskConfig.model_validate(raw).load(data)
        store = build_features(task.corpus, trained.config.front_end, default_cache(), dtype="float32")
        how: dict[str, Any] = {"scheme": task.scheme, "kind": task.kind, "metric": task.metric, "groups": task.groups}
        for encoder in (trained, "logmel", twin):
            results = probe_store(
                encoder, store, task.labels, task.folds, protocols=PROTOCOLS, readouts=[readout], **how
            )  # fmt: skip
            for protocol in PROTOCOLS:
                found.setdefault((task.name, protocol), []).append(results[protocol, readout])
    lines = [["task", "protocol", "score", "less log-mel statistics", "less untrained"], ["---", "---", *["---:"] * 3]]
    for (task, protocol), results in found.items():
        lines.append([task, protocol, *_paired([results])])
    for name, tasks in SETS.items():
        for protocol in PROTOCOLS:
            lines.append([f"**{name}**", protocol, *_paired([found[task, protocol] for task in tasks])])
    return (
        f"The run at its last budget against its baselines, read out alike (`{readout}`), with 95% intervals over test "
        "clips; differences are paired by clip, of several tasks they are of the means:\n\n"
        + "\n".join("| " + " | ".join(line) + " |" for line in lines)
    )


def _paired(tasks: Sequence[Sequence[ProbeResult]]) -> list[str]:
    """Mean score over tasks of the first encoder, and that less each other's."""
    scores = np.mean([[each.score for each in results] for results in tasks], axis=0)  # [encoders]
    drawn = [[each.draws for each in results if each.draws is not None] for results in tasks]
    if any(len(each) < len(scores) for each in drawn):
        return [f"{scores[0]:.3f}", *(f"{scores[0] - other:+.3f}" for other in scores[1:])]
    most = min(len(draws) for each in drawn for draws in each)
    draws = np.mean([[draws[:most] for draws in each] for each in drawn], axis=0)  # [encoders, draws]
    cells = [_ends(float(scores[0]), draws[0])]
    return cells + [_ends(float(scores[0] - scores[k]), draws[0] - draws[k], sign="+") for k in range(1, len(scores))]


def _ends(value: float, draws: np.ndarray, sign: str = "") -> str:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


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
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def _rises(rows: Sequence[Row], sets: dict[str, tuple[str, ...]]) -> Iterable[str]:
    for label in dict.fromkeys(row["label"] for row in rows):
        mine = [row for row in rows if row["label"] == label]
        budgets = sorted({row["step"] for row in mine})
        for before, after in itertools.pairwise(budgets):
            said = []
            flops = ""
            for name, tasks in sets.items():
                pair = [
                    _of_seeds([row for row in mine if row["step"] == step], tasks, "score", PROTOCOLS)
                    for step in (before, after)
                ]
                both = [pair[1][seed] - pair[0][seed] for seed in pair[0] if seed in pair[1]]
                said.append(f"{name} {_difference(both)}")
                flops = " to ".join(
                    f"{next(row['flops'] for row in mine if row['step'] == step):.1e}" for step in (before, after)
                )
            yield f"{label}, {flops}: " + ", ".join(said)


def _difference(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
