"""From a table to an audit."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import check_draws
from sonoscale.laws.audit._bases import RICHEST, linear_basis
from sonoscale.laws.audit._course import Layers, Trajectory, follow_layers, follow_steps
from sonoscale.laws.audit._families import HeldOut, across_families, held_out_families, within_families
from sonoscale.laws.audit._marginal import MOST_PAIRED, Association, associate, kendall, turning_point
from sonoscale.laws.audit._pairs import Pairs, SeedFloor, matched_pairs, ordered_pairs, seed_floor
from sonoscale.laws.audit._partial import Adjusted, adjust
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._rivals import Rival, compare_rivals, oriented
from sonoscale.laws.audit._runs import Runs, gather
from sonoscale.laws.audit._selection import selection_regret
from sonoscale.laws.audit._verdict import Ruling, Verdict, decide

__all__ = ["audit_rank", "rule"]

_LEVELS = (0.5, 0.999)


def audit_rank(
    table: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    rank: str,
    quality: str,
    covariates: Sequence[str] | None = None,
    family: str | None = None,
    replicate: str | None = None,
    higher_is_better: bool | None = None,
    rivals: Sequence[str] = (),
    step: str | None = None,
    warmup: float | None = None,
    layer: str | None = None,
    level: float = 0.95,
    bootstrap: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
) -> Audit:
    """Whether rank is to be trusted as a stand-in for quality, by the rules in the docstring of this package.

    Arguments:
        table: column name -> values, all of one length.
        rank, quality: columns of finite numbers; rank is above zero and enters as its logarithm.
        covariates: columns to hold equal. None: the first of each kind of `OBVIOUS` that the table has. Those above
            zero in all rows enter as logarithms. An empty sequence: none, and then nothing can be supported.
        family: the column of architectures, objectives or the like; each gets a constant of its own.
        replicate: the column that names the configuration, whose rows (seeds, checkpoints) are dependent. None: rows
            with equal covariates (losses aside) and family are one configuration.
        higher_is_better: whether quality is a score, or an error. None: by its name, a score unless that is one of a
            loss or an error.
        rivals: columns to put in the place of rank; more is taken as better, but for a loss or an error by its name.
        step: the column of training steps, with `replicate`: the last step of each configuration is audited, all of
            them make the trajectory.
        warmup: the last step of the warm-up; None: the first third.
        layer: the column of layers, numbers: the last layer is audited, all are shown.
        level: of intervals, and 1 less that of tests; 0.5 to 0.999.
        bootstrap, permutations: how many are drawn; None: 1000 and 2000, or as many as the level needs.
        seed: of them.

    Returns:
        The `Audit`. The order of rows and the names of families and configurations change nothing.

    Raises:
        SonoscaleError: With column, row and value, for a column that is missing, of another length, or with anything
            but finite numbers; a constant rank or quality; a rank, parameters, data or compute not above zero;
            percentages mixed with fractions; a level out of range; a configuration in two families; and steps without
            `replicate`.
    """
    if not _LEVELS[0] <= level <= _LEVELS[1]:
        raise SonoscaleError(f"level must lie between {_LEVELS[0]:g} and {_LEVELS[1]:g} (such as 0.95), not {level!r}")
    least = math.ceil(round(4.0 / (1.0 - level), 6))
    bootstrap, permutations = (
        max(usual, least) if given is None else given for given, usual in ((bootstrap, 1000), (permutations, 2000))
    )
    check_draws(bootstrap, level)
    check_draws(permutations, level)
    if step is None and warmup is not None:
        raise SonoscaleError(f"warmup={warmup:g} needs the column of steps (step)")
    runs = gather(
        table, rank=rank, quality=quality, covariates=covariates, family=family, replicate=replicate,
        higher_is_better=higher_is_better, rivals=(rivals,) if isinstance(rivals, str) else rivals, step=step,
        layer=layer,
    )  # fmt: skip
    draws: dict[str, Any] = {"level": level, "bootstrap": bootstrap, "seed": seed}
    spearman, adjusted, floors, ruling = rule(runs, permutations=permutations, **draws)
    few = spearman if isinstance(spearman, str) else ""
    enough = not few
    selectors = {rank: runs.rank} | oriented(runs)
    found: dict[str, Any] = {
        "within": within_families(runs, **draws) if enough else few,
        "across": across_families(runs, **draws),
        "held_out": held_out_families(runs),
        "pairs": ordered_pairs(runs, floors["quality"], **draws) if enough else few,
        "matched": matched_pairs(runs, floors["quality"], **draws) if enough else few,
        "rivals": compare_rivals(runs, permutations=permutations, **draws) if enough else few,
        "trajectory": follow_steps(runs, warmup, level=level),
        "layers": follow_layers(runs, **draws),
    }
    turn = turning_point(runs.rank, runs.quality, level=level) if enough else None
    if turn is not None:
        turn = float(np.exp(turn))
    return Audit(
        verdict=ruling.verdict,
        reason=ruling.reason,
        rules=inspect.cleandoc(sys.modules["sonoscale.laws.audit"].__doc__ or ""),
        needed_assumed=ruling.needed_assumed,
        needed_observed=ruling.needed_observed,
        needed=ruling.needed,
        rank=rank,
        quality=quality,
        covariates=tuple(c.label for c in runs.names),
        family=family,
        replicate=replicate,
        higher_is_better=runs.higher_is_better,
        rank_logged=True,
        level=level,
        seed=seed,
        rows=len(table[quality]),
        configurations=len(runs),
        families=None if runs.family is None else int(runs.family.max()) + 1,
        spearman=spearman,
        kendall=kendall(runs.rank, runs.quality, **draws) if enough else few,
        adjusted=adjusted,
        floor_rank=floors["rank"],
        floor_quality=floors["quality"],
        regret=selection_regret(runs, selectors, **draws) if enough else few,
        turning_point=turn,
        caveats=tuple(_caveats(ruling.verdict, runs, spearman, adjusted, found, turn, rank, quality, level)),
        notes=(*runs.notes, *_drawn(len(runs))),
        **found,
    )


def rule(
    runs: Runs, *, level: float, bootstrap: int, permutations: int, seed: int
) -> tuple[Association | str, Adjusted | str, dict[str, SeedFloor | str], Ruling]:
    """The verdict and what it rests on: the marginal and the adjusted association, and the seed floors."""
    spearman: Association | str
    adjusted: Adjusted | str
    spearman = adjusted = f"{len(runs)} configurations, or means that do not differ, are too few"
    enough = len(runs) >= 3 and np.ptp(runs.rank) > 0 and np.ptp(runs.quality) > 0
    several = runs.family is not None and int(runs.family.max()) > 0
    family = runs.family if several else None
    if enough:
        names = [c.label for c in runs.names]
        spearman = associate(runs.rank, runs.quality, level=level, bootstrap=bootstrap, seed=seed)
        adjusted = adjust(
            runs.rank, runs.quality, runs.covariates, family, names, level=level, permutations=permutations, seed=seed
        )
    floors = {name: seed_floor(runs, name, level=level) for name in ("rank", "quality")}
    ruling = decide(
        len(runs),
        spearman if isinstance(spearman, Association) else None,
        adjusted if enough else None,
        floors,
        columns=linear_basis(runs.covariates, family).shape[1] - 1,
        covariates=bool(runs.names) or runs.held_constant,
        level=level,
    )
    return spearman, adjusted, floors, ruling


def _drawn(count: int) -> list[str]:
    """A note on what is of some configurations only."""
    if count <= MOST_PAIRED:
        return []
    return [f"pairs, and the interval of Kendall's tau, are of {MOST_PAIRED} of the {count} configurations, drawn"]


def _caveats(
    verdict: Verdict, runs: Runs, spearman: Association | str, adjusted: Adjusted | str, found: dict[str, Any],
    turn: float | None, rank: str, quality: str, level: float,
) -> list[str]:  # fmt: skip
    """Evidence that the rules do not use and that a reader of the verdict should know of."""
    out = []
    positive = verdict == "supported"
    if turn is not None:
        out.append(f"{quality} does not go one way with {rank}: it turns near {turn:.4g}")
    if positive and isinstance(adjusted, Adjusted) and adjusted.partial.basis == RICHEST:
        out.append(
            f"the effect of the covariates was taken up to {RICHEST}, the richest there is: bends beyond would look "
            "like rank"
        )
    held: HeldOut | str = found["held_out"]
    if positive and isinstance(held, HeldOut) and held.both >= held.covariates:
        out.append(
            f"in a family that was never seen, rank does not help: error {held.both:.3g} with it, "
            f"{held.covariates:.3g} without"
        )
    within: Association | str = found["within"]
    if positive and isinstance(within, Association) and within.value <= 0:
        out.append(f"within families the order is not right: Spearman's rho {within.value:.2f}")
    matched: Pairs | str = found["matched"]
    if positive and isinstance(matched, Pairs) and matched.interval.low <= 0.5:
        out.append(f"in pairs of equal {matched.by} rank is right in {matched.share:.0%}, which may be chance")
    if (
        isinstance(adjusted, Adjusted)
        and verdict == "not_supported"
        and adjusted.partial.p < 0.05
        and adjusted.partial.value > 0
    ):
        out.append("at equal covariates rank does go with quality: as a yardstick among runs of one size it may serve")
    rivals: tuple[Rival, ...] | str = found["rivals"]
    if isinstance(spearman, Association) and not isinstance(rivals, str):
        for rival in rivals:
            if rival.interval is not None and rival.interval.high < 0:
                out.append(f"{rival.name} orders the runs better: Spearman's rho {rival.spearman.value:.2f}")
    trajectory: Trajectory | str = found["trajectory"]
    if isinstance(trajectory, Trajectory) and trajectory.unfinished:
        out.append(f"{trajectory.unfinished} configurations end inside the warm-up, where rank means little")
    layers: Layers | str = found["layers"]
    if isinstance(layers, Layers) and layers.agree < layers.configurations:
        out.append(
            f"rank does not choose the layer: its best is the best by {quality} in {layers.agree} of "
            f"{layers.configurations} configurations"
        )
    if runs.family is not None and int(runs.family.max()) == 0:
        out.append("there is one family only: nothing is said of others")
    return out
