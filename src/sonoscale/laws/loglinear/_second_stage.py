"""The second stage of the two-stage law: quality as a power, or a saturating power, of the rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._bootstrap import leverage_corrected, small_sample_factor
from sonoscale.laws._solve import solve
from sonoscale.laws.forms import Form, find_form
from sonoscale.laws.loglinear._resample import Resamples

__all__ = ["SecondStage", "one_power", "second_stage", "without_groups"]

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def one_power(form: str | Form) -> Form:
    """The form.

    Raises:
        SonoscaleError: Unless it is one power of one variable, with or without a constant.
    """
    chosen = find_form(form)
    if chosen.power_term is None:
        raise SonoscaleError(
            f"form {chosen.name!r} is not one power of one variable, as the law from rank to quality is: "
            "take power, saturating, power_loss or saturating_loss"
        )
    return chosen


@dataclass(frozen=True, eq=False, kw_only=True)
class SecondStage:
    """The law on the resamples of the first stage.

    Attributes:
        form, best: [P]: the form and its estimate.
        draws: of the resamples [R, P].
        errors: of a run about the law [n], as large as errors are, stretched for few clusters.
        factor: by how much deviations of the draws are stretched.
    """

    form: Form
    best: Array
    draws: Array
    errors: Array
    factor: float

    def at(self, rank: Array) -> Array:
        """Quality at these ranks, of any shape."""
        return _evaluate(self.form, rank, self.best)

    def of_draws(self, rank: Array, rows: Codes) -> Array:
        """Quality of a new run in each resample: rank [R, m] and the row whose error it has [R] -> [R, m]."""
        expected = self.at(rank)
        moved = _evaluate(self.form, rank, self.draws[:, None, :])
        return expected + self.factor * (moved - expected) + self.errors[rows][:, None]


def second_stage(
    form: Form, rank: Array, quality: Array, clusters: Codes, resamples: Resamples, level: float
) -> SecondStage:
    """The law of all rows, and of the same resampled clusters that the first stage has."""
    best = solve(form, rank, quality, np.ones((1, len(rank))))[0]
    draws = solve(form, rank, quality, resamples.weights[:, clusters])
    count, size = int(clusters.max()) + 1, len(form.parameters)
    errors = leverage_corrected(quality - _evaluate(form, rank, best), _slopes(form, rank, best), clusters)
    return SecondStage(
        form=form, best=best, draws=draws, factor=small_sample_factor(count, size, level),
        errors=errors * small_sample_factor(count, size, level, variance=False),
    )  # fmt: skip


def without_groups(form: Form, rank: Array, quality: Array, groups: Codes, at: Array) -> Array:
    """Quality at these ranks [n], each by the law of all rows that are not in its group: [n].

    NaN where the rows that are left have fewer values of rank than the form has parameters.
    """
    count = int(groups.max()) + 1
    others = solve(form, rank, quality, (groups != np.arange(count)[:, None]).astype(np.float64))
    enough = np.array([len(np.unique(rank[groups != group])) >= len(form.parameters) for group in range(count)])
    return np.where(enough[groups], _evaluate(form, at, others[groups]), np.nan)


def _evaluate(form: Form, x: Array, params: Array) -> Array:
    """The form at x [...] with params [..., P], of which leading axes are broadcast: unlike `form.function`, which
    takes each x with each set of parameters."""
    coefficient, power, constant = _parts(form, x, params)
    return constant + coefficient * power


def _slopes(form: Form, x: Array, params: Array) -> Array:
    """d y / d params at each x: [n, P]."""
    term = form.power_term
    assert term is not None
    coefficient, power, _ = _parts(form, x, params)
    columns = {
        term.coefficient: term.sign * power,
        term.exponent: term.direction * coefficient * power * np.log(x),
        term.constant: np.ones_like(x),
    }
    return np.stack([columns[name] for name in form.parameters], axis=1)


def _parts(form: Form, x: Array, params: Array) -> tuple[Array, Array, Array]:
    term = form.power_term
    assert term is not None
    at = {name: params[..., i] for i, name in enumerate(form.parameters)}
    constant = at[term.constant] if term.constant is not None else np.zeros(())
    return term.sign * at[term.coefficient], x ** (term.direction * at[term.exponent]), constant
