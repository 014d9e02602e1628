"""What each design of an encoder would cost, counted exactly from the run that it would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale._yaml import read_yaml
from sonoscale.encoders import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig, TrainConfig
from sonoscale.pretrain._flops import training_cost
from sonoscale.pretrain._objective_config import ObjectiveConfig

__all__ = ["DESIGN_KEYS", "Costs", "base_run", "cost_notes", "exact_costs"]

DESIGN_KEYS = {
    "objective": "objective.kind", "mask": "objective.mask", "mask_ratio": "objective.mask_ratio",
    "decoder_depth": "objective.decoder_depth", "decoder_width_ratio": "objective.decoder_width_ratio",
    "backbone": "encoder.backbone", "width": "encoder.width", "dim": "encoder.width", "depth": "encoder.depth",
    "heads": "encoder.heads", "n_mels": "encoder.n_mels",
    "patch_mels": "encoder.patch_mels", "patch_frames": "encoder.patch_frames", "mlp_ratio": "encoder.mlp_ratio",
    "kernel": "encoder.kernel", "clip_seconds": "train.clip_seconds", "batch_size": "train.batch_size",
}  # fmt: skip
"""Columns of a design -> keys of a run."""

Costs = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[np.float64]]]
"""From columns of a design [m] to its costs by name, each [m]."""

_AMOUNTS = ("examples_seen", "step", "hours_seen", "clips_seen")
_DATA = ("train_clips", "train_hours")
_TRAINED = 16  # bytes of a parameter that is trained: weight, gradient and two moments of AdamW, in float32
_KEPT = 4  # bytes of one that is not
_NEVER = 10**9  # clips of the data, so that no batch is too large for them


def base_run(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Encoder, objective and training of a study's or a run's YAML file, and notes on keys that were ignored.

    Keys that this version does not have (a study of an earlier one) are left out: costs do not depend on them.

    Raises:
        SonoscaleError: No such file, not YAML, or no section of a run in it.
    """
    if not file.is_file():
        raise SonoscaleError(f"{file}: no such configuration file, from which costs could be counted")
    raw = read_yaml(file)
    sections = {"encoder": EncoderConfig, "objective": ObjectiveConfig, "train": TrainConfig}
    if not isinstance(raw, dict) or not any(isinstance(raw.get(name), dict) for name in sections):
        raise SonoscaleError(f"{file}: neither a run nor a study: no section {', '.join(sections)}")
    base: dict[str, Any] = {}
    ignored = []
    for name, model in sections.items():
        given = raw.get(name) or {}
        base[name] = {key: value for key, value in given.items() if key in model.model_fields}
        ignored += [f"{name}.{key}" for key in given if key not in model.model_fields]
    for key in ("budgets", "flops"):  # costs are counted for any length of a training
        base["train"].pop(key, None)
    base["train"] |= {"warmup_steps": 0, "accumulate": 1}
    notes = [f"{file}: keys of another version do not enter the costs: {', '.join(ignored)}"] if ignored else []
    return base, notes


def exact_costs(
    base: Mapping[str, Any], *, hours_per_clip: float | None = None, clips_per_example: float | None = None
) -> Costs:
    """A function from columns of a design to its costs, each [m], NaN where no such run can be built.

    - `flops`: of the whole training, by `training_cost` (if the design says how much is trained on). They are counted
      by training examples: `examples_seen`, `step` times the batch, `hours_seen` of examples, or `clips_seen`, of which
      several short ones make one example.
    - `params`: of the encoder. `memory`: bytes of weights, gradients and AdamW's moments of all that is trained,
      in float32, and of a teacher's weights; activations not counted.
    - `latency`: FLOPs of the encoder for each second of audio, forward, unmasked.
    - `clips`, `hours`: different audio, where the design varies it; else all that is processed.

    Arguments:
        base: Sections of the run that every design starts from.
        hours_per_clip: Of the training data; None: as long as a training example.
        clips_per_example: Clips that are joined into one training example; None: one.
    """
    known: dict[tuple[Any, ...], tuple[float, ...] | None] = {}
    joined = 1.0 if clips_per_example is None else clips_per_example

    def one(shape: tuple[tuple[str, Any], ...]) -> tuple[float, ...] | None:
        raw: dict[str, Any] = {name: dict(section) for name, section in base.items()}
        for column, value in shape:
            section, key = DESIGN_KEYS[column].split(".")
            raw[section][key] = value
        raw["train"]["parametrisation"] = "standard"  # the other asks what lr_width is, which costs nothing
        raw["data"] = {"kind": "procedural", "seconds": 30.0, "clips": _NEVER}
        try:
            config = RunConfig.model_validate(raw)
        except ValueError:
            return None
        cost = training_cost(config)
        seconds = config.frames * config.encoder.front_end.hop / config.encoder.front_end.sample_rate
        trained = cost.params_encoder + cost.params_decoder + cost.params_head
        return (
            float(cost.flops), float(cost.params_encoder), float(_TRAINED * trained + _KEPT * cost.params_teacher),
            cost.flops_inference / seconds, seconds, float(config.train.batch_size),
        )  # fmt: skip

    def costs(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        shaped = [name for name in columns if name in DESIGN_KEYS]
        count = len(next(iter(columns.values())))
        rows = [tuple((name, _plain(columns[name][i])) for name in shaped) for i in range(count)]
        for row in set(rows) - set(known):
            known[row] = one(row)
        per = np.array([known[row] or (np.nan,) * 6 for row in rows], dtype=np.float64).reshape(count, 6)
        example, params, memory, latency, seconds, batch = per.T
        found = {"params": params, "memory": memory, "latency": latency}
        amount = next((name for name in _AMOUNTS if name in columns), None)
        examples = None
        if amount is not None:
            given = np.asarray(columns[amount], dtype=np.float64)
            per_unit = {"examples_seen": 1.0, "step": batch, "hours_seen": 3600.0 / seconds, "clips_seen": 1.0 / joined}
            examples = given * per_unit[amount]
            found["flops"] = examples * example
        data = next((name for name in _DATA if name in columns), None)
        if data is not None:
            hours = seconds / 3600.0 if hours_per_clip is None else hours_per_clip
            given = np.asarray(columns[data], dtype=np.float64)
            by_clips = data == "train_clips"
            found |= {"clips": given if by_clips else given / hours, "hours": given * hours if by_clips else given}
        elif examples is not None:
            found |= {"clips": examples * joined, "hours": examples * seconds / 3600.0}
        return found

    return costs


def cost_notes(costs: Costs, table: Mapping[str, NDArray[Any]], design: Sequence[str]) -> list[str]:
    """Columns of the design that these costs do not depend on, and where the table's own costs are others."""
    notes = []
    free = [name for name in design if name not in {*DESIGN_KEYS, *_AMOUNTS, *_DATA}]
    if free:
        notes.append(f"taken to cost nothing: {', '.join(free)}")
    found = costs({name: table[name] for name in design})
    for name in ("flops", "params"):
        if name in found and name in table:
            off = np.abs(found[name] / np.asarray(table[name], dtype=np.float64) - 1.0)
            if not (off <= 1e-6).all():
                notes.append(
                    f"{name} counted from the configuration differ from the column {name} by up to "
                    f"{np.nanmax(off):.2%}: something else differed between these runs"
                )
    return notes


def _plain(value: Any) -> Any:
    found = value.item() if hasattr(value, "item") else value
    return int(found) if isinstance(found, float) and found.is_integer() else found
