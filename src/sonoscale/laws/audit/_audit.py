"""From a table of runs to an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._data import as_names, check_draws, check_level
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws.audit._baselines import Baseline, compare_baselines, oriented, selection_regret
from sonoscale.laws.audit._bases import RICHEST, linear_basis
from sonoscale.laws.audit._course import Layers, Trajectory, follow_layers, follow_steps
from sonoscale.laws.audit._decisions import MOST_DECIDED, decision_accuracy
from sonoscale.laws.audit._families import HeldOutFamilies, across_families, held_out_families, within_families
from sonoscale.laws.audit._gather import Configurations, gather
from sonoscale.laws.audit._joint import MOST_JOINT, Joint, joint_test
from sonoscale.laws.audit._marginal import MOST_PAIRED, Association, associate, kendall, turning_point
from sonoscale.laws.audit._pairs import Pairs, SeedFloor, matched_pairs, ordered_pairs, seed_floor
from sonoscale.laws.audit._partial import Adjusted, adjust
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._robustness import robustness
from sonoscale.laws.audit._seeds import errors, reliability_of
from sonoscale.laws.audit._verdict import Ruling, Verdict, decide

__all__ = ["audit", "rule"]

RELIABILITY = 0.97
"""Of sizes, where none is stated."""
_LEVELS = (0.5, 0.999)
_MARGINS = (0.05, 0.95)
_RELIABILITIES = (0.5, 1.0)


@in_one_line
def audit(
    source: Source,
    *,
    rank: str,
    covariates: str | Sequence[str] | None = None,
    baselines: str | Sequence[str] = (),
    warmup: float | None = None,
    layer: str | None = None,
    margin: float = 0.5,
    reliability: float = RELIABILITY,
    level: float = 0.95,
    bootstrap: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
    **reading: Unpack[Reading],
) -> Audit:
    """Whether rank can be trusted as a proxy for quality, by the rules in the docstring of this package.

    Arguments:
        source: a table of runs, or whatever `read_runs` reads; its y is the quality, and its clusters are the
            configurations. Where it has steps, the last of each configuration is audited, and all of them make the
            trajectory. Rows held out are not audited.
        rank: the column of rank, above zero; it enters as its logarithm.
        covariates: columns to hold equal. None: of each kind of size (parameters, data, compute) the column that the
            table is known to have, and the loss. Those above zero in all rows enter as logarithms. An empty sequence:
            none, and then nothing can be supported.
        baselines: columns to try in the place of rank; more is taken as better, but for a loss or an error by its name.
            The centred rank (`rankme_centred` beside `rankme`) is one where the table has it in all rows.
        warmup: the last step of the warm-up; None: the first third.
        layer: the column of layers, numbers: the last layer is audited, all are shown.
        margin: correlation of rank and quality below which rank is taken to add nothing that matters; 0.05 to 0.95.
        reliability: share of the variance of the sizes, as recorded, that is true; 0.5 to 1. What the rest would make
            rank and quality share is not counted for rank. 1: sizes are exact, and all there is of capacity.
        level: of intervals, and 1 less that of tests; 0.5 to 0.999.
        bootstrap, permutations: how many are drawn; None: 1000 and 2000, or as many as the level needs.
        seed: of them.
        **reading: the options of `read_runs` (`y`, `clusters`, `family`, `step`, `held_out`, `omit`,
            `higher_is_better`, `unit`), for a source that is not yet a `RunTable`.

    Returns:
        The `Audit`. The order of rows and the names of families and configurations change nothing.

    Raises:
        SonoscaleError: With column, row and value, for a column that is missing or with anything but finite numbers; a
            constant rank or quality; a rank, parameters, data or compute not above zero; a level out of range; a
            configuration in two families; steps or layers where each row is its own configuration; groups (see
            `audit_groups`); and where nothing says, or name and data disagree, whether more of y is better.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> size, known = rng.uniform(0, 5, 40), rng.normal(size=40)
        >>> runs = {
        ...     "params": 1e6 * np.exp(size),
        ...     "rankme": 30 * np.exp(0.3 * size + 0.2 * known),
        ...     "accuracy": 0.3 + 0.05 * size + 0.03 * known + 0.01 * rng.normal(size=40),
        ... }
        >>> found = audit(runs, rank="rankme", y="accuracy")
        >>> found.verdict
        'supported'
        >>> found.covariates, found.n_clusters, round(found.spearman.value, 2)
        (('log params',), 40, 1.0)
    """
    check_level(level, least=_LEVELS[0], most=_LEVELS[1])
    for name, value, (low, high) in (("margin", margin, _MARGINS), ("reliability", reliability, _RELIABILITIES)):
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise SonoscaleError(f"{name} must lie between {low:g} and {high:g}, not {value!r}")
    least = math.ceil(round(4.0 / (1.0 - level), 6))
    bootstrap, permutations = (
        max(usual, least) if given is None else given for given, usual in ((bootstrap, 1000), (permutations, 2000))
    )
    check_draws(bootstrap, level, seed)
    check_draws(permutations, level, name="permutations")
    if warmup is not None and not isinstance(warmup, (int, float, np.number)):
        raise SonoscaleError(f"warmup must be a number of steps, not {warmup!r}")
    runs = as_runs(source, **reading)
    if runs.step_by is None and warmup is not None:
        raise SonoscaleError(f"warmup={warmup:g} needs the column of steps (step)")
    found = gather(
        runs, rank=rank, covariates=None if covariates is None else as_names(covariates, "covariates"),
        baselines=_with_centred(runs, rank, as_names(baselines, "baselines")), layer=layer, seed=seed,
    )  # fmt: skip
    draws: dict[str, Any] = {"level": level, "bootstrap": bootstrap, "seed": seed}
    spearman, adjusted, joint, floors, ruling = rule(
        found, permutations=permutations, margin=margin, reliability=reliability, **draws
    )
    few = spearman if isinstance(spearman, str) else ""
    enough = not few
    predictors = {rank: found.rank} | oriented(found)
    evidence: dict[str, Any] = {
        "within": within_families(found, **draws) if enough else few,
        "across": across_families(found, **draws),
        "held_out_families": held_out_families(found),
        "pairs": ordered_pairs(found, floors["quality"], **draws) if enough else few,
        "matched": matched_pairs(found, floors["quality"], **draws) if enough else few,
        "baselines": compare_baselines(found, permutations=permutations, **draws) if enough else few,
        "decisions": decision_accuracy(found, predictors, floors["quality"], **draws) if enough else few,
        "reliability_rank": reliability_of(found, "rank", level=level),
        "reliability_quality": reliability_of(found, "quality", level=level),
        "trajectory": follow_steps(found, warmup, level=level),
        "layers": follow_layers(found, **draws),
    }
    turn = turning_point(found.rank, found.quality, level=level) if enough else None
    if turn is not None:
        turn = float(np.exp(turn))
    return Audit(
        verdict=ruling.verdict,
        reason=ruling.reason,
        needed_assumed=ruling.needed_assumed,
        needed_observed=ruling.needed_observed,
        needed_margin=ruling.needed_margin,
        needed=ruling.needed,
        p=ruling.p,
        bound=ruling.bound,
        margin=margin,
        reliability=reliability,
        points=found,
        rank=rank,
        level=level,
        seed=seed,
        spearman=spearman,
        kendall=kendall(found.rank, found.quality, **draws) if enough else few,
        adjusted=adjusted,
        joint=joint,
        robustness=robustness(adjusted, joint, level=level) if isinstance(adjusted, Adjusted) else adjusted,
        floor_rank=floors["rank"],
        floor_quality=floors["quality"],
        regret=selection_regret(found, predictors, **draws) if enough else few,
        turning_point=turn,
        caveats=tuple(_caveats(ruling.verdict, found, spearman, adjusted, joint, evidence, turn, rank)),
        notes=(*found.notes, *_drawn(len(found))),
        **evidence,
    )


def _with_centred(runs: RunTable, rank: str, baselines: Sequence[str]) -> list[str]:
    """The baselines, and the centred rank where the table has it in all rows."""
    name = f"{rank}_centred"
    if name not in runs.columns or name in baselines or name == runs.y:
        return list(baselines)
    try:
        values = np.asarray(runs.columns[name], dtype=np.float64)
    except (TypeError, ValueError):
        return list(baselines)
    return [*baselines, *([name] if np.isfinite(values).all() and np.ptp(values) > 0 else [])]


def rule(
    runs: Configurations, *, level: float, bootstrap: int, permutations: int, seed: int, margin: float = 0.5,
    reliability: float = RELIABILITY,
) -> tuple[Association | str, Adjusted | str, Joint | str, dict[str, SeedFloor | str], Ruling]:  # fmt: skip
    """The verdict and what it rests on: marginal, adjusted and joint association, and the seed floors."""
    options: dict[str, Any] = {
        "level": level, "bootstrap": bootstrap, "permutations": permutations, "seed": seed, "margin": margin,
        "reliability": reliability,
    }  # fmt: skip
    spearman, adjusted, joint, floors, ruling = _ruled(runs, **options)
    apart = joint.apart if isinstance(joint, Joint) else ()
    if ruling.verdict != "supported" or not apart:
        return spearman, adjusted, joint, floors, ruling
    rest, found, left = runs, joint, ruling
    while left.verdict == "supported" and isinstance(found, Joint) and found.apart:
        rest = rest.without(found.apart)
        _, _, found, _, left = _ruled(rest, **options)
    if left.verdict != "supported":
        many = len(runs) - len(rest)
        ranks = [f"{np.exp(runs.rank[i]):.3g}" for i in apart[:6]] + ["..."] * (len(apart) > 6)
        which = f"{many} configurations that stand" if many > 1 else "one configuration that stands"
        ruling = replace(
            ruling,
            verdict="insufficient_data",
            reason=f"it rests on {which} apart in rank and quality alike (rank {', '.join(ranks)}), as runs that "
            f"diverged do; without, {left.reason}",
            p=None if left.p is None else max(left.p, ruling.p or 0.0),
            needed=left.needed,
        )
    return spearman, adjusted, joint, floors, ruling


def _ruled(
    runs: Configurations, *, level: float, bootstrap: int, permutations: int, seed: int, margin: float,
    reliability: float,
) -> tuple[Association | str, Adjusted | str, Joint | str, dict[str, SeedFloor | str], Ruling]:  # fmt: skip
    """By the rules, whether or not some configurations stand apart."""
    spearman: Association | str
    adjusted: Adjusted | str
    joint: Joint | str
    spearman = adjusted = joint = f"{len(runs)} configurations, or means that do not differ, are too few"
    enough = len(runs) >= 3 and np.ptp(runs.rank) > 0 and np.ptp(runs.quality) > 0
    several = runs.family is not None and int(runs.family.max()) > 0
    family = runs.family if several else None
    if enough:
        names = [c.label for c in runs.names]
        spearman = associate(runs.rank, runs.quality, level=level, bootstrap=bootstrap, seed=seed)
        adjusted = adjust(
            runs.rank, runs.quality, runs.covariates, family, names, level=level, permutations=permutations, seed=seed
        )
        joint = adjusted if isinstance(adjusted, str) else "no covariate varies: there is no effect of size to model"
        if runs.names and not isinstance(adjusted, str):
            known = errors(runs)
            joint = joint_test(
                runs.rank, runs.quality, runs.covariates, family, runs.sums, level=level, reliability=reliability,
                seeds=known.shared, rank_error=known.rank,
            )  # fmt: skip
    floors = {name: seed_floor(runs, name, level=level) for name in ("rank", "quality")}
    ruling = decide(
        len(runs),
        spearman if isinstance(spearman, Association) else None,
        adjusted if enough else None,
        joint if runs.names else None,
        floors,
        columns=linear_basis(runs.covariates, family).shape[1] - 1,
        covariates=bool(runs.names) or runs.held_constant,
        level=level,
        margin=margin,
    )
    return spearman, adjusted, joint, floors, ruling


def _drawn(count: int) -> list[str]:
    """Notes on what is of some configurations only."""
    return [
        f"{what} of {most} of the {count} configurations, drawn"
        for what, most in (
            ("the joint model of rank and quality is", MOST_JOINT),
            ("decision accuracy is", MOST_DECIDED),
            ("pairs, and the interval of Kendall's tau, are", MOST_PAIRED),
        )
        if count > most
    ]


def _caveats(
    verdict: Verdict, runs: Configurations, spearman: Association | str, adjusted: Adjusted | str, joint: Joint | str,
    found: dict[str, Any], turn: float | None, rank: str,
) -> list[str]:  # fmt: skip
    """Evidence that the rules do not use and that a reader of the verdict should know of."""
    out, quality = [], runs.target.name
    positive = verdict == "supported"
    if turn is not None:
        out.append(f"{quality} does not go one way with {rank}: it turns near {turn:.4g}")
    if positive and isinstance(adjusted, Adjusted) and adjusted.partial.basis == RICHEST:
        out.append(
            f"the effect of the covariates was taken up to {RICHEST}, the richest there is: bends beyond would look "
            "like rank"
        )
    if positive and runs.unadjusted:
        out.append(
            f"not adjusted for, though by name a size: {', '.join(runs.unadjusted)}; where rank follows it, name it "
            "among the covariates"
        )
    alike = len(runs) - len(np.unique(runs.covariates, axis=0))
    if verdict in ("supported", "only_through_capacity") and alike and not runs.runs.clusters_by:
        out.append(
            f"{alike} of {len(runs)} configurations have all sizes of another: if they are its seeds, name the column "
            "of the configuration (clusters)"
        )
    if positive and isinstance(found["reliability_rank"], str):
        out.append(
            f"configurations have one seed each: luck that a seed gives rank and {quality} alike looks like a link"
        )
    if positive and isinstance(joint, Joint) and joint.apart:
        out.append(
            f"{len(joint.apart)} of the configurations stand apart in rank and {quality} alike; without them it is "
            "supported too"
        )
    if positive and isinstance(joint, Joint) and joint.undone_by > 0.9:
        out.append(
            f"if less than {joint.undone_by:.1%} of the variance of the recorded sizes is true, their error explains it"
        )
    held: HeldOutFamilies | str = found["held_out_families"]
    if positive and isinstance(held, HeldOutFamilies) and held.both >= held.covariates:
        out.append(
            f"in a held-out family rank does not help: error {held.both:.3g} with it, {held.covariates:.3g} without"
        )
    within: Association | str = found["within"]
    if positive and isinstance(within, Association) and within.value <= 0:
        out.append(f"within families the order is not right: Spearman's rho {within.value:.2f}")
    matched: Pairs | str = found["matched"]
    if positive and isinstance(matched, Pairs) and matched.share.low <= 0.5:
        out.append(f"in pairs of equal {matched.by} rank is right in {matched.share.value:.0%}, which may be chance")
    if (
        isinstance(adjusted, Adjusted)
        and verdict == "not_supported"
        and adjusted.partial.p < 0.05
        and adjusted.partial.value > 0
    ):
        out.append("at equal covariates rank does go with quality: as a yardstick among runs of one size it may serve")
    baselines: tuple[Baseline, ...] | str = found["baselines"]
    if not isinstance(baselines, str):
        out += [
            f"{one.name} orders the runs better: Spearman's rho {one.spearman.value:.2f}"
            for one in baselines
            if one.difference.high < 0
        ]
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
        out.append("there is one family only: nothing is known of others")
    return out
