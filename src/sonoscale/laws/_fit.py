"""The verb `fit`: from a table of runs to the law of each group, with the held-out rows predicted."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._data import as_names, check_draws, check_level
from sonoscale.laws._estimate import Prediction
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._laws import Law, Laws
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._screen import screen_runs
from sonoscale.laws.extrapolation import extrapolate
from sonoscale.laws.forms import Form, constrain, find_form
from sonoscale.laws.loglinear import fit_two_stage

__all__ = ["fit"]

Array = NDArray[np.float64]


@in_one_line
def fit(
    source: Source,
    x: str | Sequence[str],
    *,
    form: str | Form = "auto",
    flops: str | None = None,
    through: str | None = None,
    huber: float | None = None,
    fix: Mapping[str, float] | None = None,
    tie: Sequence[str] = (),
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **reading: Unpack[Reading],
) -> Laws:
    """Fit a scaling law to a table of runs, and predict the held-out ones.

    What rises is fitted as what falls: a score as its distance from its ceiling, any other rising quantity as its
    inverse; parameters are of that (see `Target`). `auto` averages several forms by a rule that is fixed beforehand,
    with intervals that rolling origins calibrate (see `extrapolate`).

    Arguments:
        source: a `RunTable`, or whatever `read_runs` reads.
        x: columns that the law depends on, above zero. With `through` they may hold text.
        form: "auto", or the name of a form, which then has bootstrap intervals too (see `FORMS`).
        flops: column of training compute, along which origins roll. None: the product of x.
        through: a column, such as the rank, through which x acts on y: a law of it in x and one of y in it, compared
            with the law of y in x (see `fit_two_stage`). `form` is then of y in it.
        huber: delta of Huber's loss, for a named form; None: as its source has it (1e-3 of log y for `chinchilla`, else
            least squares); infinite: least squares.
        fix, tie: parameters of a named form that have a given value, or are equal: `{"E": 1.8}`, `["alpha=beta"]`.
        bootstrap, seed: resamples and their seed, for a named form and with `through`.
        level: of all intervals.
        progress: called with how many groups are done, of how many.
        reading: how the table is read: `y`, `clusters`, `held_out`, `group`, `omit`, ... (see `read_runs`).

    Returns:
        The `Laws`: one for each group.

    Raises:
        SonoscaleError: For what `read_runs` refuses; a column that is missing, or holds what is not above zero; and
            where no group can be fitted, with the reason of the first.

    Example:
        >>> runs = {"params": [1e6, 2e6, 4e6, 8e6, 16e6], "loss": [3.2, 2.8, 2.5, 2.2, 1.95]}
        >>> law = fit(runs, x="params", y="loss", form="M1")
        >>> law.headline
        'fitted: log(loss), 5 runs'
        >>> law.predict({"params": 3.2e7}).value.round(1).tolist()
        [1.7]
    """
    names = as_names(x, "x")
    if progress is not None and not callable(progress):
        raise SonoscaleError(f"progress must be a function of two whole numbers, not {progress!r}")
    if not isinstance(tie, Sequence) or not (fix is None or isinstance(fix, Mapping)):
        raise SonoscaleError("fix must map parameters to values, and tie be pairs: fix={'E': 1.8}, tie=['alpha=beta']")
    if not names:
        raise SonoscaleError("x names no column")
    if isinstance(form, str) and form == "auto" and through is None:
        check_level(level)
    else:
        check_draws(bootstrap, level, seed)
    if huber is not None and not (isinstance(huber, (int, float, np.number)) and huber > 0):
        raise SonoscaleError(f"huber must be above zero (infinite for least squares), not {huber!r}")
    if huber is not None and (form == "auto" or through is not None):
        raise SonoscaleError("huber is for a named form: auto has a delta of its own")
    if flops is not None and through is not None:
        raise SonoscaleError("flops is for a law without through: origins roll along it")
    if (fix or tie) and (form == "auto" or through is not None):
        raise SonoscaleError("fix and tie are for a named form without through")
    if not isinstance(form, str) or form != "auto":
        form = constrain(find_form(form), fix, tie)
    runs = as_runs(source, **reading)
    special = [name for name in (runs.y, flops, through) if name is not None]
    twice = next((name for i, name in enumerate([*names, runs.y]) if name in [*names, runs.y][:i]), None)
    if twice is not None:
        raise SonoscaleError(f"{twice!r} is named twice among x and y")
    runs.need(*names, *special)
    if runs.omit:
        runs = _checked(runs, names, flops, through)
    runs = runs.apart(*names)
    parts = runs.parts()
    laws: list[Law] = []
    for group, part in parts:
        try:
            if through is not None:
                law = _two_stage(part, names, through, form, bootstrap, level, seed)
            else:
                law = _law(part, names, flops, form, huber, bootstrap, level, seed)
            laws.append(Law(group=group, x=names, flops=flops, **law))
        except SonoscaleError as error:
            if len(parts) == 1:
                raise
            laws.append(Law(group=group, x=names, flops=flops, error=str(error)))
        if progress is not None:
            progress(len(laws), len(parts))
    if all(law.error is not None for law in laws):
        raise SonoscaleError(f"{laws[0].label}: {laws[0].error}; and {len(laws) - 1} more groups")
    return Laws(
        runs=runs, x=names, form=form if isinstance(form, str) else form.name, flops=flops, through=through,
        level=level, groups=tuple(laws),
    )  # fmt: skip


def _checked(runs: RunTable, names: Sequence[str], flops: str | None, through: str | None) -> RunTable:
    """The table with the columns of the law checked; without the rows that lack one, where those are omitted."""
    if through is None:
        return runs.use(positive=[*names, *([flops] if flops else [])], with_y=True)
    words = [name for name in names if runs[name].dtype.kind not in "biuf"]
    return runs.use(*(name for name in (*names, through) if name not in words), labels=words, with_y=True)


def _law(
    part: RunTable,
    names: tuple[str, ...],
    flops: str | None,
    form: str | Form,
    huber: float | None,
    bootstrap: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """The fields of `Law` but its group."""
    part = _checked(part, names, flops, None)
    fitted, held = part.fitted, part.held_out
    if not len(fitted):
        raise SonoscaleError("no row to fit: all are held out")
    fitted = fitted.ordered(part.y, *names)
    screened = screen_runs(fitted, x=names, log=names)
    target = part.target(along=names)
    groups = fitted.clusters
    points, values = _points(fitted, names), fitted[part.y]
    started = time.perf_counter()
    law = extrapolate(
        points, values, form=form, clusters=groups, flops=fitted[flops] if flops else None, target=target, level=level,
        x_names=names, y_name=part.y, rows=fitted.rows,
    )  # fmt: skip
    prediction = observed = None
    if len(held):
        prediction = law.predict(_points(held, names), flops=held[flops] if flops else None)
        observed = held[part.y]
    seconds = time.perf_counter() - started
    notes = [*screened.warnings, *law.warnings]
    one = None
    if form != "auto":
        one = fit_form(
            form, points, law.as_fitted(values), scale=law.scale, huber=huber, clusters=groups, bootstrap=bootstrap,
            level=level, seed=seed, x_name=names, y_name=law.words, rows=fitted.rows,
        )  # fmt: skip
        notes += one.warnings
        if one.huber is not None and huber is None:
            notes.append(
                f"{one.form.name}: fitted by Huber's loss with delta {one.huber:g} of log {law.words}, as its source "
                "does (huber: infinite for least squares)"
            )
    return {
        "runs": fitted, "held": held, "target": target, "law": law, "fit": one, "prediction": prediction,
        "observed": observed, "seconds": seconds, "warnings": tuple(dict.fromkeys(notes)),
        **_scores(prediction, observed),
    }  # fmt: skip


def _two_stage(
    part: RunTable, names: tuple[str, ...], through: str, form: str | Form, bootstrap: int, level: float, seed: int
) -> dict[str, Any]:
    """The fields of `Law` but its group."""
    part = _checked(part, names, None, through)
    fitted, held = part.fitted, part.held_out
    started = time.perf_counter()
    found = fit_two_stage(
        part, x=names, through=through, form=None if form == "auto" else form, bootstrap=bootstrap, level=level,
        seed=seed,
    )  # fmt: skip
    prediction = observed = None
    if len(held):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            prediction = found._predict(held.columns, held.rows)
        observed = held[part.y]
    return {
        "runs": fitted, "held": held, "target": found.target, "two_stage": found, "prediction": prediction,
        "observed": observed, "seconds": time.perf_counter() - started, "warnings": found.warnings,
        **_scores(prediction, observed),
    }  # fmt: skip


def _points(runs: RunTable, names: tuple[str, ...]) -> Array:
    columns = [runs[name] for name in names]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _scores(prediction: Prediction | None, observed: Array | None) -> dict[str, float | None]:
    """Shares inside the interval and the naive one, over rows whose y is known; RMSE of log y over those above zero."""
    none: dict[str, float | None] = {"rmse_log": None, "coverage": None, "naive_coverage": None}
    if prediction is None or observed is None or not np.isfinite(observed).any():
        return none
    known = np.isfinite(observed)
    y = observed[known]
    found = none | {"coverage": float(((prediction.low[known] <= y) & (y <= prediction.high[known])).mean())}
    if prediction.naive_low is not None and prediction.naive_high is not None:
        found["naive_coverage"] = float(
            ((prediction.naive_low[known] <= y) & (y <= prediction.naive_high[known])).mean()
        )
    if (y > 0).any():
        with np.errstate(all="ignore"):
            error = float(np.sqrt(np.mean(np.log(prediction.value[known][y > 0] / y[y > 0]) ** 2)))
        found["rmse_log"] = error if np.isfinite(error) else None
    return found
