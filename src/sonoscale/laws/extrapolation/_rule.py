"""From the runs there are to those there are not: one rule for every table."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import as_clusters, as_column, constant_column, distinct_rows, numbered
from sonoscale.laws._target import Target, Unit, find_target
from sonoscale.laws._thin import thinned, thinned_note
from sonoscale.laws.extrapolation._calibrate import Held, calibrate
from sonoscale.laws.extrapolation._member import Member, fit_member, fitted_to_all
from sonoscale.laws.extrapolation._result import Extrapolation, PanelMember
from sonoscale.laws.extrapolation._windows import rolling_windows
from sonoscale.laws.forms import FORMS, Form, Term, find_form, sum_of_powers
from sonoscale.laws.forms._form import Array

__all__ = ["PANEL", "extrapolate"]

PANEL = ("M2", "M3", "M4", "BNSL1", "HILL", "logistic")
"""The forms whose predictions `auto` averages where there is one variable."""

_HOPELESS = 10.0  # a form whose rolling-origin error is so many times the best one's is left out
_MOST_ROWS = 10_000  # on which origins roll and forms are searched; of larger tables, about so many are drawn
_NEAR = 2.0  # rolling-origin errors are of rows up to twice the origin
_FEW = 3.0  # degrees of freedom below which an interval is called rough


def extrapolate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    form: str | Form = "auto",
    clusters: Iterable[Hashable] | None = None,
    flops: ArrayLike | None = None,
    higher_is_better: bool | None = None,
    unit: Unit | None = None,
    target: Target | None = None,
    level: float = 0.95,
    x_names: Sequence[str] = ("x",),
    y_name: str = "y",
    rows: Sequence[int] | NDArray[np.intp] | None = None,
) -> Extrapolation:
    """What larger runs will give, with intervals that earlier extrapolations of the same data have calibrated.

    `auto` is fixed beforehand, the same for every data set. With one variable it is the mean of the predictions,
    on a log scale, of six forms that differ in how they end (`PANEL`); equal weights, since weights that are
    estimated from a few origins cost more than they gain (Smith and Wallis, Oxford Bulletin of Economics and
    Statistics 71, 2009; Claeskens et al., International Journal of Forecasting 32, 2016). Only forms whose
    rolling-origin error is over ten times the best one's, or that turn upwards within four times the data, are
    left out. The mean is moved by its mean residual over the top factor of 2 in x, so that it starts where the largest
    runs are. With several variables it is the sum of a floor and one power of each (Hoffmann et al., arXiv 2203.15556,
    equation 2).

    What rises is fitted as what falls: a score as its distance from its ceiling of 1 or 100, any other rising quantity
    as its inverse (see `Target`).

    Arguments:
        x: [n], or [n, V] with a name for each column in `x_names`; above zero.
        y: [n]; what is fitted of it is above zero.
        form: "auto", or one form (on that form's own scale: one of scores is fitted to y as it is).
        clusters: [n] labels of dependent rows (seeds and checkpoints of one configuration), or None.
        flops: [n], what each run cost, along which origins roll. None: the product of the variables.
        higher_is_better, unit: of y, as in `read_runs`; None: by the name of y, else as it runs along the FLOPs.
        target: the same as a `Target`, in place of these two.
        level: of the intervals.
        x_names, y_name: names of the columns.
        rows: [n] places in the user's table, for messages; None: 0, 1, 2, ...

    Returns:
        The `Extrapolation`.

    Raises:
        SonoscaleError: For malformed columns, an unknown form, constant x or y, or too few rows.

    Example:
        >>> import numpy as np
        >>> params = np.geomspace(1e5, 1e8, 16)
        >>> loss = (1 + 40 * params**-0.3) * np.exp(0.003 * np.random.default_rng(0).standard_normal(16))
        >>> law = extrapolate(params, loss, form="M2", y_name="loss")
        >>> larger = law.predict([1e9])
        >>> bool(larger.low[0] < 1 + 40 * 1e9**-0.3 < larger.high[0])
        True
    """
    names = tuple(x_names)
    points, lengths = _variables(x, names)
    values = as_column(y, name=y_name)
    if len(values) != len(points):
        raise SonoscaleError(f"{', '.join(names)} has {len(points)} rows but {y_name} has {len(values)}")
    if constant_column(values, name=y_name):
        raise SonoscaleError(str(constant_column(values, name=y_name)))
    sizes = lengths if flops is None else as_column(flops, name="flops", positive=True)
    if len(sizes) != len(values):
        raise SonoscaleError(f"flops has {len(sizes)} rows but {y_name} has {len(values)}")
    groups = as_clusters(clusters, len(values))

    wanted = _panel(form, names)
    linear = wanted[0].scale == "linear" and form != "auto"
    distinct = distinct_rows(points, 1 + max(len(one.parameters) for one in wanted))
    count = int(groups.max()) + 1
    able = [one for one in wanted if min(distinct, count) > len(one.parameters)]
    if not able and form == "auto" and len(names) == 1 and min(distinct, count) > len(FORMS["M1"].parameters):
        able = [FORMS["M1"]]  # three runs make a straight line in log-log and nothing more
    if not able:
        least = min(len(one.parameters) for one in wanted)
        raise SonoscaleError(
            f"{', '.join(names)}: {min(distinct, count)} different runs are too few: "
            f"{'the smallest form' if len(wanted) > 1 else wanted[0].name} has {least} parameters and needs {least + 1}"
        )
    if target is None:
        along = "flops" if flops is not None else " * ".join(names)
        target = find_target(
            y_name, values, size=sizes, along=along, clusters=groups, higher_is_better=higher_is_better, unit=unit,
            rows=rows,
        )  # fmt: skip
    if target is None:
        raise SonoscaleError(f"nothing says whether more {y_name} is better: say it (higher_is_better)")
    if linear:
        _check_range(wanted[0], values, y_name, rows)
    else:
        target.check(values, rows)
    least = min(len(one.parameters) for one in able) + 1
    fallen = values if linear else target.down(values)
    everything = points, fallen, groups
    some = thinned(groups, _MOST_ROWS)
    if some is not None:
        ends = [one(column) for one in (np.argmin, np.argmax) for column in (*np.atleast_2d(points.T), sizes)]
        some = np.union1d(some, ends)
        points, fallen, sizes, groups = points[some], fallen[some], sizes[some], numbered(groups[some])
    windows = rolling_windows(sizes, groups, least)
    members = [fit_member(one, points, fallen, windows, groups, "linear" if linear else "log") for one in able]
    z = members[0].objective.target
    predicted = np.array([member.predict(points) for member in members])  # [M, W, n]
    runs = np.array([len(np.unique(groups[window > 0])) for window in windows])
    enough = np.array([runs > len(one.parameters) for one in able])  # [M, W]: rows below the origin to fit the form
    rolling = _rolling_errors(predicted - z, windows, sizes, enough)
    kept = np.ones(len(members), dtype=bool)
    if rolling is not None:
        best = float(np.min(rolling, where=np.isfinite(rolling), initial=np.inf))
        kept = np.isnan(rolling) | (rolling <= _HOPELESS * best)  # nan: never tried
        kept = kept if kept.any() else np.ones(len(members), dtype=bool)
    takes_part = kept[:, None] & enough  # [M, W]: at each origin by what was known there
    if form == "auto" and len(names) == 1:
        falling = takes_part & _falls_on(members, np.array([points[window > 0].max() for window in windows]))
        takes_part = np.where(falling.any(axis=0), falling, takes_part)
    takes_part = np.where(takes_part.any(axis=0), takes_part, enough)
    kept = takes_part[:, 0]
    if some is not None:
        members = [fitted_to_all(member, *everything) for member in members]
        predicted = np.array([member.predict(points) for member in members])
    used = [member for member, keep in zip(members, kept, strict=True) if keep]

    residual = np.array([predicted[takes_part[:, k], k].mean(axis=0) for k in range(len(windows))]) - z  # [W, n]
    parameters = np.array([[len(one.parameters)] * len(windows) for one in able]).mean(axis=0, where=takes_part)
    squares = (residual**2).sum(axis=1, where=windows > 0) / windows.sum(axis=1)
    noise = np.sqrt(squares * runs / np.maximum(runs - parameters, 1.0))
    moved, known = np.zeros(len(windows)), np.inf
    if form == "auto" and len(names) == 1:
        tops = [(window > 0) & (2.0 * points >= points[window > 0].max() * (1 - 1e-9)) for window in windows]
        moved = np.array([one[top].mean() for one, top in zip(residual, tops, strict=True)])
        known = len(np.unique(groups[tops[0]]))  # runs whose mean residual that is
    held = []
    for k in range(1, len(windows)):
        beyond = windows[k] == 0
        reach = np.log(sizes[beyond] / sizes[~beyond].max())
        held.append(Held(residual[k, beyond] - moved[k], reach, float(noise[k])))
    size_of_form, freedom = float(parameters[0]), count - float(parameters[0])
    about = float(noise[0]) * np.sqrt(1.0 + size_of_form / count + 1.0 / known)  # fit and move are uncertain too
    calibration, coverage = calibrate(held, noise=about, freedom=freedom, level=level)
    return Extrapolation(
        panel=tuple(
            PanelMember(
                form=member.form.name,
                params=member.estimates(level),
                rolling_rmse=None if rolling is None or np.isnan(rolling[i]) else float(rolling[i]),
                aicc=member.aicc,
                used=bool(kept[i]),
            )
            for i, member in enumerate(members)
        ),
        target=target,
        n=len(values),
        n_clusters=count,
        origins=len(held),
        coverage=coverage,
        noise=calibration.noise,
        drift=calibration.drift,
        correction=-float(moved[0]),
        largest=float(sizes.max()),
        level=level,
        warnings=_warnings(wanted, able, held, freedom, coverage, level)
        + (() if some is None else (thinned_note(len(values), len(some), "rolling origins are"),)),
        x_names=names,
        y_name=y_name,
        _members=tuple(used),
        _calibration=calibration,
        _naive=min(members, key=lambda member: member.aicc),
        _edge=float(points.max()) if form == "auto" and len(names) == 1 else None,
    )


def _variables(x: ArrayLike, names: tuple[str, ...]) -> tuple[Array, Array]:
    """x as [n] or [n, V], and the product of the variables [n]."""
    raw = np.asarray(x)
    if raw.ndim == 1:
        if len(names) != 1:
            raise SonoscaleError(f"x is one column, but there are names for {len(names)}: {', '.join(names)}")
        column = as_column(x, name=names[0], positive=True)
        if constant_column(column, name=names[0]):
            raise SonoscaleError(str(constant_column(column, name=names[0])))
        return column, column
    if raw.ndim != 2 or raw.shape[1] != len(names):
        raise SonoscaleError(f"x must be [n, {len(names)}] for {', '.join(names)}, not of shape {raw.shape}")
    columns = [as_column(raw[:, i], name=name, positive=True) for i, name in enumerate(names)]
    for column, name in zip(columns, names, strict=True):
        if constant_column(column, name=name):
            raise SonoscaleError(str(constant_column(column, name=name)))
    if len(columns) == 1:
        return columns[0], columns[0]
    with np.errstate(over="ignore", under="ignore"):
        sizes = np.prod(columns, axis=0)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise SonoscaleError(
            f"the product of {', '.join(names)} is beyond what a number holds: give the size, or rescale"
        )
    return np.stack(columns, axis=1), sizes


def _panel(form: str | Form, names: tuple[str, ...]) -> list[Form]:
    if form == "auto":
        return [FORMS[name] for name in PANEL] if len(names) == 1 else [_additive(names)]
    chosen = find_form(form)
    if len(chosen.variables) != len(names):
        raise SonoscaleError(
            f"form {chosen.name!r} has the variables {', '.join(chosen.variables)}; give {len(chosen.variables)} "
            f"columns for x, not {len(names)}"
        )
    return [chosen]


def _check_range(form: Form, y: Array, name: str, rows: Sequence[int] | NDArray[np.intp] | None) -> None:
    low, high = form.y_range
    outside = (y < low) | (y > high)
    if outside.any():
        i = int(outside.argmax())
        raise SonoscaleError(
            f"{name}, row {i if rows is None else rows[i]}: {y[i]:g} is outside {low:g}..{high:g}, as form "
            f"{form.name!r} needs"
        )


def _additive(names: tuple[str, ...]) -> Form:
    terms = [Term(f"a_{name}", {name: f"b_{name}"}) for name in names]
    return sum_of_powers(
        name="additive",
        formula="y = e + " + " + ".join(f"a_{name} * {name}^(-b_{name})" for name in names),
        latex="y = e + "
        + " + ".join(rf"\frac{{a_{{{i}}}}}{{x_{{{i}}}^{{b_{{{i}}}}}}}" for i in range(1, len(names) + 1)),
        terms=(*terms, Term("e")),
        variables=names,
        exponent=f"b_{names[0]}",
        citation=FORMS["chinchilla"].citation,
        doc="A floor and one power of each variable.",
    )


def _rolling_errors(error: Array, windows: Array, sizes: Array, enough: NDArray[np.bool_]) -> Array | None:
    """Root mean squared error [M] over origins, of the rows beyond each and up to twice as large; nan: never tried."""
    squares = []
    for k in range(1, len(windows)):
        below = windows[k] > 0
        near = ~below & (sizes <= _NEAR * sizes[below].max() * (1 + 1e-9))
        if near.any():
            square = np.mean(error[:, k, near] ** 2, axis=1)
            squares.append(np.where(enough[:, k], np.where(np.isfinite(square), square, np.inf), np.nan))
    if not squares:
        return None
    tried = ~np.isnan(squares)
    total = np.sum(squares, axis=0, where=tried)
    return np.sqrt(np.where(tried.any(axis=0), total / np.maximum(tried.sum(axis=0), 1), np.nan))


def _falls_on(members: list[Member], largest: Array) -> NDArray[np.bool_]:
    """Whether each form falls on, as it is meant to, from the largest x of each window [W] to four times it: [M, W]."""
    ahead = np.outer(largest, [1.0, 2.0, 4.0])  # [W, 3]
    z = np.array([np.diagonal(member.predict(ahead.reshape(-1)).reshape(-1, *ahead.shape)).T for member in members])
    noise = np.array([member.noise for member in members])
    with np.errstate(invalid="ignore"):
        return np.isfinite(z).all(axis=2) & (np.diff(z, axis=2).max(axis=2) <= noise)


def _warnings(
    wanted: list[Form], able: list[Form], held: list[Held], freedom: float, coverage: float | None, level: float
) -> tuple[str, ...]:
    notes = []
    if freedom < _FEW:
        left = max(freedom, 1.0)
        notes.append(
            f"{left:.2g} degree{'s of freedom are' if left > 1 else ' of freedom is'} left for the noise: intervals "
            "are as wide as Student's t makes them, and rough"
        )
    if len(able) < len(wanted):
        lost = ", ".join(one.name for one in wanted if one not in able)
        notes.append(f"too few different runs for {lost}")
    if not held:
        notes.append(
            "no earlier extrapolation could be tried (too few runs at half the largest size): intervals hold "
            "within the data only"
        )
    elif len(held) == 1:
        notes.append("one rolling origin only: intervals beyond the data are rough")
    if coverage is not None and coverage < level - 0.15:
        notes.append(
            f"at rolling origins, {level:.0%} intervals covered {coverage:.0%}: the law changes along the way, "
            "and may again"
        )
    return tuple(notes)
