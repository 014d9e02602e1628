"""From a study to its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sonoscale.config import Config, config_hash, set_key, validate
from sonoscale.corpora import DataConfig
from sonoscale.encoders import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import ObjectiveConfig, RunConfig, TrainConfig
from sonoscale.study._axes import SECTIONS, axis_of
from sonoscale.study._config import DesignConfig, FamilyConfig, ReplicateConfig, StudyConfig

__all__ = ["PlannedRun", "expand", "value_at"]

_ONE_OF = {
    "train.budgets": "train.flops", "train.flops": "train.budgets",
    "data.clips": "data.hours", "data.hours": "data.clips",
}  # fmt: skip
"""Keys of which a run has one: what is varied replaces what the base says."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study, before it is trained.

    Attributes:
        config: the whole run.
        label: the family, where there are several, and what differs from its base, or "base".
        axis: the axis that differs ("base" for none, "several" for more than one, the budget of an IsoFLOP slice).
        family: name of the base configuration; None where the study has one only.
        replicate: how many seeds of the same configuration come before.
    """

    config: RunConfig
    label: str
    axis: str
    family: str | None = None
    replicate: int = 0

    @property
    def config_id(self) -> str:
        """Digest of the configuration as it is written, without the seed."""
        return config_hash(self.config.model_dump(mode="json", exclude={"seed", "name"}))


def expand(study: StudyConfig) -> list[PlannedRun]:
    """All runs of a study: every point of its designs, in every family, with every seed, each once.

    Arguments:
        study: the whole configuration.

    Returns:
        The runs, in the order of the families and designs.

    Raises:
        SonoscaleError: a point is not a valid run (named), a design cannot be made of the sweep, or no point is where
            replicates are asked for.

    Example:
        >>> study = StudyConfig.model_validate({
        ...     "name": "grid", "data": {"kind": "procedural"}, "design": "grid", "seeds": [0],
        ...     "sweep": {"encoder.width": [16, 32], "encoder.depth": [1, 2]},
        ...     "tasks": [{"kind": "procedural", "name": "event"}],
        ... })
        >>> [run.label for run in expand(study)]
        ['width=16', 'width=16 depth=2', 'width=32', 'width=32 depth=2']
    """
    runs: dict[tuple[str, int], PlannedRun] = {}
    replicates = [0] * len(study.replicates)
    for family in study.families or (None,):
        raw, full = _base(study, family)
        for where, changed, axis, corner in _points(study, family, full):
            label = " ".join(f"{key.rpartition('.')[2]}={_show(value)}" for key, value in changed.items()) or "base"
            label = f"{family.name} {label}" if family else label
            point = {name: dict(section) for name, section in raw.items()}
            for key, value in changed.items():
                _set(point, key, value)
            first = validate(RunConfig, {**point, "seed": study.seeds[0]}, source=f"{where}run '{label}'")
            seeds = list(study.seeds)
            for i, more in enumerate(study.replicates):
                if _is_at(more, first, is_centre=not changed, corner=corner):
                    replicates[i] += 1
                    seeds += [seed for seed in more.seeds if seed not in seeds]
            digest = PlannedRun(first, label, axis).config_id
            for replicate, seed in enumerate(seeds):
                name = f"{label[:68]}, seed {seed}"  # for people, see `RunConfig`
                config = first.model_copy(update={"seed": seed, "name": name})
                planned = PlannedRun(config, label, axis, family.name if family else None, replicate)
                runs.setdefault((digest, seed), planned)
    _check_depth(study.layers, runs.values())
    for more, found in zip(study.replicates, replicates, strict=True):
        if not found:
            remedy = _REMEDY.get(str(more.at), "give keys and values as the sweep has them")
            raise SonoscaleError(f"replicates: no point of the design is at {more.at}: {remedy}")
    return list(runs.values())


def _check_depth(layers: bool | tuple[int, ...], runs: Iterable[PlannedRun]) -> None:
    """Raises:
    SonoscaleError: a layer is asked for that no encoder has.
    """
    deepest = max((run.config.encoder.depth for run in runs), default=0)
    beyond = [] if isinstance(layers, bool) else [layer for layer in layers if layer > deepest]
    if beyond:
        raise SonoscaleError(
            f"layers: no encoder of this study has a layer {beyond[0]}: the deepest has {deepest + 1}, 0 the first"
        )


_REMEDY = {
    "centre": "set design.centre to train the base run too",
    "corners": "its points are not at the ends of the axes; give keys and values of one instead",
}


class _Sections(Config):
    """A base run, of which parts may not fit together until a point changes them."""

    data: DataConfig
    encoder: EncoderConfig
    objective: ObjectiveConfig
    train: TrainConfig


def _base(study: StudyConfig, family: FamilyConfig | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sections of a base run: what is given, and everything."""
    raw = {name: getattr(study, name).model_dump(mode="python", exclude_unset=True) for name in SECTIONS}
    raw["data"]["kind"] = study.data.kind
    if family is not None:
        for section in SECTIONS:
            for key, value in getattr(family, section).items():
                _set(raw, f"{section}.{key}", value)
    source = "the base run" if family is None else f"family '{family.name}'"
    return raw, validate(_Sections, raw, source=source).model_dump(mode="python")


def _points(
    study: StudyConfig, family: FamilyConfig | None, base: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], str, bool]]:
    """Of each point: in which design, the keys that differ from the base, the axis that does, whether at a corner."""
    from sonoscale.study._points import design_points

    sweep = study.sweep if family is None or family.sweep is None else family.sweep
    designs = study.design if family is None or family.design is None else family.design
    for number, design in enumerate(designs, start=1):
        where = f"design {number} ({design.kind}): " if len(designs) > 1 else ""
        own = sweep if design.sweep is None else design.sweep
        for slices, axes in _axes(design, own):
            for point in design_points(design, [axis_of(name, values) for name, values in axes.items()]):
                changed: dict[str, Any] = {"train.flops": (slices,)} if slices is not None else {}
                moved = []
                for name, level in point.levels.items():
                    different = {k: v for k, v in level.items() if _frozen(v) != _frozen(value_at(base, k))}
                    moved += [name] if different else []
                    changed |= different
                axis = "base" if not moved else moved[0] if len(moved) == 1 else "several"
                yield where, changed, axis if slices is None else f"flops={slices:g}", point.corner


def _axes(design: DesignConfig, sweep: Mapping[str, Any]) -> list[tuple[float | None, Mapping[str, Any]]]:
    """Of each IsoFLOP slice, or of the design: the budget, and what is varied.

    Raises:
        SonoscaleError: a slice would vary its own budget.
    """
    if design.kind != "isoflop":
        return [(None, sweep)]
    found: list[tuple[float | None, Mapping[str, Any]]] = []
    for one in design.slices:
        own = sweep if one.sweep is None else one.sweep
        for name, values in own.items():
            if budget := {"train.budgets", "train.flops"}.intersection(axis_of(name, values).keys):
                raise SonoscaleError(
                    f"design isoflop: sweep.{name} varies {min(budget)}, but the budgets are those of design.slices"
                )
        found.append((one.flops, own))
    return found


def _is_at(more: ReplicateConfig, config: RunConfig, *, is_centre: bool, corner: bool) -> bool:
    if isinstance(more.at, str):
        return is_centre if more.at == "centre" else corner
    dumped = config.model_dump(mode="python")
    return all(_frozen(value_at(dumped, key)) == _frozen(value) for key, value in more.at.items())


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    if key in _ONE_OF:
        section, _, name = _ONE_OF[key].partition(".")
        raw[section].pop(name, None)
    set_key(raw, key, value)


def value_at(base: Mapping[str, Any], dotted: str) -> Any:
    """The value of a dotted key in sections; None where there is none."""
    node: Any = base
    for name in dotted.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _frozen(value: Any) -> Any:
    """Equal for a list, a tuple and, of a mixture, a mapping of the same."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(each)) for key, each in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(f"{name}:{_show(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "/".join(map(_show, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
