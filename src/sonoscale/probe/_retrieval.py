"""Query by example: clips that find others like them, with no training at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sonoscale.encoders import find_device
from sonoscale.errors import SonoscaleError
from sonoscale.probe._interval import Scored, clip_draws, ends
from sonoscale.probe._metrics import Metric
from sonoscale.probe._ranking import BLOCK, MOST, RETRIEVAL_METRICS, score_chance, score_rankings
from sonoscale.probe._results import ProbeResult
from sonoscale.probe._rounds import fold_names
from sonoscale.probe._targets import Targets


@dataclass(frozen=True)
class Retrieval:
    """A way to score frozen embeddings by searching among them.

    Attributes:
        name: what `--protocol` takes.
        version: raised with any change that can change a score; named in every result.
        own_group: whether clips of the query's own group are searched.
        summary: in a line, with the source.
        kinds: of tasks that it can score.
    """

    name: str
    version: str
    own_group: bool
    summary: str
    kinds: tuple[str, ...] = ("retrieval", "multiclass", "multilabel")

    def searches(
        self, targets: Targets, folds: Sequence[str], scheme: str, groups: Sequence[str] | None,
        roles: Sequence[str] | None,
    ) -> tuple[list[Search], list[str]]:  # fmt: skip
        """See `make_searches`."""
        groups = None if self.own_group else groups
        return make_searches(targets, folds, scheme=scheme, groups=groups, roles=roles)


RETRIEVAL = Retrieval(
    name="retrieval",
    version="retrieval/1",
    own_group=False,
    summary="each test clip ranks the others by cosine similarity; mean average precision, recall, reciprocal rank; "
    "clips of its own group (speaker, recording), where they are known, are not searched",
)
RETRIEVAL_ALL = Retrieval(
    name="retrieval-all",
    version="retrieval-all/1",
    own_group=True,
    summary="as retrieval, clips of the query's own group among the others",
)


def probe_retrieval(
    embeddings: np.ndarray,
    targets: Targets,
    folds: Sequence[str],
    *,
    protocol: Retrieval = RETRIEVAL,
    scheme: str = "folds",
    metric: str | None = None,
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ProbeResult:
    """Protocols `retrieval/1` and `retrieval-all/1`: query by example.

    Each clip of a test fold (or of the test part of a split) is a query, to which the other clips of the fold are
    ranked by the cosine similarity of embeddings as they are: nothing is centred, scaled or trained, and a clip never
    finds itself. Where roles are given, queries search the gallery alone. Relevant is a clip of the same class, or with
    at least one label in common. Clips of the query's own group are not searched, so that it is not rewarded for
    knowing the speaker or the recording; `retrieval-all` searches them. Queries with nothing to find are left out.

    Clips that are equally similar (to 1e-12) have no order: see `score_rankings`. So a collapsed encoder scores as
    chance, which is the mean over all orders of each gallery, exactly.

    The interval draws groups of clips again within each fold. What a clip adds to mAP is what it finds and, to first
    order, what it does to the rankings of others (the infinitesimal jackknife: Efron, "Nonparametric standard errors
    and confidence intervals", 1981): it held the true value 95 to 99 times in 100, in galleries of 30 to 400. Queries
    drawn alone would give half that width, which held it 63 to 78 times. The other metrics have such intervals, of
    queries alone, which are too narrow: that of recall@1 held it 86 times in 100. A larger gallery is harder to search:
    scores of different tasks do not compare.

    Arguments:
        embeddings: float32 `[clips, dim]`, finite.
        targets: multiclass or multilabel, of each clip.
        folds: fold of each clip, or its part of the split; only the test part counts.
        protocol: whether own groups are searched, and what that is called.
        scheme: "folds" or "split".
        metric: name of the main score, one of `RETRIEVAL_METRICS`; by default mAP. The rest are `others`.
        groups: speaker or recording of each clip; by default each its own.
        roles: query or gallery, of each clip; by default all are both.
        seed: of the interval.
        device: see `probe_embeddings`.
        progress: called with the number of queries done, and of how many.

    Raises:
        SonoscaleError: no such metric, an embedding that is not finite, no test part, or nothing to find (see
            `make_searches`).
    """
    if metric is not None and metric not in RETRIEVAL_METRICS:
        raise SonoscaleError(f"probe: no metric '{metric}' for retrieval; there are {', '.join(RETRIEVAL_METRICS)}")
    if not np.isfinite(embeddings).all():
        clip = int(np.argmin(np.isfinite(embeddings).all(axis=1)))
        raise SonoscaleError(f"probe: the embedding of clip {clip} is not finite")
    where = find_device(device)
    searches, notes = protocol.searches(targets, folds, scheme, groups, roles)
    names = np.asarray(groups if groups is not None else np.arange(len(targets)), dtype=str)
    total, done, collapsed = sum(len(each.queries) for each in searches), 0, 0
    tested: list[Scored] = []
    drawn: list[Scored] = []  # what is drawn again for the interval of mAP
    chances: list[Scored] = []
    for each in searches:
        clips = np.union1d(each.queries, each.gallery)
        flat = not np.any(np.ptp(embeddings[clips], axis=0) > 1e-6 * np.abs(embeddings[clips]).max())
        collapsed += flat
        chance = score_chance(each.sizes)
        scores, pull = chance, np.zeros(len(each.gallery))
        if not flat:
            scores, pull = _scores(embeddings, each, where, lambda more, before=done: progress(before + more, total))
        done += len(each.queries)
        progress(done, total)
        tested.append(Scored(targets[each.queries], (scores,), names[each.queries]))
        drawn.append(Scored(targets[clips], (_shares(each, clips, scores[:, 0], pull),), names[clips]))
        chances.append(Scored(targets[each.queries], (chance,), names[each.queries]))
    if collapsed:
        notes.append(f"the embeddings of all clips are equal in {collapsed} of {len(searches)} folds: scored as chance")
    main = RETRIEVAL_METRICS[metric or "mAP"]
    per_fold = {search.name: each.score(main) for search, each in zip(searches, tested, strict=True)}

    draws = {
        name: clip_draws(drawn if name == "mAP" else tested, each, seed=seed)
        for name, each in RETRIEVAL_METRICS.items()
    }

    def summary(of: Metric) -> dict[str, float]:
        low, high = np.clip(ends(draws[of.name]), 0, 1).tolist()
        score, chance = (float(np.mean([each.score(of) for each in parts])) for parts in (tested, chances))
        return {"score": score, "low": low, "high": high, "chance": chance}

    found = {name: summary(each) for name, each in RETRIEVAL_METRICS.items()}
    own = found.pop(main.name)
    return ProbeResult(
        score=own["score"], low=own["low"], high=own["high"], draws=draws[main.name],
        fold_std=float(np.std(list(per_fold.values()), ddof=1)) if len(per_fold) > 1 else None,
        per_fold=per_fold, chosen={}, chance=own["chance"], n=total, classes=len(targets.classes), metric=main.name,
        kind="retrieval", protocol=protocol.version, warnings=tuple(notes), others=found,
    )  # fmt: skip


def _scores(
    x: np.ndarray, search: Search, device: str, progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """See `score_rankings`, of all queries. Similarities are of float64, as equal clips must be equally similar."""
    large = len(search.queries) * len(search.gallery) > BLOCK
    where = torch.device(device if large else "cpu")
    columns, parts, pull, done = _unit(x[search.gallery], where).T, [], np.zeros(len(search.gallery)), 0
    for rows, relevant, there in search.blocks():
        similar = (_unit(x[rows], where) @ columns).cpu().numpy()
        scores, more = score_rankings(similar, relevant, there)
        parts.append(scores)
        pull += more
        progress(done := done + len(rows))
    return np.concatenate(parts), pull


def _shares(search: Search, clips: np.ndarray, averages: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """What each clip adds to mAP, as a query and in the gallery: float64 `[clips, 1]`, whose mean is mAP."""
    mean, added = averages.mean(), np.zeros(len(clips))
    added[np.searchsorted(clips, search.queries)] += averages - mean
    added[np.searchsorted(clips, search.gallery)] += pull
    return (mean + added * len(clips) / len(averages))[:, None]


def _unit(rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """Of length 1, or 0, float64: whatever their size, as the squares of the largest would overflow or vanish."""
    wide = torch.from_numpy(rows).to(device).double()
    largest = wide.abs().amax(dim=1, keepdim=True)
    return torch.nn.functional.normalize(wide / torch.where(largest > 0, largest, 1.0), dim=1)


@dataclass(frozen=True)
class Search:
    """Of one test fold.

    Attributes:
        name: of the fold, or `test`.
        queries, gallery: indices of clips, int64 `[q]` and `[g]`, ascending.
        targets: of all clips.
        groups: of all clips, int64; those of the query's own group are not searched. At least itself is left out.
        sizes: clips that each query searches, and relevant ones among them: int64 `[q, 2]`.
    """

    name: str
    queries: np.ndarray
    gallery: np.ndarray
    targets: Targets
    groups: np.ndarray
    sizes: np.ndarray

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Some queries at a time, int64 `[b]`; which of the gallery is relevant, and which is searched, `[b, g]`."""
        yield from _blocks(self.queries, self.gallery, self.targets, self.groups)


def make_searches(
    targets: Targets,
    folds: Sequence[str],
    *,
    scheme: str = "folds",
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
) -> tuple[list[Search], list[str]]:
    """One search for each fold, or one for the test part of a split.

    Arguments:
        targets: of each clip; relevant is the same class, or a label in common.
        folds: fold of each clip, or its part of the split.
        scheme: "folds" or "split".
        groups: of each clip; clips of the query's own group are not searched. By default each is its own.
        roles: query or gallery, of each clip; by default all are both.

    Returns:
        the searches, without queries that have nothing to find and folds without any other, and what to know of them.

    Raises:
        SonoscaleError: no test part; a fold without queries or gallery; no query has anything to find.
    """
    parts, names = np.asarray(folds, dtype=str), fold_names(folds)
    if scheme == "split":
        if "test" not in names:
            raise SonoscaleError(f"probe: retrieval is tested on the part test; found {', '.join(names)}")
        names = ["test"]
    role = np.asarray(roles if roles is not None else ["both"] * len(parts), dtype=str)
    _, own = np.unique(np.asarray(groups, dtype=str) if groups is not None else np.arange(len(parts)),
                       return_inverse=True)  # fmt: skip
    searches, total, alone = [], 0, 0
    for name in names:
        inside = parts == name
        queries, gallery = (np.flatnonzero(inside & (role != other)) for other in ("gallery", "query"))
        for what, clips in (("queries", queries), ("gallery", gallery)):
            if not len(clips):
                raise SonoscaleError(f"probe: fold {name!r} has no {what}")
        if len(gallery) > MOST:
            raise SonoscaleError(f"probe: fold {name!r} has {len(gallery)} clips to search; at most {MOST} can be")
        sizes = [(there.sum(1), (right & there).sum(1)) for _, right, there in _blocks(queries, gallery, targets, own)]
        counts = np.concatenate([np.stack(each, axis=1) for each in sizes])
        rows = counts[:, 1] > 0
        total, alone = total + len(queries), alone + int((counts[:, 0] == 0).sum())
        if rows.any():
            searches.append(Search(name, queries[rows], gallery, targets, own, counts[rows]))
    if not searches:
        hint = (
            f"; {alone} of {total} queries have a gallery of their own group alone, which is left out: protocol "
            "retrieval-all searches it"
            if alone and groups is not None
            else "; at least two clips of one label are needed"
            + (", of different groups, or protocol retrieval-all" if groups is not None else "")
        )
        raise SonoscaleError(
            f"probe: none of {total} queries has anything to find: nothing that it searches has its label{hint}"
        )
    return searches, _notes(searches, names, total, targets, groups is not None)


def _blocks(
    queries: np.ndarray, gallery: np.ndarray, targets: Targets, groups: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    if targets.kind == "multilabel":
        columns = targets.values[gallery].astype(np.float32).T
    for start in range(0, len(queries), size := max(1, BLOCK // len(gallery))):
        rows = queries[start : start + size]
        if targets.kind == "multilabel":
            right = targets.values[rows].astype(np.float32) @ columns > 0
        else:
            right = targets.values[rows][:, None] == targets.values[gallery]
        yield rows, right, groups[rows][:, None] != groups[gallery]


def _notes(searches: Sequence[Search], names: Sequence[str], total: int, targets: Targets, grouped: bool) -> list[str]:
    notes = []
    if targets.kind == "multilabel":
        notes.append("relevant is a clip with at least one label in common")
    if grouped:
        notes.append(
            "clips of the query's own group (speaker, recording) are not searched: protocol retrieval-all searches them"
        )
    left = total - sum(len(each.queries) for each in searches)
    if left:
        notes.append(f"{left} of {total} queries are left out: nothing that they search has their label")
    empty = [name for name in names if name not in {each.name for each in searches}]
    if empty:
        notes.append(f"no query of fold {', '.join(map(repr, empty))} is left, and it does not count")
    return notes
