"""Scores of rankings, in which what is equally similar has no order."""

from __future__ import annotations

import numpy as np

from sonoscale.probe._metrics import Metric
from sonoscale.probe._targets import Kind

BLOCK = 2_000_000  # pairs of query and clip held at a time
CUTOFFS = (1, 5, 10)
GRID = 2.0**40  # similarities, in float64, that agree when multiplied by this and rounded are equal
_BITS = 20  # of the number of a clip
MOST = 1 << _BITS  # clips in a gallery
_LEFT_OUT = np.int64(1) << 41  # sorts after everything of the gallery


def score_rankings(similar: np.ndarray, relevant: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision, recall at 1, 5 and 10, reciprocal rank, and nDCG at 10 of each query.

    - Average precision: the mean over relevant clips of the share of relevant clips among those up to it.
    - recall@k: 1 if a relevant clip is among the first k, else 0; over queries, the share of those that find something
      (the R@k of cross-modal retrieval, elsewhere hit rate or success; not the share of relevant clips that is found).
    - Reciprocal rank: 1 over the place of the first relevant clip.
    - nDCG@10: the sum over relevant clips in the first 10 places p of 1 / log2(p + 1), over the most it could be.

    Ties: each is the mean over all orders of the clips that are equally similar, exactly (McSherry and Najork,
    "Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008): an
    encoder to which all clips are alike gets what chance gets.

    Arguments:
        similar: cosine similarities, float64 `[queries, clips]`.
        relevant: bool `[queries, clips]`.
        there: bool `[queries, clips]`: what is searched; each query needs something relevant there.

    Returns:
        float64 `[queries, 6]`, in the order of `RETRIEVAL_METRICS`; and float64 `[clips]`, the derivative of the sum of
        average precisions by how often each clip is in the gallery, which is 0 in sum over the clips of each query.
    """
    relevant = relevant & there
    places = np.arange(similar.shape[1], dtype=np.int32)
    # Similarity, relevance and clip in one integer, so that values are sorted, and no order of them.
    keys = np.where(there, np.rint(similar * -GRID).astype(np.int64), _LEFT_OUT) * 2 + relevant
    keys = (keys << _BITS) + places
    keys.sort(axis=1)
    clip, hit, keys = keys & (MOST - 1), keys >> _BITS & 1, keys >> _BITS + 1
    first = np.zeros(keys.shape, dtype=np.int32)  # place of the first clip that is as similar
    after = np.full(keys.shape, len(places), dtype=np.int32)  # and of the first that is less
    changes = keys[:, 1:] != keys[:, :-1]
    first[:, 1:] = np.where(changes, places[1:], 0)
    after[:, :-1] = np.where(changes, places[1:], len(places))
    first = np.maximum.accumulate(first, axis=1)
    after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]

    found = np.zeros((len(keys), len(places) + 1), dtype=np.int32)  # relevant clips before each place
    np.cumsum(hit, axis=1, out=found[:, 1:])
    above = np.take_along_axis(found, first, axis=1)
    alike, good = after - first, np.take_along_axis(found, after, axis=1) - above  # of those as similar, and relevant
    before = places - first  # of those as similar, in an order
    share = good / alike  # of the orders, in which this place has a relevant clip; then, of those before it:
    precision = (above + 1 + before * (good - 1) / np.maximum(alike - 1, 1)) / (places + 1)
    averages = (share * precision).sum(axis=1) / found[:, -1]
    pull = _pulls(hit, share, precision, averages[:, None], first, after, above, good) / found[:, -1:]

    missed = np.cumprod(np.maximum(alike - good - before, 0) / (alike - before), axis=1)  # none up to here
    recalls = [1 - missed[:, min(k, len(places)) - 1] for k in CUTOFFS]
    firsts = -np.diff(missed, axis=1, prepend=1) @ (1 / (places + 1.0))

    worth = 1 / np.log2(places[: CUTOFFS[-1]] + 2)
    most = np.cumsum(worth)[np.minimum(found[:, -1], len(worth)) - 1]
    scores = np.stack([averages, *recalls, firsts, share[:, : len(worth)] @ worth / most], axis=1)
    return scores, np.bincount(clip.ravel(), weights=pull.ravel(), minlength=len(places))


def _pulls(
    hit: np.ndarray, share: np.ndarray, precision: np.ndarray, averages: np.ndarray, first: np.ndarray,
    after: np.ndarray, above: np.ndarray, good: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """What one more of the clip at each place adds to the sum of precisions, its share of their mean taken off.

    A clip adds its own precision, and moves that of each relevant clip from its own place on. Both are means over all
    orders of the clips that are as similar, of which it comes before each place equally often.

    Arguments:
        hit: 1 where the clip at a place is relevant, in any order of what is tied; all are `[queries, clips]`.
        share, precision: of a place, over orders; the precision of those in which a relevant clip is there.
        averages: average precision of each query, `[queries, 1]`.
        first, after: places between which all clips are as similar.
        above, good: relevant clips before them, and of them.
    """
    places = np.arange(hit.shape[1], dtype=np.int32)
    alike, before = after - first, places - first

    def up_to(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)

    def tied(values: np.ndarray) -> np.ndarray:
        """Sums over the clips that are as similar."""
        sums = up_to(values)
        return np.take_along_axis(sums, after, axis=1) - np.take_along_axis(sums, first, axis=1)

    later = [up_to(share * what / (places + 1)) for what in (np.ones_like(share), precision)]
    counts, precisions = (sums[:, -1:] - np.take_along_axis(sums, after, axis=1) for sums in later)
    pulls = []
    for relevant in (0, 1):
        often = before / alike * (good - relevant) / np.maximum(alike - 1, 1)  # it comes before, and a hit is there
        others = above + 1 + relevant + (before - 1) * (good - 1 - relevant) / np.maximum(alike - 2, 1)
        pulls.append(relevant * counts - precisions + tied(often * (relevant - others / (places + 1)) / (places + 1)))
    own = tied(precision + (1 - precision) / (places + 1)) / alike - averages
    return np.where(hit == 1, pulls[1] + own, pulls[0])


def score_chance(sizes: np.ndarray) -> np.ndarray:
    """The mean of each score over all orders of the clips, exactly.

    Arguments:
        sizes: clips that a query searches, and how many of them are relevant: int64 `[queries, 2]`.

    Returns:
        float64 `[queries, 6]`.
    """
    sizes, which = np.unique(sizes, axis=0, return_inverse=True)
    places, rows = np.arange(sizes[:, 0].max()), max(1, BLOCK // int(sizes[:, 0].max()))
    parts = [sizes[i : i + rows, :, None] for i in range(0, len(sizes), rows)]
    scores = [
        score_rankings(np.zeros((len(each), len(places))), places < each[:, 1], places < each[:, 0])[0]
        for each in parts
    ]
    return np.concatenate(scores)[which.ravel()]


def _column(index: int, name: str, formula: str) -> Metric:
    """The mean over queries of a column of `score_rankings`."""
    kinds: tuple[Kind, ...] = ("multiclass", "multilabel")
    return Metric(name, kinds, True, lambda targets, scores: float(scores[:, index].mean()), formula, average=True)


RETRIEVAL_METRICS = {
    metric.name: metric
    for metric in (
        _column(0, "mAP", "mean over queries of the average precision"),
        *(_column(i, f"recall@{k}", f"share of queries with a relevant clip among the first {k}")
          for i, k in enumerate(CUTOFFS, start=1)),
        _column(4, "mrr", "mean over queries of 1 / place of the first relevant clip"),
        _column(5, "ndcg@10", "mean over queries of the discounted gain in the first 10 places, of what it could be"),
    )
}  # fmt: skip
