"""What a probe finds: of one encoder on one task, and of several on several."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from sonoscale._figure import new_axes
from sonoscale.probe._interval import ends
from sonoscale.results import Result

__all__ = ["Agreement", "Difference", "ProbeResult", "ProbeResults", "Score", "make_results"]


@dataclass(frozen=True, repr=False)
class ProbeResult(Result):
    """A score on clips that neither fitted nor chose anything, unless the protocol's remark says otherwise.

    Attributes:
        score: mean over the test folds.
        low, high: ends of the 95% interval over test clips (see `clip_draws`).
        fold_std: standard deviation over folds (ddof 1), None for one.
        per_fold: score by test fold.
        chosen: settings that the validation clips chose, by test fold.
        chance: the same metric of a probe that knows how common each class is (or the mean) and nothing else; of
            retrieval, the mean over all orders of the gallery.
        n, classes: clips (of retrieval: queries that were scored) and classes; 0 classes for regression.
        metric, kind, protocol: what was measured, of what, how; the protocol with its version.
        warnings: what to know of the score.
        others: other metrics of the same test by name, each with its score, the ends of its interval, and chance.
        readout: what was read of the encoder (see `READOUTS`); `frames` for events in time.
        per_class: of a task of classes, name -> `n` test clips and `score`: the share of them that is found, of a task
            of several labels the average precision.
        confusion: of a task of one class each, test clips `[true, predicted]` in the order of `per_class`; where a
            protocol trains several times, the mean.
        draws: the score on each bootstrap sample of test clips, for paired differences; None if it was read back.
    """

    score: float
    low: float
    high: float
    fold_std: float | None
    per_fold: dict[str, float]
    chosen: dict[str, dict[str, Any]]
    chance: float
    n: int
    classes: int
    metric: str
    kind: str
    protocol: str
    warnings: tuple[str, ...] = ()
    others: dict[str, dict[str, float]] = field(default_factory=dict)
    readout: str = "mean"
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[float]] = field(default_factory=list)
    draws: np.ndarray | None = field(default=None, compare=False)

    @property
    def how(self) -> str:
        """The protocol, and the readout where it is not the mean."""
        return self.protocol if self.readout in ("mean", "frames") else f"{self.protocol}, {self.readout}"

    @property
    def headline(self) -> str:
        """The score, its interval and chance."""
        return (
            f"{self.metric} {self.score:.3f} [{self.low:.3f}, {self.high:.3f}] by {self.how} on {self.n} clips; "
            f"chance {self.chance:.3f}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """The score of each test fold."""
        return [{"fold": name, "score": score, **self.chosen.get(name, {})} for name, score in self.per_fold.items()]

    def as_dict(self) -> dict[str, Any]:
        """All fields but the draws, JSON-able."""
        names = [each.name for each in fields(self) if each.name != "draws"]
        return {name: getattr(self, name) for name in names} | {"warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ProbeResult:
        """What `as_dict` gave; None, which JSON has for what is not finite, is NaN again."""
        values = {**content, "warnings": tuple(content["warnings"])}
        for name in ("score", "low", "high", "chance"):
            values[name] = float("nan") if values[name] is None else values[name]
        return cls(**values)


@dataclass(frozen=True)
class Score:
    """One encoder on one task under one protocol.

    Attributes:
        encoder: its spec.
        identity: which weights and code that was.
        task, dim: of the clips, and of their embeddings.
        layer: which, counted from 0; None for the output.
        result: the score.
        embed_seconds, probe_seconds: taken by the encoder over all clips, and by the protocol.
    """

    encoder: str
    identity: str
    task: str
    dim: int
    layer: int | None
    result: ProbeResult
    embed_seconds: float
    probe_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the result's fields among the others."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "result"}
        return {**own, **self.result.as_dict()}


@dataclass(frozen=True)
class Difference:
    """A further encoder minus the first, paired by clip: the same test clips are drawn again for both.

    Attributes:
        encoder, first: specs.
        task, protocol, metric: of both scores.
        value: the difference of the scores.
        low, high: ends of its 95% interval over test clips; NaN where there is none.
        significant: whether the interval leaves out zero.
        readout: of both encoders.
        tasks: of a mean over tasks, how many; 0 for one task.
    """

    encoder: str
    first: str
    task: str
    protocol: str
    metric: str
    value: float
    low: float
    high: float
    significant: bool
    readout: str = "mean"
    tasks: int = 0

    @property
    def how(self) -> str:
        """The protocol, and the readout where it is not the mean."""
        return self.protocol if self.readout in ("mean", "frames") else f"{self.protocol}, {self.readout}"


@dataclass(frozen=True)
class Agreement:
    """Whether two protocols, or two readouts, order encoders alike.

    Attributes:
        one, other: protocols with versions, and with the readout where it is not the mean.
        per_task: Spearman's correlation over encoders, by task; tasks on which a protocol scores all the same are
            left out.
        mean: over tasks.
        encoders: how many.
    """

    one: str
    other: str
    per_task: dict[str, float]
    mean: float
    encoders: int


@dataclass(frozen=True, repr=False)
class ProbeResults(Result):
    """Encoders on tasks, under several protocols.

    Attributes:
        scores: in the order of encoders, tasks, readouts, layers and protocols.
        differences: of each further encoder from the first, on the same task under the same protocol and readout.
        agreement: between each two protocols; empty for fewer than three encoders.
        notes: what could not be checked.
        options: with which to do it again, and versions.
    """

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What the first encoder scores, and how often it is significantly better or worse than the others."""
        if not self.scores:
            return "no scores yet"
        first = self.scores[0]
        kept = [one for one in self.scores if one.encoder == first.encoder and one.layer == first.layer]
        how = first.result.how
        found = ", ".join(
            f"{one.task} {one.result.metric} {_cell(one.result)}" for one in kept if one.result.how == how
        )
        text = f"{_name(first.encoder)} by {how}: {found}"
        others = [each for each in self.differences if each.how == how and not each.tasks]
        if not others:
            return text
        clear = [each for each in others if each.significant]
        better = sum((each.value > 0) == (each.metric in _LOWER) for each in clear)
        worse = len(clear) - better
        return f"{text}; significantly better in {better} of {len(others)} comparisons, worse in {worse}"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each encoder, task, readout, layer and protocol."""
        return [
            {
                "encoder": each.encoder,
                "task": each.task,
                **({} if each.layer is None else {"layer": each.layer}),
                "protocol": each.result.protocol,
                "readout": each.result.readout,
                "metric": each.result.metric,
                **{name: getattr(each.result, name) for name in ("score", "low", "high", "chance", "n")},
            }
            for each in self.scores
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "scores": [each.as_dict() for each in self.scores],
            "differences": [vars(each) for each in self.differences],
            "agreement": [vars(each) for each in self.agreement],
            "notes": list(self.notes),
            "options": dict(self.options),
        }

    def plot(self, ax: Any = None) -> Any:
        """Scores with their intervals, a row for each encoder and task, and chance as a tick.

        Arguments:
            ax: matplotlib axes to draw on; by default new ones.

        Returns:
            the axes.
        """
        ax = new_axes(ax, figsize=(7, 1 + 0.3 * len(self.scores)), layout="constrained")
        labels = []
        for place, each in enumerate(self.scores):
            found = each.result
            layer = "" if each.layer is None else f", layer {each.layer}"
            labels.append(f"{_name(each.encoder)}{layer}, {each.task}, {found.how}")
            ax.plot([found.low, found.high], [place, place], color="C0", linewidth=2)
            ax.plot([found.score], [place], "o", color="C0")
            ax.plot([found.chance], [place], "|", color="0.4", markersize=12)
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        metrics = list(dict.fromkeys(each.result.metric for each in self.scores))
        ax.set_xlabel(f"{' or '.join(metrics)}, 95% interval; | is chance")
        return ax

    def __repr__(self) -> str:
        """The headline, and a table for each protocol and readout: encoders by tasks."""
        parts = [self.headline]
        for how in dict.fromkeys(each.result.how for each in self.scores):
            kept = [each for each in self.scores if each.result.how == how]
            parts.append(f"{how}\n{_main_table(kept)}")
            if any(each.result.others for each in kept):
                parts.append(f"{how}, other metrics\n{_others_table(kept)}")
        if self.differences:
            parts.append(f"minus {_name(self.differences[0].first)}, paired by clip\n{_difference_table(self)}")
        lines = [
            f"{each.one} and {each.other} order {each.encoders} encoders alike: Spearman {each.mean:.2f}, mean of "
            f"{len(each.per_task)} tasks"
            for each in self.agreement
        ]
        places: dict[str, list[str]] = {}
        for each in self.scores:
            for warning in each.result.warnings:
                places.setdefault(warning, []).append(f"{each.encoder}, {each.task}, {each.result.how}")
        for warning, found in places.items():
            more = f" and {len(found) - 1} more scores" if len(found) > 1 else ""
            lines.append(f"warning  {found[0]}{more}: {warning}")
        lines += [f"note     {note}" for note in self.notes]
        return "\n\n".join([*parts, "\n".join(dict.fromkeys(lines))] if lines else parts)


def make_results(scores: Sequence[Score], notes: Sequence[str], options: Mapping[str, Any]) -> ProbeResults:
    """The results of these scores, with what follows from them."""
    return ProbeResults(
        tuple(scores), tuple(_differences(scores)), tuple(protocol_agreement(scores)), tuple(notes), options
    )


def _differences(scores: Sequence[Score]) -> list[Difference]:
    """Of outputs, task by task, protocol by protocol and readout by readout; and the means over several tasks."""
    outputs = [each for each in scores if each.layer is None]
    found: list[Difference] = []
    apart: dict[tuple[str, str, str], list[tuple[float, np.ndarray]]] = {}
    for other in outputs:
        key = (other.task, other.result.protocol)
        first = next(each for each in outputs if (each.task, each.result.how) == (other.task, other.result.how))
        if first.encoder != other.encoder and first.encoder == outputs[0].encoder:
            one, two = first.result.draws, other.result.draws
            paired = None if one is None or two is None or len(one) != len(two) else two - one
            low, high = ends(paired)
            if paired is not None and other.result.metric not in _LOWER:
                of = (other.encoder, other.result.protocol, other.result.readout)
                apart.setdefault(of, []).append((other.result.score - first.result.score, paired))
            found.append(
                Difference(
                    other.encoder, first.encoder, *key, other.result.metric, other.result.score - first.result.score,
                    low, high, bool(low > 0 or high < 0), other.result.readout,
                )
            )  # fmt: skip
    for (encoder, protocol, readout), several in apart.items():
        if len(several) > 1:
            fewest = min(len(draws) for _, draws in several)
            low, high = ends(np.mean([draws[:fewest] for _, draws in several], axis=0))
            found.append(
                Difference(
                    encoder, outputs[0].encoder, f"mean of {len(several)} tasks", protocol, "score",
                    float(np.mean([value for value, _ in several])), low, high, bool(low > 0 or high < 0), readout,
                    len(several),
                )
            )  # fmt: skip
    return found


def protocol_agreement(scores: Sequence[Score]) -> list[Agreement]:
    """Spearman's correlation of each two protocols (and readouts) over encoders, by task; empty for fewer than 3."""
    from scipy import stats

    outputs = [score for score in scores if score.layer is None]
    table = {(s.result.how, s.task, s.encoder): s.result.score for s in outputs}
    encoders, tasks, protocols = (list(dict.fromkeys(x)) for x in (
        (s.encoder for s in outputs), (s.task for s in outputs), (s.result.how for s in outputs)
    ))  # fmt: skip
    if len(encoders) < 3:
        return []
    found = []
    for one, other in itertools.combinations(protocols, 2):
        per_task = {}
        for task in tasks:
            pairs = [
                (table[one, task, e], table[other, task, e])
                for e in encoders
                if (one, task, e) in table and (other, task, e) in table
            ]
            first, second = (np.array(each) for each in zip(*pairs, strict=True)) if pairs else (np.array([]),) * 2
            if len(first) > 2 and np.ptp(first) > 0 and np.ptp(second) > 0:
                per_task[task] = float(np.asarray(stats.spearmanr(first, second))[0])
        if per_task:
            found.append(Agreement(one, other, per_task, float(np.mean(list(per_task.values()))), len(encoders)))
    return found


_LOWER = ("mae", "segment_1s_er")  # metrics of which less is better


def _main_table(scores: Sequence[Score]) -> str:
    """Encoders (and layers) by tasks, of one protocol, and chance."""
    tasks = list(dict.fromkeys(each.task for each in scores))
    results = {(each.encoder, each.layer, each.task): each.result for each in scores}
    chance = {each.task: each.result for each in scores}
    layers = any(each.layer is not None for each in scores)
    head = ["encoder", *(["layer"] if layers else []), *(f"{task} ({chance[task].metric})" for task in tasks)]
    rows = []
    for encoder, layer in dict.fromkeys((each.encoder, each.layer) for each in scores):
        cells = [_cell(results[encoder, layer, task]) if (encoder, layer, task) in results else "" for task in tasks]
        rows.append([_name(encoder), *([str(layer)] if layers else []), *cells])
    rows.append(["chance", *([""] if layers else []), *(_short(chance[task].chance) for task in tasks)])
    rows.append(["clips", *([""] if layers else []), *(f"{chance[task].n:,}" for task in tasks)])
    return _aligned([head, *rows])


def _others_table(scores: Sequence[Score]) -> str:
    """The metrics that go with the main one, a row for each encoder and task; their intervals are in the JSON."""
    names = list(dict.fromkeys(name for each in scores for name in each.result.others))
    layers = any(each.layer is not None for each in scores)

    def row(encoder: str, each: Score, key: str) -> list[str]:
        layer = ["" if each.layer is None or key == "chance" else str(each.layer)] if layers else []
        found = each.result.others
        return [encoder, each.task, *layer, *(_short(found[name][key]) if name in found else "" for name in names)]

    rows = [row(_name(each.encoder), each, "score") for each in scores]
    rows += [row("chance", each, "chance") for each in {each.task: each for each in scores}.values()]
    return _aligned([["encoder", "task", *(["layer"] if layers else []), *names], *rows])


def _difference_table(results: ProbeResults) -> str:
    rows = [
        [
            _name(each.encoder), each.task, each.how,
            f"{each.value:+.3f} [{each.low:+.3f}, {each.high:+.3f}]", "significant" if each.significant else "",
        ]
        for each in results.differences
    ]  # fmt: skip
    return _aligned([["encoder", "task", "protocol", "difference", ""], *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines whose first column is flush left, and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _cell(found: ProbeResult) -> str:
    return f"{_short(found.score)} [{_short(found.low, 2)}, {_short(found.high, 2)}]"


def _short(value: float, digits: int = 3) -> str:
    """`.668` for 0.668."""
    return f"{value:.{digits}f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.{digits}f}"


def _name(encoder: str) -> str:
    """Of a run, its name and its folder, and not where that lies."""
    from sonoscale.encoders._checkpoint import run_title

    kind, colon, rest = encoder.rpartition(":") if encoder.startswith("untrained:") else ("", "", encoder)
    if (title := run_title(rest)) is not None:
        return f"{kind}{colon}{title}"
    return f"{kind}{colon}{Path(rest).name}" if Path(rest).exists() else encoder.removesuffix(":")
