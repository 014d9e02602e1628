"""From a study to its runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sonoscale.config import config_hash, set_key, validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig
from sonoscale.study._config import StudyConfig

_SECTIONS = ("data", "encoder", "objective", "train")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study, before it is trained."""

    config: RunConfig
    label: str  # what differs from the base, or "base"
    axis: str  # the swept key that differs ("base" for none, "several" for more than one)

    @property
    def config_id(self) -> str:
        """Digest of the configuration as it is written, without the seed."""
        return config_hash(self.config.model_dump(mode="json", exclude={"seed": True}))


def expand(study: StudyConfig) -> list[PlannedRun]:
    """All runs of a study: every point of the design with every seed, each once.

    Arguments:
        study: the whole configuration.

    Returns:
        The runs, in the order of the design.

    Raises:
        SonoscaleError: a swept key does not exist, or a point is not a valid run (named).

    Example:
        >>> study = StudyConfig.model_validate({
        ...     "name": "grid", "data": {"kind": "procedural"}, "design": "grid", "seeds": [0],
        ...     "sweep": {"encoder.width": [16, 32], "encoder.depth": [2, 4]},
        ...     "tasks": [{"kind": "procedural", "name": "event"}],
        ... })
        >>> [run.label for run in expand(study)]
        ['width=16 depth=2', 'width=16', 'width=32 depth=2', 'width=32']
    """
    base = {name: getattr(study, name).model_dump(mode="python") for name in _SECTIONS}
    runs: dict[str, PlannedRun] = {}
    for point in _points(study):
        changed: dict[str, Any] = {}
        axes = []
        for key, value in point.items():
            different = {k: v for k, v in _keys(key, value) if v != _get(base, k)}
            axes += [key] if different else []
            changed |= different
        raw = {name: dict(section) for name, section in base.items()}
        for key, value in changed.items():
            set_key(raw, key, value)
        label = " ".join(f"{key.rpartition('.')[2]}={_show(value)}" for key, value in changed.items()) or "base"
        axis = "base" if not axes else axes[0] if len(axes) == 1 else "several"
        for seed in study.seeds:
            config = validate(RunConfig, {**raw, "seed": seed}, source=f"run '{label}'")
            run = PlannedRun(config, label, axis)
            runs.setdefault(f"{run.config_id}-{seed}", run)
    return list(runs.values())


def _points(study: StudyConfig) -> Iterator[dict[str, Any]]:
    for key, values in study.sweep.items():
        section = key.partition(".")[0]
        together = key in _SECTIONS and all(isinstance(value, dict) for value in values)
        if section not in _SECTIONS or not ("." in key or together):
            raise SonoscaleError(
                f"sweep: '{key}' is not a key of a run; use section.key with a section of {', '.join(_SECTIONS)}, or a "
                "section alone with mappings of keys that change together"
            )
        if section == "data" and key not in ("data.clips", "data.hours", "data.mixture"):
            raise SonoscaleError(
                f"sweep: '{key}' would change the held-out clips, and ranks measured on different clips cannot be "
                "compared; of the data only data.clips, data.hours and data.mixture can be swept"
            )
    if study.design == "grid":
        for values in itertools.product(*study.sweep.values()):
            yield dict(zip(study.sweep, values, strict=True))
        return
    yield {}
    for key, values in study.sweep.items():
        for value in values:
            yield {key: value}


def _keys(key: str, value: Any) -> list[tuple[str, Any]]:
    """Dotted keys and values of one value of a sweep; a section's are several."""
    return [(f"{key}.{name}", each) for name, each in value.items()] if key in _SECTIONS else [(key, value)]


def _get(base: dict[str, Any], dotted: str) -> Any:
    node: Any = base
    for name in dotted.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _show(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
