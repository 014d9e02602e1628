"""Every estimator that depends on the spectrum alone, by name: what it is called, how it is computed, who does so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._formulas import (
    PowerLaw,
    alpha_req,
    collapse,
    condition_number,
    nesum,
    numerical_rank,
    participation_ratio,
    rankme_eigenvalues,
    rankme_positive,
    rankme_share,
    rankme_twice_smoothed,
    renyi,
    spectrum_rankme,
    stable_rank,
)
from sonoscale.rank._moments import About

Bounds = Callable[[int, int], tuple[float, float]]


@dataclass(frozen=True)
class Estimator:
    """One number out of a spectrum, and everything that decides its value.

    Attributes:
        name: as in records.
        about: which spectrum: of the rows as they are, about their mean, or standardised.
        formula: in words of one line.
        source: who defined it, or computes it so.
        compute: from singular values `[min(n, dim)]`, n and dim to the number.
        bounds: the smallest and largest value possible for given n and dim.
        eps: the constant added somewhere in it, if any.
        note: what else a record should say of the value, from the singular values.
    """

    name: str
    about: About
    formula: str
    source: str
    compute: Callable[[np.ndarray, int, int], float]
    bounds: Bounds
    eps: float = 0.0
    note: Callable[[np.ndarray], str] | None = None

    def __reduce__(self) -> Any:
        """Those of the table are sent to other processes by name."""
        known = ESTIMATORS.get(self.name) is self
        return (get_estimator, (self.name,)) if known else super().__reduce__()

    @property
    def centred(self) -> bool:
        """Whether the mean is taken out first."""
        return self.about != "uncentred"


def get_estimator(name: str) -> Estimator:
    """An estimator of the table, or `renyi_<order>` and `renyi_<order>_centred` of any order.

    Raises:
        SonoscaleError: no such name (the message lists those there are).

    Example:
        >>> import numpy as np
        >>> get_estimator("rankme").formula
        'exp(-sum p ln p), p = s/sum(s)'
        >>> round(get_estimator("renyi_3").compute(np.ones(8), 100, 8), 6)
        8.0
    """
    check_arguments(get_estimator, locals())
    if name in ESTIMATORS:
        return ESTIMATORS[name]
    match = re.fullmatch(r"renyi_(\d+(?:\.\d+)?|inf)(_centred)?", name)
    if match:
        return _renyi(name, float(match[1]), "centred" if match[2] else "uncentred")
    raise SonoscaleError(
        f"no estimator {name!r}: there are {', '.join(ESTIMATORS)}, and renyi_<order>[_centred] of any order"
    )


def title_of(name: str) -> str:
    """The name of an estimator as people write it: `RankMe`, `RankMe (centred)`, `stable rank`."""
    if name == "rankme" or name.startswith("rankme_"):
        rest = name.removeprefix("rankme").lstrip("_").replace("_", " ")
        return f"RankMe ({rest})" if rest else "RankMe"
    named = {"two_nn": "TwoNN", "alpha_req": "alpha-ReQ", "nesum": "NESum"}
    return named.get(name, "LiDAR" + name[5:] if name.startswith("lidar") else name.replace("_", " "))


def _any_rank(n: int, dim: int) -> tuple[float, float]:
    return 1.0, float(min(n, dim))


def _centred_rank(n: int, dim: int) -> tuple[float, float]:
    return 1.0, float(max(1, min(n - 1, dim)))


def _smoothed(n: int, dim: int) -> tuple[float, float]:
    return 1.0, float(dim) * 1.01  # a constant in every p makes them sum to a little more than one


def _share(n: int, dim: int) -> tuple[float, float]:
    return 0.0, 1.0


def _positive(n: int, dim: int) -> tuple[float, float]:
    return 0.0, float("inf")


def _fit(law: PowerLaw) -> str:
    return f"fitted on eigenvalues {law.first} to {law.last}, with R2 = {law.r2:.3f}"


def _of(function: Callable[..., float], **settings: float) -> Callable[[np.ndarray, int, int], float]:
    """An estimator that needs neither n nor dim."""
    return lambda s, n, dim: float(partial(function, **settings)(s))


def _renyi(name: str, order: float, about: About) -> Estimator:
    bounds = _any_rank if about == "uncentred" else _centred_rank
    formula = f"sum(p^{order:g})^(1/(1-{order:g})), p = s/sum(s)" if np.isfinite(order) else "sum(s) / max(s)"
    return Estimator(name, about, formula, "Renyi (1961), Hill (1973)", _of(renyi, order=order), bounds)


ENTROPY = "exp(-sum p ln p), p = "

_TABLE = [
    Estimator("rankme", "uncentred", ENTROPY + "s/sum(s)", "Garrido et al. 2023, without eps; Roy & Vetterli 2007",
              _of(spectrum_rankme), _any_rank),
    Estimator("rankme_centred", "centred", ENTROPY + "s/sum(s)", "the same about the mean",
              _of(spectrum_rankme), _centred_rank),
    Estimator("rankme_standardised", "standardised", ENTROPY + "s/sum(s)",
              "the same of the correlation matrix", _of(spectrum_rankme), _centred_rank),
    Estimator("rankme_normalised", "uncentred", "rankme / min(n, dim)", "share of the largest rank possible",
              lambda s, n, dim: spectrum_rankme(s) / min(n, dim), _share),
    Estimator("rankme_paper", "uncentred", ENTROPY + "s/sum(s) + eps", "Garrido et al. 2023, to the letter",
              _of(spectrum_rankme, eps=1e-7), _smoothed, eps=1e-7),
    Estimator("rankme_eigenvalues", "uncentred", ENTROPY + "s^2/sum(s^2)", "von Neumann entropy of the Gram matrix",
              _of(rankme_eigenvalues), _any_rank),
    Estimator("rankme_reptrix", "centred", ENTROPY + "s^2/sum(s^2) + eps", "reptrix 0.1.0",
              _of(rankme_eigenvalues, eps=1e-7), _smoothed, eps=1e-7),
    Estimator("rankme_stable_pretraining", "uncentred", ENTROPY + "s/sum(s) + eps",
              "stable-pretraining 0.1.8 (torch)", _of(spectrum_rankme, eps=1e-5),
              lambda n, dim: (1.0, 1.2 * dim + 1.0), eps=1e-5),
    Estimator("rankme_stable_pretraining_jax", "uncentred", ENTROPY + "s/(sum(s) + eps) + eps",
              "stable-pretraining 0.1.8 (JAX)", _of(rankme_twice_smoothed, eps=1e-7), _smoothed, eps=1e-7),
    Estimator("rankme_radio", "uncentred", ENTROPY + "s/(sum(s) + eps), s > 0", "RADIO, ssl_metrics",
              _of(rankme_positive, eps=1e-7), _any_rank, eps=1e-7),
    Estimator("rankme_lightly", "uncentred", "exp(-sum p ln(p + eps)) / min(n, dim)", "lightly 1.6, DSERegularizer",
              _of(rankme_share, eps=1e-12), _share, eps=1e-12),
    Estimator("collapse_monai", "centred", "1 - rankme_centred / min(n - 1, dim)", "MONAI 1.6",
              lambda s, n, dim: collapse(s, most=min(n - 1, dim)), _share),
    _renyi("renyi_0.5", 0.5, "uncentred"),
    _renyi("renyi_2", 2.0, "uncentred"),
    _renyi("renyi_inf", float("inf"), "uncentred"),
    Estimator("participation_ratio", "centred", "sum(s^2)^2 / sum(s^4)", "Gao et al. 2017",
              _of(participation_ratio), _centred_rank),
    Estimator("stable_rank", "uncentred", "sum(s^2) / max(s)^2", "Rudelson & Vershynin 2007",
              _of(stable_rank), _any_rank),
    Estimator("nesum", "centred", "sum(s^2) / max(s)^2", "He & Ozay 2022", _of(nesum), _centred_rank),
    Estimator("numerical_rank", "uncentred", "count of s > 1e-6 max(s)", "Golub & Van Loan, 5.4",
              _of(numerical_rank, rtol=1e-6), _any_rank),
    Estimator("condition_number", "uncentred", "max(s) / min(s)", "Golub & Van Loan, 2.6",
              _of(condition_number), lambda n, dim: (1.0, float("inf"))),
    Estimator("alpha_req", "centred", "s^2 ~ index^-alpha on indices 11 to 100", "Agrawal et al. 2022",
              lambda s, n, dim: alpha_req(s).alpha, _positive, note=lambda s: _fit(alpha_req(s))),
]  # fmt: skip

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({each.name: each for each in _TABLE})
