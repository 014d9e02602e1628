"""What rank adds to the covariates: nested models of quality, and tests that survive curvature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from sonoscale.laws._estimate import Estimate
from sonoscale.laws.audit._bases import (
    ENOUGH,
    SLOPES,
    bases,
    columns_to_resolve,
    leave_one_out,
    linear_basis,
    orthonormal,
    predictable,
    residual,
)

__all__ = ["DETERMINED", "Adjusted", "Nested", "Partial", "adjust"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

DETERMINED = "the covariates determine rank: it differs between no two runs that are alike otherwise"
"""Why nothing is known at equal covariates, however many runs there are."""

LEAST_DF = 5
LEAST_DF_SHARE = 1 / 3
"""A richer basis is only tried while it leaves so many residual degrees of freedom, and this share of G."""


@dataclass(frozen=True, kw_only=True)
class Nested:
    """One of the nested models of quality, by least squares over the configurations.

    Attributes:
        name: what is in it.
        parameters: columns of the design, the constant among them.
        log_likelihood: Gaussian, at its maximum.
        aicc: None where G is too small for it.
        rmse: of residuals;
        loo_rmse: of each configuration predicted from the others, in the unit of quality.
    """

    name: str
    parameters: int
    log_likelihood: float
    aicc: float | None
    rmse: float
    loo_rmse: float


@dataclass(frozen=True, kw_only=True)
class Partial(Estimate):
    """Rank and quality at equal covariates.

    Attributes:
        given: the covariates.
        basis: how far up the list of `bases` they enter.
        parameters: columns that they take, constant included.
        value: partial correlation, -1 to 1.
        low, high: its interval by Fisher's z with the degrees of freedom left.
        t_p: two-sided p of Student's t;
        permutation_p: of Freedman and Lane's permutations;
        p: the larger.
        likelihood_ratio: 2 (l1 - l0), with `lr_p` from chi-squared with 1 degree of freedom, which is too small a p
            with few configurations and is shown, not used.
        explained: share of the variance of rank that the covariates explain.
        df: residual degrees of freedom of the model with rank.
    """

    given: tuple[str, ...]
    basis: str
    parameters: int
    p: float
    t_p: float
    permutation_p: float
    likelihood_ratio: float
    lr_p: float
    explained: float
    df: int


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """All that is known of rank given the covariates.

    Attributes:
        partial: in the basis that was chosen.
        richer: in the next richer one, or the same again.
        exhausted: these runs are too few for a richer basis than the chosen; or, with families, for a slope of each;
            or, where the covariates' effect bends (a basis above the least was chosen), for cubes and products. So
            there may be more to the covariates than they can show.
        resolved_by: configurations that allow cubes and products of these covariates.
        models: nested models; the last two are the covariates without and with rank.
        each: given one covariate at a time (and the family), in log-quadratic form.
        linear: given all, linearly.
        ranks: partial Spearman correlation, linearly in ranks.
    """

    partial: Partial
    richer: Partial
    exhausted: bool
    resolved_by: int
    models: tuple[Nested, ...]
    each: tuple[Partial, ...]
    linear: Partial
    ranks: float | None

    @property
    def gain(self) -> float:
        """By which share rank lowers the leave-one-configuration-out error; below 0, it raises it."""
        without, with_rank = self.models[-2:]
        return 1.0 - with_rank.loo_rmse / without.loo_rmse if without.loo_rmse > 0 else 0.0


def adjust(
    rank: Array,
    quality: Array,
    covariates: Array,
    family: Index | None,
    names: Sequence[str],
    *,
    level: float,
    permutations: int,
    seed: int,
) -> Adjusted | str:
    """Tests rank [G] against quality [G] given covariates [G, C] and family [G].

    The covariates' effect may bend, and a bend that the model misses makes any rank that bends alike look
    useful. So bases of growing richness are laid out (`bases`), the best of them by leave-one-out error is found
    for quality and for rank, and the richer of the two is used (double selection: Belloni, Chernozhukov and
    Hansen, Review of Economic Studies 81, 2014), never a plainer one than the second or, with families, than one
    with a slope for each.

    Returns:
        The `Adjusted`, or why there is none.
    """
    found = bases(covariates, family)
    count = len(rank)
    ladder = [found[0]]
    for name, basis in found[1:]:
        df = count - basis.shape[1] - 1
        if df < max(LEAST_DF, LEAST_DF_SHARE * count):
            break
        if basis.shape[1] > ladder[-1][1].shape[1]:
            ladder.append((name, basis))
    if count - ladder[0][1].shape[1] - 1 < 2:
        return f"{count} configurations are too few for {ladder[0][1].shape[1]} parameters of the covariates and rank"
    among = predictable(ladder[0][1])
    errors = np.array([[leave_one_out(basis, column, among) for column in (quality, rank)] for _, basis in ladder])
    least = max(i for i, (name, _) in enumerate(ladder) if name == SLOPES or i <= 1)
    chosen = max(least, *errors.argmin(axis=0).tolist())
    following = min(chosen + 1, len(ladder) - 1)
    if not _varies(ladder[following][1], rank):
        return DETERMINED
    reached = ladder[-1][1].shape[1]
    needed = [basis.shape[1] for name, basis in found if name == SLOPES or (name == ENOUGH and chosen > least)]
    whole = reached == found[-1][1].shape[1]
    options: dict[str, Any] = {"level": level, "permutations": permutations, "seed": seed}
    given = tuple(names)

    def test(rung: int) -> Partial:
        return _test(rank, quality, ladder[rung][1], given, ladder[rung][0], **options)

    partial = test(chosen)
    each = []
    for i, name in enumerate(names):
        basis = bases(covariates[:, [i]], family, most=2)[1]
        if _varies(basis[1], rank) and count - basis[1].shape[1] - 1 >= 2:
            each.append(_test(rank, quality, basis[1], (name,), basis[0], **options))
    return Adjusted(
        partial=partial,
        richer=partial if following == chosen else test(following),
        exhausted=(following == chosen and not whole) or reached < max(needed, default=0),
        resolved_by=_least_for(columns_to_resolve(covariates, family)),
        models=_models(rank, quality, ladder[chosen][1], family),
        each=tuple(each),
        linear=partial if chosen == 0 else test(0),
        ranks=_of_ranks(rank, quality, covariates, family),
    )


def _least_for(columns: int) -> int:
    """The fewest configurations for which a basis is tried."""
    return math.ceil(max(columns + 1 + LEAST_DF, (columns + 1) / (1 - LEAST_DF_SHARE)))


def _varies(basis: Array, rank: Array) -> bool:
    left = residual(basis, rank)
    return bool(left @ left > 1e-9 * np.sum((rank - rank.mean()) ** 2))


def _test(
    rank: Array, quality: Array, basis: Array, given: tuple[str, ...], name: str, *, level: float, permutations: int,
    seed: int,
) -> Partial:  # fmt: skip
    count, columns = basis.shape
    df = count - columns - 1
    x, y = residual(basis, rank), residual(basis, quality)
    xx, yy = x @ x, y @ y
    exact = yy <= 1e-18 * max(quality @ quality, 1e-300)  # the covariates leave nothing to explain
    value = 0.0 if exact else float(np.clip(x @ y / np.sqrt(xx * yy), -1, 1))
    t = abs(value) * np.sqrt(df / max(1 - value**2, 1e-15))
    t_p = float(2 * special.stdtr(df, -t))
    # Freedman and Lane (1983): permuted residuals of quality, with the covariates taken out once more. Whatever
    # the covariates hold of a permutation is projected out by x, so that x alone meets the permuted residuals.
    rng = np.random.default_rng(seed)
    shuffled = y[rng.permuted(np.tile(np.arange(count), (permutations, 1)), axis=1)].T
    norms = np.sqrt(np.maximum((residual(basis, shuffled) ** 2).sum(axis=0), 1e-300))
    drawn = np.abs(x @ shuffled) / (np.sqrt(xx) * norms)
    permutation_p = float((1 + (drawn >= abs(value) - 1e-12).sum()) / (permutations + 1)) if yy > 0 else 1.0
    centre, half = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12)), special.ndtri(0.5 * (1 + level))
    half = half / np.sqrt(df - 1) if df > 1 else np.inf
    ratio = float(-count * np.log(max(1 - value**2, 1e-15)))
    spread = np.sum((rank - rank.mean()) ** 2)
    return Partial(
        given=given,
        basis=name,
        parameters=columns,
        value=value,
        low=float(np.tanh(centre - half)),
        high=float(np.tanh(centre + half)),
        p=max(t_p, permutation_p),
        t_p=t_p,
        permutation_p=permutation_p,
        likelihood_ratio=ratio,
        lr_p=float(special.chdtrc(1, ratio)),
        explained=float(1 - xx / spread),
        df=df,
    )


def _models(rank: Array, quality: Array, basis: Array, family: Index | None) -> tuple[Nested, ...]:
    count = len(rank)
    one = np.ones((count, 1))
    among = predictable(basis)
    lone = bases(np.empty((count, 0)), family)[0][1]
    designs = [("constant", one), ("rank", np.concatenate([one, rank[:, None]], axis=1))]
    if family is not None:
        designs.append(("family", lone))
    designs += [("covariates", basis), ("covariates and rank", np.concatenate([basis, rank[:, None]], axis=1))]
    out = []
    for name, design in designs:
        q = orthonormal(design)
        left = residual(q, quality)
        mse = max(float(left @ left) / count, 1e-300)
        k = q.shape[1]
        likelihood = -0.5 * count * (np.log(2 * np.pi * mse) + 1)
        spare = count - k - 2  # the error variance is a parameter too
        out.append(
            Nested(
                name=name,
                parameters=k,
                log_likelihood=float(likelihood),
                aicc=float(-2 * likelihood + 2 * (k + 1) * count / spare) if spare > 0 else None,
                rmse=float(np.sqrt(mse)),
                loo_rmse=leave_one_out(q, quality, among),
            )
        )
    return tuple(out)


def _of_ranks(rank: Array, quality: Array, covariates: Array, family: Index | None) -> float | None:
    ordered = [stats.rankdata(column) for column in (rank, quality, *covariates.T)]
    basis = linear_basis(np.array(ordered[2:]).reshape(-1, len(rank)).T, family)
    x, y = residual(basis, ordered[0]), residual(basis, ordered[1])
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 1e-9 * len(rank) ** 2 else None
