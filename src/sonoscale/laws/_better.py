"""Whether more of a quality is better: as a user says, by its name, and by how it runs in the data."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.laws._data import constant_column

__all__ = ["is_better", "more_is_better"]

Array = NDArray[np.float64]

_MORE = re.compile(
    r"score|quality|accurac|(^|[^a-z])(acc|top1|top5|f1|map|auc|auroc|recall|precision|mrr|ndcg|correct)s?($|[^a-z])"
)
_LESS = re.compile(r"loss|error|perplexity|(^|[^a-z])(err|wer|cer|eer|ppl|nll|mse|rmse|mae)s?($|[^a-z])")
_BY_CHANCE = 0.05  # p-value of a direction


def more_is_better(name: str) -> bool | None:
    """True where the name is that of a score (accuracy, mAP, F1, ...), false of a loss or an error, None of neither."""
    more, less = (bool(pattern.search(name.lower())) for pattern in (_MORE, _LESS))
    return None if more == less else more


def is_better(name: str, y: Array, size: Array | None, *, along: str, told: bool | None) -> bool | None:
    """Whether more of y [n] is better: as told, else by its name, else as it runs along size [n].

    Arguments:
        name: of y.
        along: of size, in words.
        told: what the user says, or None.
        size: what the training cost or was made of, or None where that is not known.

    Returns:
        None where nothing says so.

    Raises:
        SonoscaleError: Where the name says one and the data, beyond chance, the other.
    """
    if told is not None:
        return told
    named = more_is_better(name)
    if size is None or len(y) < 3 or constant_column(size, name=along) or constant_column(y, name=name):
        return named
    rho = float(np.corrcoef(stats.rankdata(size), stats.rankdata(y))[0, 1])
    if named is None:
        return rho > 0
    freedom = len(y) - 2
    p = float(2 * stats.t.sf(abs(rho) * np.sqrt(freedom / max(1 - rho**2, 1e-15)), freedom))
    if (rho < 0) == named and rho != 0 and p < _BY_CHANCE:
        way, kind = ("falls", "a score") if named else ("rises", "a loss")
        raise SonoscaleError(
            f"{name} {way} with {along} (Spearman's rho {rho:.2f} over {len(y)} rows), though by its name it is "
            f"{kind}: say which is better, --higher-is-better or --lower-is-better"
        )
    return named
