"""The study in plain sentences made from its numbers; a negative result reads as plainly as a positive."""

from __future__ import annotations

import math

from sonoscale.report._figures_law import alternatives_of, axes_of
from sonoscale.report._format import decimal, interval, join, name_of, plural
from sonoscale.report._model import Interval, StudyResults

__all__ = ["law_sentence", "summary", "two_stage_sentences"]


def summary(results: StudyResults) -> list[str]:
    """The sentences: scope, law, rank and its alternatives, two stages, audit, seeds, baseline, failures."""
    sentences = [
        _scope(results),
        law_sentence(results),
        *_rank_against_alternatives(results),
        *two_stage_sentences(results)[:1],
        results.laws.audit,
        _seeds(results),
        results.laws.baseline,
    ]
    if results.failures:
        verb = "was" if len(results.failures) == 1 else "were"
        sentences.append(f"{plural(len(results.failures), 'run')} failed and {verb} left out.")
    return [sentence for sentence in sentences if sentence]


def law_sentence(results: StudyResults) -> str:
    """The law of quality on RankMe in one sentence (two where its interval includes zero)."""
    fits = results.laws.of("rankme")
    if not fits:
        reasons = [f"{form}: {reason}" for x, form, reason in results.laws.skipped if x == "rankme"]
        return "No law of quality on RankMe could be fitted" + (f" ({'; '.join(reasons)})." if reasons else ".")
    fit = fits[0]
    parts = [f"The best fit of quality on RankMe is {_article(fit.form)} law, {fit.formula}"]
    slope = fit.slope
    if slope and math.isfinite(slope.value):
        bounds = (
            f" ({results.laws.percent} interval {decimal(slope.low)} to {decimal(slope.high)})" if slope.bounded else ""
        )
        parts.append(f" with {fit.exponent} = {decimal(slope.value)}{bounds}")
    quality = []
    if math.isfinite(fit.r2):
        quality.append(f"R² = {decimal(fit.r2, 2)}")
    if math.isfinite(fit.loo_rmse):
        quality.append(f"its error on configurations left out is {decimal(fit.loo_rmse)}")
    sentence = "".join(parts) + (f"; {', '.join(quality)}." if quality else ".")
    if slope and slope.bounded and slope.includes_zero:
        sentence += " That interval includes zero: these runs do not show that quality follows rank."
    elif slope and slope.bounded and slope.high < 0:
        sentence += " The exponent is negative: a higher rank goes with a lower quality here."
    if fit.warnings:
        sentence += f" Note: {'; '.join(fit.warnings)}."
    return sentence


def two_stage_sentences(results: StudyResults) -> list[str]:
    """What going through each rank gains or loses against the direct law, or why that is not known."""
    sentences = []
    for rank, found in results.laws.two_stage.items():
        if found.verdict:
            design = join([name_of(name) for name in found.design])
            sentences.append(f"From {design}: {found.verdict.replace(rank, name_of(rank))}.")
        else:
            sentences.append(f"No law in two stages through {name_of(rank)}: {found.reason}.")
    return sentences


def _scope(results: StudyResults) -> str:
    configs = len({point.config for point in results.points})
    runs = len({point.run for point in results.points})
    swept = [axis for axis in axes_of(results) if axis != "base"]
    over = f" that vary {join(swept)}" if swept else ""
    encoders = len(results.points)
    budgets = f" that yield {encoders} encoders (one per training budget)" if encoders != runs else ""
    return (
        f"{plural(configs, 'configuration')}{over}, {plural(len(results.seeds), 'seed')}, "
        f"{plural(runs, 'run')}{budgets}, {plural(len(results.tasks), 'task')} ({join(list(results.tasks))});"
        " quality is the mean of the task scores."
    )


def _rank_against_alternatives(results: StudyResults) -> list[str]:
    found = results.laws.correlations
    xs = [x for x in ["rankme", *alternatives_of(results)] if x in found and math.isfinite(found[x].value)]
    if not xs:
        return ["No correlation of quality with rank was computed."]
    listed = "; ".join(f"{name_of(x)} {interval(found[x], 2)}" for x in xs)
    sentences = [f"Spearman's correlation with quality, and its {results.laws.percent} interval: {listed}."]
    if "rankme" not in xs:
        return [*sentences, "The correlation with RankMe itself is not among them."]
    rank = found["rankme"]
    if rank.bounded and rank.includes_zero:
        sentences.append("The interval of RankMe includes zero: rank alone does not order these encoders.")
    elif rank.value < 0:
        sentences.append("The correlation with RankMe is negative: a higher rank went with a lower quality here.")
    alternatives = [x for x in xs if x not in ("rankme", "rankme_centred")]
    if alternatives and rank.value > 0 and not (rank.bounded and rank.includes_zero):
        sentences.append(_verdict(rank, {x: found[x] for x in alternatives}))
    return sentences


def _verdict(rank: Interval, alternatives: dict[str, Interval]) -> str:
    """Who orders quality more closely, each alternative taken in the direction that helps it (a loss should fall)."""
    helpful = {x: other.negated() if x == "loss" else other for x, other in alternatives.items()}
    stronger = sorted((x for x in helpful if helpful[x].value > rank.value), key=lambda x: -helpful[x].value)
    unsettled = [x for x in helpful if rank.overlaps(helpful[x])]
    caution = (
        f" The intervals of RankMe and {join([name_of(x) for x in unsettled])} overlap: "
        "the difference is not significant."
        if unsettled
        else ""
    )
    if not stronger:
        return f"RankMe orders quality more closely than {join([name_of(x) for x in helpful])}.{caution}"
    better = join([name_of(x) for x in stronger])
    return f"RankMe is not the best predictor: quality is ordered more closely by {better}.{caution}"


def _seeds(results: StudyResults) -> str:
    if len(results.seeds) < 2:
        return "With one seed, the spread between seeds is unknown, so no small difference here is significant."
    spread = results.laws.seed_spread
    known = [(name, value) for name, value in spread.items() if math.isfinite(value)]
    if not known:
        return "The spread between seeds was not computed."
    listed = join([f"{decimal(value, 1 if 'rankme' in name else 3)} in {name_of(name)}" for name, value in known])
    return f"Runs that differ in their seed alone spread by {listed}; a smaller difference is not significant."


def _article(form: str) -> str:
    return f"{'an' if form[:1].lower() in 'aeiou' else 'a'} {form}"
