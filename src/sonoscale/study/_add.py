"""More of a study that was begun: values, seeds, longer budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.config import config_hash, validate
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.results import Result
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun, expand

if TYPE_CHECKING:
    from sonoscale.study._study import Study

__all__ = ["Added", "add"]


@dataclass(frozen=True, repr=False)
class Added(Result):
    """What was added to a study; `study.run()` trains it.

    Attributes:
        study: with it.
        new: runs that are trained from the beginning.
        continued: runs that continue the trunk of one that is finished, and the FLOPs that this saves.
        kept: runs that are as before.
    """

    study: Study
    new: tuple[PlannedRun, ...]
    continued: tuple[tuple[PlannedRun, float], ...]
    kept: int

    @property
    def saved(self) -> float:
        """FLOPs that need not be spent again."""
        return sum(flops for _, flops in self.continued)

    @property
    def headline(self) -> str:
        """How many runs of each kind."""
        parts = [f"{len(self.new)} new run(s)"]
        if self.continued:
            parts.append(f"{len(self.continued)} that continue a finished one, which saves {self.saved:.3g} FLOPs")
        return f"{self.study.folder}: {', '.join(parts)}, {self.kept} as before; run the study to train them"

    def rows(self) -> list[dict[str, Any]]:
        """One row per run to be trained."""
        found = [(run, "new", 0.0) for run in self.new] + [(run, "continued", flops) for run, flops in self.continued]
        return [
            {"label": run.label, "seed": run.config.seed, "budgets": str(list(run.config.budgets)), "how": how,
             "flops saved": saved}
            for run, how, saved in found
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Counts, FLOPs saved and rows."""
        return {
            "folder": str(self.study.folder), "new": len(self.new), "continued": len(self.continued),
            "kept": self.kept, "flops_saved": self.saved, "rows": self.rows(),
        }  # fmt: skip


@in_one_line
def add(
    folder: str | Path,
    *,
    values: Mapping[str, Sequence[Any]] | None = None,
    seeds: Iterable[int] = (),
    budgets: Iterable[int] = (),
    flops: Iterable[float] = (),
) -> Added:
    """Add values, seeds and budgets to a study that was begun; nothing is trained yet.

    Runs with a longer budget continue the trunk of the finished run that they extend, where its folder is still there,
    and end as if they had been trained with all budgets from the beginning.

    Arguments:
        folder: of the study; its `study.yaml` is changed.
        values: swept key -> values to add to it; a key that was not swept begins to be.
        seeds: to add.
        budgets: steps to add, to the study's and to those of each family that has its own.
        flops: likewise of a study, or families, whose budgets are in floating-point operations.

    Returns:
        What there is to train now.

    Raises:
        SonoscaleError: no study there, nothing to add, or values that are no valid run.

    Example:
        >>> add("results/widths", budgets=[1200], values={"encoder.width": [128]}).saved  # doctest: +SKIP
        2.1e+15
    """
    check_arguments(add, locals())
    from sonoscale.study._run import write_config
    from sonoscale.study._study import study

    before = study(folder)
    if not isinstance(before.config, StudyConfig):
        return before.add()  # which says why not
    raw = before.config.model_dump(mode="json")
    for key, more in (values or {}).items():
        there = raw["sweep"].get(key, [])
        if not isinstance(there, list):
            raise SonoscaleError(f"sweep.{key} = {there}: values can be added to a list only; change the study's file")
        raw["sweep"][key] = [*there, *(value for value in more if value not in there)]
    raw["seeds"] = [*raw["seeds"], *(seed for seed in seeds if seed not in raw["seeds"])]
    for key, more in (("budgets", budgets), ("flops", flops)):
        if more := sorted({*more}):
            _lengthen(raw, key, more)
    config = validate(StudyConfig, raw, source=str(before.folder / "study.yaml"))
    if config == before.config:
        raise SonoscaleError(f"{before.folder}: nothing to add: the study has all of it already")
    new, continued, kept = _sorted_out(expand(before.config), expand(config), before.folder)
    write_config(config, before.folder)
    return Added(study(before.folder, cache=before.cache), tuple(new), tuple(continued), kept)


def _lengthen(raw: dict[str, Any], key: str, more: Sequence[float]) -> None:
    """Add budgets wherever a study file has some that count: in `train`, and in that of families.

    Raises:
        SonoscaleError: they are in the other unit everywhere.
    """
    whole, families = raw["train"], raw["families"]
    inherits = [family for family in families if not {"budgets", "flops"} & family["train"].keys()]
    places = [family["train"] for family in families if family["train"].get(key) is not None]
    in_steps = whole.get("flops") is None
    if (inherits or not families) and in_steps == (key == "budgets"):
        places.append(whole)
    if not places:
        said = {"budgets": "steps", "flops": "FLOPs (train.flops)"}
        other = "flops" if key == "budgets" else "budgets"
        raise SonoscaleError(f"{key} = {list(more)}: this study has its budgets in {said[other]}: add {other}")
    for train in places:
        train[key] = sorted({*train[key], *more})


def _sorted_out(
    old: list[PlannedRun], planned: list[PlannedRun], folder: Path
) -> tuple[list[PlannedRun], list[tuple[PlannedRun, float]], int]:
    """Runs that are new, runs that continue others and what that saves, and how many are as before."""
    from sonoscale.pretrain import training_cost
    from sonoscale.pretrain._schedule import make_schedule

    there = {_name(run) for run in old}
    trunks = {_trunk(run): run for run in old}
    finished = _finished(folder)
    new, continued, kept = [], [], 0
    for run in planned:
        earlier = trunks.get(_trunk(run))
        if _name(run) in there:
            kept += 1
        elif earlier is None or (earlier.label, earlier.config.seed) not in finished:
            new.append(run)
        else:
            train, done = run.config.train, set(earlier.config.budgets)
            end = train.decay_start(max(done))
            if not all(step in done or train.decay_start(step) >= end for step in run.config.budgets):
                new.append(run)
                continue
            schedule = make_schedule(run.config)
            segment = schedule.after(end, done)
            steps = schedule.before(segment, max(end, schedule.segments[segment].start))
            continued.append((run, float(steps) * train.batch_size * training_cost(run.config).flops))
    return new, continued, kept


def _name(run: PlannedRun) -> str:
    return f"{run.config_id}-{run.config.seed}"


def _trunk(run: PlannedRun) -> str:
    content = run.config.model_dump(mode="json")
    del content["train"]["budgets"], content["train"]["flops"]
    return config_hash(content)


def _finished(folder: Path) -> set[tuple[str, int]]:
    """Labels and seeds of the runs whose trunk was kept."""
    from sonoscale.study._plan_file import read_plan

    return {
        (run["label"], run["seed"])
        for run in read_plan(folder)
        if (folder / "runs" / run["run"] / "trunk.pt").is_file()
    }
