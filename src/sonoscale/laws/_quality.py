"""The quality axis: which scores of a study tell its configurations apart, and the mean of those as its quality."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._ledger import LEDGER, last_layer, ledger_scores, listed, number, readouts_of
from sonoscale.results import Result, plain

__all__ = [
    "EVERYTHING",
    "Quality",
    "QualityRule",
    "Reliability",
    "Score",
    "quality",
    "quality_of",
    "reliability",
    "rule_of",
]

Weights = Literal["plain", "reliability"]
FEWEST = 3
"""Fewer configurations, or degrees of freedom between seeds, say nothing of reliability: the score is kept."""


@dataclass(frozen=True)
class QualityRule:
    """How quality is made of scores: to be fixed before they are seen.

    Attributes:
        weights: of each score in the mean: `reliability`, as reliable as it is; `plain`, all alike. Where nothing is
            known of reliability, all are alike.
        min_reliability: a score is left out unless the lower end of its reliability's interval is above this; None
            keeps all. With 0, a score is left out if the seeds alone could explain how the configurations differ.
        level: coverage of that interval.

    Raises:
        SonoscaleError: no such weights, or a number out of range.

    Example:
        >>> QualityRule(min_reliability=0.2).words
        'mean weighted by reliability of scores whose reliability is above 0.2 (95% interval)'
    """

    weights: Weights = "reliability"
    min_reliability: float | None = 0.0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.weights not in get_args(Weights):
            raise SonoscaleError(f"quality: weights = {self.weights!r}: must be {' or '.join(get_args(Weights))}")
        least = self.min_reliability
        if least is not None and (not isinstance(least, (int, float)) or not 0 <= least < 1):
            raise SonoscaleError(
                f"quality: min_reliability = {least!r}: must be from 0 to below 1, or null to keep all"
            )
        if not isinstance(self.level, (int, float)) or not 0.5 < self.level < 1:
            raise SonoscaleError(f"quality: level = {self.level!r}: must be between 0.5 and 1")

    @property
    def words(self) -> str:
        """In a phrase."""
        what = "plain mean" if self.weights == "plain" else "mean weighted by reliability"
        if self.min_reliability is None:
            return f"{what} of all scores"
        return (
            f"{what} of scores whose reliability is above {self.min_reliability:g} ({100 * self.level:.4g}% interval)"
        )

    @property
    def text(self) -> str:
        """As the ledger's column `quality_rule` has it."""
        return json.dumps(asdict(self))


EVERYTHING = QualityRule("plain", min_reliability=None)
"""The rule of a table that names none."""


def rule_of(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> QualityRule:
    """The rule that a ledger was written with: the plain mean of all scores where it names none.

    Raises:
        SonoscaleError: the column holds no rule, or several.
    """
    texts = {one for one in listed(columns.get("quality_rule", ())) if isinstance(one, str) and one}
    if not texts:
        return EVERYTHING
    if len(texts) > 1:
        raise SonoscaleError(f"quality_rule: {len(texts)} rules in one table; give one (rule), or part the table")
    (text,) = texts
    try:
        return QualityRule(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise SonoscaleError(f"quality_rule: {text[:80]!r} is no rule of quality ({error})") from None


@dataclass(frozen=True)
class Reliability:
    """The share of a score's variance over runs that lies between configurations, and not between seeds.

    Attributes:
        value, low, high: intraclass correlation of one run, ICC(1), and the ends of its interval, each from 0 to 1;
            NaN where there are too few replicates.
        configs, runs: how many.
        between_sd, within_sd: standard deviation of configurations, and of the seeds of one.
    """

    value: float
    low: float
    high: float
    configs: int
    runs: int
    between_sd: float
    within_sd: float

    @property
    def judged(self) -> bool:
        """Whether there are configurations and replicates enough."""
        return not math.isnan(self.value)


def reliability(
    scores: Sequence[float] | NDArray[Any], configs: Sequence[Any] | NDArray[Any], *, level: float = 0.95
) -> Reliability:
    """How well a score tells configurations apart, from runs of several seeds.

    The intraclass correlation of one-way random effects, ICC(1) of Shrout & Fleiss (1979), with the interval that
    follows from the F distribution: exact for normal scores and equally many seeds of each configuration; for others
    the means of configurations and the harmonic mean of the numbers of seeds are taken (Thomas & Hultquist, 1978).

    Arguments:
        scores: of each run.
        configs: what the run is a replicate of.
        level: coverage.

    Returns:
        the correlation, its interval, and the two spreads; NaN where there are too few configurations or seeds.

    Example:
        >>> found = reliability([0.50, 0.52, 0.61, 0.60, 0.70, 0.73], ["a", "a", "b", "b", "c", "c"])
        >>> f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        '0.978 [0.698, 0.999]'
    """
    values = np.asarray(scores, dtype=np.float64)
    names, codes, sizes = np.unique(np.asarray(configs, dtype=str), return_inverse=True, return_counts=True)
    groups, runs = len(names), len(values)
    means = np.bincount(codes, weights=values, minlength=groups) / np.maximum(sizes, 1)
    freedom = runs - groups
    within = float(np.square(values - means[codes]).sum() / freedom) if freedom else math.nan
    if groups < FEWEST or freedom < FEWEST:
        return Reliability(math.nan, math.nan, math.nan, groups, runs, math.nan, math.sqrt(within))
    harmonic = groups / float((1 / sizes).sum())
    between = float(means.var(ddof=1))  # variance of the means
    spread = math.sqrt(max(0.0, between - within / harmonic))
    scale = max(float(np.abs(values).max()), 1e-300) ** 2
    if between <= 1e-24 * scale:  # all configurations score the same
        return Reliability(0.0, 0.0, 0.0, groups, runs, 0.0, math.sqrt(within))
    if within <= 1e-24 * scale:
        return Reliability(1.0, 1.0, 1.0, groups, runs, spread, 0.0)
    from scipy.special import fdtri  # quantiles of F; scipy.stats takes seconds to import

    ratio, tail = harmonic * between / within, (1 - level) / 2
    ends = fdtri(groups - 1, freedom, np.array([1 - tail, tail]))
    value, low, high = (max(0.0, (r - 1) / (r + harmonic - 1)) for r in (ratio, *(ratio / ends)))
    return Reliability(value, low, high, groups, runs, spread, math.sqrt(within))


@dataclass(frozen=True)
class Score:
    """A task by a protocol on a readout, at the last checkpoint of each run.

    Attributes:
        name: as `score_names` has it.
        task, protocol, readout, metric: of the score.
        reliability: between configurations over seeds.
        chance: of a probe that knows how common each class is.
        floor_untrained: mean score of the runs' untrained twins; NaN where unknown, as below.
        floor_logmel: score of log-mel statistics.
        ceiling: score of the encoder that the study names as one.
        best: mean score of the best configuration, over its seeds.
        gain, gain_low, gain_high: mean of configurations above their untrained twins, and the ends of its interval.
        weight: in quality, of all scores 1; 0 if it is left out.
        why: why it is left out, or kept without a judgement; empty otherwise.
    """

    name: str
    task: str
    protocol: str
    readout: str
    metric: str
    reliability: Reliability
    chance: float
    floor_untrained: float
    floor_logmel: float
    ceiling: float
    best: float
    gain: float
    gain_low: float
    gain_high: float
    weight: float = 0.0
    why: str = ""


@dataclass(frozen=True, repr=False)
class Quality(Result):
    """The scores of a study, and which of them its quality is made of.

    Attributes:
        rule: by which.
        registered: the rule in the ledger, where it is another one; None otherwise.
        readout: whose scores count.
        scores: those that count, and then those on other readouts, with weight 0.
        gain, gain_low, gain_high: of quality over the untrained twins, mean over configurations, and the ends of its
            interval; NaN where the twins' scores are not known.
    """

    rule: QualityRule
    registered: QualityRule | None
    readout: str
    scores: tuple[Score, ...]
    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan

    @property
    def weights(self) -> dict[str, float]:
        """Name of a score -> its weight, of those that are in the mean."""
        return {each.name: each.weight for each in self.scores if each.weight > 0}

    @property
    def left_out(self) -> tuple[Score, ...]:
        """Scores on the readout of quality that are not in the mean."""
        return tuple(each for each in self.scores if not each.weight and each.readout == self.readout)

    @property
    def meaning(self) -> str:
        """What quality is, in a phrase."""
        kept = [each for each in self.scores if each.weight > 0]
        tasks, by = (list(dict.fromkeys(getattr(each, k) for each in kept)) for k in ("task", "protocol"))
        metrics = {each.metric for each in kept}
        what = next(iter(metrics)) if len(metrics) == 1 else "score"
        read = "" if self.readout == "mean" else f" on readout {self.readout}"
        how = ", weighted by reliability" if len({each.weight for each in kept}) > 1 else ""
        several = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
        return f"mean {what} over {several} ({', '.join(tasks)}) by {' and '.join(by)}{read}{how}"

    @property
    def notes(self) -> list[str]:
        """What the rule decided, in sentences."""
        said = []
        if self.registered is not None:
            said.append(
                f"The rule of quality was changed after the scores were seen: registered was the "
                f"{self.registered.words}, applied is the {self.rule.words}."
            )
        for each in self.left_out:
            said.append(f"{each.name} is left out of quality: {each.why}.")
        unjudged = [each.name for each in self.scores if each.weight and each.why]
        if unjudged and self.rule.min_reliability is not None:
            first = next(each for each in self.scores if each.weight and each.why)
            said.append(f"{', '.join(unjudged)} {'is' if len(unjudged) == 1 else 'are'} kept in quality: {first.why}.")
        return said

    @property
    def headline(self) -> str:
        """What quality is, and what is left out."""
        out = self.left_out
        said = f"; {len(out)} of {len(out) + len(self.weights)} scores left out" if out else ""
        lines = [f"quality is the {self.meaning}{said}", f"rule     {self.rule.words}"]
        if self.floors:
            lines.append(f"floors   {self.floors}")
        return "\n".join([*lines, *self.notes])

    @property
    def floors(self) -> str:
        """What there is without training, and how much more the configurations have, in a sentence; or nothing."""
        kept = [each for each in self.scores if each.weight > 0]
        parts = []
        for what, name in (("log-mel statistics", "floor_logmel"), ("untrained networks", "floor_untrained")):
            value = sum(each.weight * getattr(each, name) for each in kept)
            if math.isfinite(value):
                parts.append(f"{what} {value:.3f}")
        if not parts:
            return ""
        interval = "" if math.isnan(self.gain_low) else f" [{self.gain_low:+.3f}, {self.gain_high:+.3f}]"
        more = "" if math.isnan(self.gain) else f"; trained minus untrained {self.gain:+.3f}{interval}"
        return f"Without training, quality is {' and '.join(parts)}{more}."

    def rows(self) -> list[dict[str, Any]]:
        """A row for each score: reliability, floors, ceiling, the best configuration, gain over the twins, weight."""
        return [
            {
                "score": each.name,
                "reliability": each.reliability.value,
                "low": each.reliability.low,
                "high": each.reliability.high,
                "seed_sd": each.reliability.within_sd,
                "chance": each.chance,
                "floor_untrained": each.floor_untrained,
                "floor_logmel": each.floor_logmel,
                "best": each.best,
                "ceiling": each.ceiling,
                "gain": each.gain,
                "gain_low": each.gain_low,
                "gain_high": each.gain_high,
                "weight": each.weight,
            }
            for each in self.scores
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return plain({
            "rule": asdict(self.rule),
            "registered": None if self.registered is None else asdict(self.registered),
            "readout": self.readout,
            "meaning": self.meaning,
            "notes": self.notes,
            "floors": self.floors,
            "gain": {"value": self.gain, "low": self.gain_low, "high": self.gain_high},
            "scores": [asdict(each) for each in self.scores],
        })  # fmt: skip


@in_one_line
def quality(source: str | PathLike[str] | Mapping[str, Any] | Any, *, rule: QualityRule | None = None) -> Quality:
    """Which scores of a study tell its configurations apart, above which floors, and what its quality is made of.

    Arguments:
        source: a study's folder, its ledger as a file, or the ledger's columns or frame.
        rule: how quality is made of scores; None for the rule that the study was registered with, which the ledger
            holds. Another one is said to be so.

    Returns:
        each score with its reliability, floors, ceiling and weight, and what the rule decided.

    Raises:
        SonoscaleError: not the ledger of a study; a rule that is none.

    Example:
        >>> ledger = {"run": [], "step": [], "task": [], "protocol": [], "score": [], "config": []}
        >>> rng = np.random.default_rng(0)
        >>> for config, level in enumerate([0.5, 0.6, 0.7, 0.8]):
        ...     for seed in range(3):
        ...         for task, score in (("good", level + 0.01 * rng.normal()), ("noise", 0.5 + 0.1 * rng.normal())):
        ...             row = (f"{config}-{seed}", 100, task, "knn/1", score, str(config))
        ...             for name, value in zip(ledger, row):
        ...                 ledger[name].append(value)
        >>> found = quality(ledger, rule=QualityRule())
        >>> found.weights
        {'good': 1.0}
        >>> found.left_out[0].name
        'noise'
    """
    from sonoscale.laws._read import _columns

    columns, where = _columns(source)
    lacking = [name for name in LEDGER if name not in columns]
    if lacking:
        raise SonoscaleError(f"{where}: not the ledger of a study: no column {', '.join(lacking)}")
    return quality_of(columns, rule)


def quality_of(columns: Mapping[str, Sequence[Any] | NDArray[Any]], rule: QualityRule | None = None) -> Quality:
    """`quality` of the columns of a ledger."""
    table = last_layer(columns)
    registered = rule_of(table)
    given = "quality_rule" in table and any(isinstance(one, str) for one in table["quality_rule"])
    used = registered if rule is None else rule
    names, readouts = ledger_scores(table), readouts_of(table)
    judged = readouts[0] if readouts else "mean"
    last = _last(table)
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row in np.flatnonzero(last):
        rows[names[row]].append(int(row))
    found = [_score(name, of, table, readouts, used) for name, of in rows.items() if of]
    found.sort(key=lambda each: each.readout != judged)
    scores = _weighted(found, judged, used)
    gain = _interval(_gains(table, rows, {each.name: each.weight for each in scores if each.weight}), used.level)
    return Quality(used, registered if given and registered != used else None, judged, tuple(scores), *gain)


def _gains(table: Mapping[str, list[Any]], rows: Mapping[str, list[int]], weights: Mapping[str, float]) -> NDArray[Any]:
    """How much more quality each configuration has than its untrained twins, where all of their scores are known."""
    floors = table.get("floor_untrained")
    if floors is None:
        return np.empty(0)
    runs: dict[Any, list[float]] = {}
    for name, weight in weights.items():
        for row in rows[name]:
            runs.setdefault(table["run"][row], []).append(weight * (number(table["score"][row]) - number(floors[row])))
    configs = dict(zip(table["run"], table["config" if "config" in table else "run"], strict=True))
    whole = {run: sum(parts) for run, parts in runs.items() if len(parts) == len(weights)}
    return _means(np.array(list(whole.values())), np.array([str(configs[run]) for run in whole]))


def _last(table: Mapping[str, list[Any]]) -> NDArray[np.bool_]:
    """Rows of the last checkpoint of each run."""
    latest: dict[Any, Any] = {}
    for run, step in zip(table["run"], table["step"], strict=True):
        latest[run] = max(step, latest.get(run, step))
    return np.array([step == latest[run] for run, step in zip(table["run"], table["step"], strict=True)], dtype=bool)


def _score(name: str, rows: list[int], table: Mapping[str, list[Any]], readouts: list[Any], rule: QualityRule) -> Score:
    def column(what: str) -> NDArray[Any]:
        values = table.get(what)
        return np.array([math.nan if values is None else number(values[row]) for row in rows], dtype=np.float64)

    scores = column("score")
    known = np.isfinite(scores)
    configs = np.array([str(table["config" if "config" in table else "run"][row]) for row in rows])
    first = rows[0]
    found = reliability(scores[known], configs[known], level=rule.level)
    means = _means(scores, configs)
    gains = _means(scores - column("floor_untrained"), configs)
    gain, low, high = _interval(gains, rule.level)
    return Score(
        name, str(table["task"][first]), str(table["protocol"][first]), str(readouts[first]),
        str(table["metric"][first]) if "metric" in table else "score", found, _mean(column("chance")),
        _mean(column("floor_untrained")), _mean(column("floor_logmel")), _mean(column("ceiling")),
        float(means.max()) if len(means) else math.nan, gain, low, high,
    )  # fmt: skip


def _weighted(scores: Sequence[Score], judged: str, rule: QualityRule) -> list[Score]:
    """The scores with their weights, and why."""
    kept: dict[int, str] = {}
    out: dict[int, str] = {}
    for i, each in enumerate(scores):
        r = each.reliability
        if each.readout != judged:
            out[i] = f"quality is that of readout {judged}"
        elif not r.judged:
            kept[i] = (
                f"too few replicates to judge its reliability ({r.runs} runs of {r.configs} configurations; "
                f"{FEWEST} configurations and {FEWEST} runs more than these are needed)"
            )
        elif rule.min_reliability is not None and r.low <= rule.min_reliability:
            out[i] = (
                f"its reliability is {r.value:.2f} [{r.low:.2f}, {r.high:.2f}], whose lower end is not above "
                f"{rule.min_reliability:g}"
            )
        else:
            kept[i] = ""
    if not kept:
        for i, each in enumerate(scores):
            if each.readout == judged:
                kept[i] = "no score has the reliability that the rule asks for, and so all are kept; " + out.pop(i)
    raw = {
        i: 1.0 if rule.weights == "plain" or not scores[i].reliability.judged else scores[i].reliability.value
        for i in kept
    }
    total = sum(raw.values())
    weights = {i: 1 / len(raw) if total <= 0 else value / total for i, value in raw.items()}
    return [replace(each, weight=weights.get(i, 0.0), why=kept.get(i, out.get(i, ""))) for i, each in enumerate(scores)]


def _means(values: NDArray[Any], configs: NDArray[Any]) -> NDArray[Any]:
    """The mean of each configuration's finite values."""
    known = np.isfinite(values)
    codes, sizes = np.unique(configs[known], return_inverse=True, return_counts=True)[1:]
    return np.bincount(codes, weights=values[known], minlength=len(sizes)) / sizes


def _interval(values: Sequence[float] | NDArray[Any], level: float) -> tuple[float, float, float]:
    """Mean, and the ends of Student's interval; NaN where there are fewer than two."""
    if not len(values):
        return math.nan, math.nan, math.nan
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    from scipy.special import stdtrit  # quantiles of Student's t

    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _mean(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
