"""The model card of an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sonoscale import __version__
from sonoscale.export._source import TrainedEncoder
from sonoscale.rank import RankRecord


def card(trained: TrainedEncoder, *, title: str, use: str) -> str:
    """Markdown: how to use the export, what the encoder is, how it was trained, its rank, its limits.

    Arguments:
        trained: the encoder and its record.
        title: first line.
        use: Markdown on how to use the export.
    """
    parts = [f"# {title}", use.strip(), _model(trained), _training(trained), _rank(trained), _LIMITS.strip(), _LICENCE]
    return "\n\n".join(parts) + "\n"


def _model(trained: TrainedEncoder) -> str:
    c, encoder = trained.encoder.config, trained.encoder
    size = sum(p.numel() for p in encoder.parameters())
    kind = {"vit": "Vision transformer", "conv": "Isotropic ConvNeXt", "cnn": "Strided CNN"}[c.backbone]
    patch_ms = 1000 * c.patch_frames * c.front_end.hop / encoder.sample_rate
    return "\n".join([
        "## Model",
        "",
        f"- {kind}, width {c.width}, {c.depth} blocks, {size:,} parameters.",
        f"- Takes mono audio at {encoder.sample_rate} Hz as {c.n_mels} log-mel bands, in patches of "
        f"{c.patch_mels} bands x {patch_ms:g} ms; the shortest clip is {encoder.min_samples} samples.",
        f"- A clip's embedding has {trained.dim} numbers, readout `{trained.readout}`: {_READOUTS[trained.readout]}, "
        "after the final norm.",
        f"- Weights and shape: `{trained.hash}`.",
    ])  # fmt: skip


_READOUTS = {
    "mean": "the mean over all patches",
    "mean+std": "the mean over all patches, then the standard deviation",
    "frequency": "the mean over time of each patch along frequency, lowest first",
    "frequency+std": "the mean over time of each patch along frequency, lowest first, then the standard deviations",
}


def _training(trained: TrainedEncoder) -> str:
    record, budget, config = trained.record, trained.budget, trained.config
    lines = ["## Training", ""]
    data = {key: _without_folders(value) for key, value in config.get("data", {}).items()}
    lines.append(f"- Data: `{json.dumps(data)}`.")
    if record is None or not budget:
        return "\n".join([*lines, "- Length of training and rank are not known: the run's record is not there."])
    objective = config.get("objective", {}).get("kind", "?")
    lines += [
        f"- {record['clips']:,} clips, {record['hours']:.4g} hours of unlabelled audio.",
        f"- Objective `{objective}`, {budget['step']:,} steps, {budget['clips_seen']:,} clips "
        f"({budget['hours_seen']:.4g} hours) seen in training, last loss {budget['loss']:.4g}.",
        f"- {budget['flops']:.3g} FLOPs in all, {budget['flops_encoder']:.3g} of them in the encoder.",
        f"- Seed {config.get('seed')}, precision {record['precision']}.",
    ]
    lines += [f"- Warning: {warning}" for warning in record.get("warnings", [])]
    return "\n".join(lines)


def _without_folders(value: Any) -> Any:
    """Settings without where the files lay on the machine of the training."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if not isinstance(value, str):
        return value
    return ":".join(Path(part).name if part.startswith(("/", "~", ".")) else part for part in value.split(":"))


def _rank(trained: TrainedEncoder) -> str:
    lines = ["## Effective rank of its embeddings", ""]
    for key in ("rank", "rank_centred"):
        if key not in trained.budget:
            continue
        r = RankRecord.from_dict(trained.budget[key])
        seconds = "" if r.mean_seconds is None else f" of {r.mean_seconds:.3g} s"
        lines.append(
            f"- `{r.estimator}` ({'centred' if r.centred else 'not centred'}, eps {r.eps:g}): "
            f"**{r.value:.2f}**, {100 * r.level:g} % interval {r.low:.2f} to {r.high:.2f}, of "
            f"{r.n} held-out clips{seconds}, in {r.dim} dimensions."
        )
        lines += [f"  - Warning: {warning}" for warning in r.warnings]
    if len(lines) == 2:
        lines.append("Not known.")
    return "\n".join(lines)


_LIMITS = """
## Limits

- Rank depends on estimator, clips and width: compare it only with ranks that were measured alike. It says nothing of
  any one task by itself.
- Clips unlike those of the training, in kind or length, may be represented badly. What follows the last whole patch of
  a clip is ignored.
- How the model treats the speech of different groups of people has not been examined.
"""

_LICENCE = f"""## Licence

To be filled in by whoever publishes this model: it follows from the audio it was trained on.

Written by Sonoscale {__version__}."""
