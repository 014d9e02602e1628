"""How wrong the law was when it predicted the larger runs from the smaller ones, and what that says of the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonoscale.laws.forms._form import Array

__all__ = ["Calibration", "Held", "calibrate", "drift_of"]


@dataclass(frozen=True)
class Held:
    """The rows beyond one origin.

    Attributes:
        error: [m] predicted minus observed, on the scale of z.
        reach: [m] ln(size / largest size fitted), above 0.
        noise: standard deviation about the law that was fitted below the origin.
    """

    error: Array
    reach: Array
    noise: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Half-widths of prediction intervals: (t(G - P) noise)^2 + beyond^2 under a root.

    beyond is t(O) drift ln reach; or t(G - P) times the spread by which parameters and forms are uncertain there, if
    that is larger and there are fewer than three origins, or a variable lies further outside the data than the size.

    A new run differs from the law by noise, as the runs fitted did, and by a drift of the law itself that grows
    in proportion to how many e-folds beyond the data it lies. The drift is the maximum likelihood estimate from
    what rolling origins got wrong; each of the O origins counts as one observation of it, whatever the number
    of rows beyond it, hence Student's t with O degrees of freedom (2 at least).

    Attributes:
        noise, drift: in units of z.
        freedom: clusters less parameters, G - P.
        origins: O.
        level: of the interval.
    """

    noise: float
    drift: float
    freedom: float
    origins: int
    level: float

    def half_width(self, reach: Array, spread: Array | float = 0.0) -> Array:
        """Half the width of the interval on the scale of z.

        Arguments:
            reach: [n] ln(size / largest size fitted), taken as 0 where it is below.
            spread: [n] standard deviation of z by the uncertainty of parameters and forms.
        """
        from scipy import stats

        tail = 0.5 * (1.0 + self.level)
        wide = float(stats.t.ppf(tail, max(self.freedom, 1.0)))
        drifted = float(stats.t.ppf(tail, max(self.origins, 2))) * self.drift * np.maximum(reach, 0.0)
        return np.hypot(wide * self.noise, np.maximum(drifted, wide * np.asarray(spread)))


def calibrate(held: list[Held], *, noise: float, freedom: float, level: float) -> tuple[Calibration, float | None]:
    """The calibration, and the share of held-out rows that intervals from the other origins alone would cover.

    The share is the mean over origins, None with fewer than two of them.
    """
    calibration = Calibration(noise=noise, drift=drift_of(held), freedom=freedom, origins=len(held), level=level)
    if len(held) < 2:
        return calibration, None
    shares = []
    for i, one in enumerate(held):
        others = held[:i] + held[i + 1 :]
        of_others = Calibration(
            noise=one.noise, drift=drift_of(others), freedom=freedom, origins=len(others), level=level
        )
        shares.append(np.mean(np.abs(one.error) <= of_others.half_width(one.reach)))
    return calibration, float(np.mean(shares))


def drift_of(held: list[Held]) -> float:
    """The drift under which the errors are likeliest, every origin with the same weight."""
    from scipy.optimize import minimize_scalar

    if not held:
        return 0.0
    error = np.concatenate([one.error for one in held])
    reach = np.concatenate([one.reach for one in held]) ** 2
    noise = np.concatenate([np.full(len(one.error), one.noise**2) for one in held])
    weight = np.concatenate([np.full(len(one.error), 1.0 / len(one.error)) for one in held])
    typical = float((weight * error**2).sum() / weight.sum()) + 1e-300
    noise = np.maximum(noise, 1e-12 * typical)

    def unlikelihood(log_drift: float) -> float:
        variance = noise + np.exp(2.0 * log_drift) * reach
        return float((weight * (np.log(variance) + error**2 / variance)).sum())

    centre = 0.5 * np.log(typical / float((weight * reach).sum() / weight.sum()))
    found = minimize_scalar(unlikelihood, bounds=(centre - 8.0, centre + 4.0), method="bounded")
    return float(np.exp(found.x))
