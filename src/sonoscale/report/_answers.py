"""What a study answers, in plain sentences made from its numbers; a negative result reads as plainly as a positive."""

from __future__ import annotations

import math
from typing import Any, Literal

from sonoscale.laws.plan import Allocation, Designed
from sonoscale.report._chart_quality import alternatives_of
from sonoscale.report._format import count, decimal, flops, hours, interval, join, label_of, name_of, plural
from sonoscale.report._html import Answer
from sonoscale.report._model import Fit, Interval, StudyResults

__all__ = [
    "amount_words",
    "answers",
    "audit_sentence",
    "law_sentence",
    "plan_answer",
    "rank_against_alternatives",
    "scope",
    "seeds_sentence",
    "summary",
    "tone_of",
    "two_stage_sentences",
]

_TONES: dict[str, Literal["good", "bad", "open"]] = {
    "supported": "good",
    "only_through_capacity": "bad",
    "not_supported": "bad",
    "insufficient_data": "open",
}


def tone_of(verdict: str) -> Literal["good", "bad", "open"]:
    """How a verdict is coloured."""
    return _TONES.get(verdict, "open")


def answers(results: StudyResults, plan: Allocation | Designed | str) -> list[Answer]:
    """The first screen: is rank to be trusted, which law predicts best, what to train next, what would settle it."""
    found = [_trust(results), _best_law(results), plan_answer(plan), _settling(results, plan)]
    if results.laws.baseline:
        lead, rest = _split(results.laws.baseline, "; ")
        rest = rest.replace("score more.", "score more than log-mel statistics do.")
        found.append(
            Answer("Do the encoders beat simple baselines?", _capital(rest) or lead, f"{lead}." if rest else "")
        )
    return found


def scope(results: StudyResults) -> str:
    """What was run, in a sentence."""
    configs = len({point.config for point in results.points})
    runs = len({point.run for point in results.points})
    axes = {point.axis for point in results.points} - {"base"}
    if "several" in axes:  # combinations: what was swept is in the study file
        axes = set(map(str, results.settings.get("sweep") or ()))
    over = f" that vary {join(sorted(axes))}" if axes else ""
    encoders = len(results.points)
    budgets = f" that yield {encoders} encoders (one per training budget)" if encoders != runs else ""
    return (
        f"{plural(configs, 'configuration')}{over}, {plural(len(results.seeds), 'seed')}, {plural(runs, 'run')}"
        f"{budgets}, {_tasks(results)}; "
        f"quality is the {results.laws.y_meaning or 'mean of the task scores'}."
    )


def _tasks(results: StudyResults) -> str:
    """The tasks, and by how many protocols and readouts each is scored where that is more than one."""
    ends = [f":{one}" for one in (*results.readouts, *results.protocols)]
    names = list(results.tasks)
    for end in ends:
        names = [name.removesuffix(end) for name in names]
    tasks = list(dict.fromkeys(names))
    ways = [plural(len(each), what) for each, what in ((results.protocols, "protocol"), (results.readouts, "readout"))
            if len(each) > 1]  # fmt: skip
    by = f" scored by {join(ways)}" if ways and len(tasks) < len(results.tasks) else ""
    return f"{plural(len(tasks), 'task')} ({join(tasks)}){by}"


def summary(results: StudyResults) -> list[str]:
    """Sentences on scope, law, rank and its alternatives, two stages, audit, seeds, baseline and failures."""
    sentences = [
        scope(results),
        law_sentence(results),
        *rank_against_alternatives(results),
        *two_stage_sentences(results)[:1],
        audit_sentence(results),
        seeds_sentence(results),
        results.laws.baseline,
    ]
    if results.failures:
        verb = "was" if len(results.failures) == 1 else "were"
        sentences.append(f"{plural(len(results.failures), 'run')} failed and {verb} left out.")
    return [sentence for sentence in sentences if sentence]


def audit_sentence(results: StudyResults) -> str:
    """The verdict on rank with its reason, or why there is none."""
    audit = results.laws.audit
    if not audit.get("verdict"):
        return f"Rank was not audited: {audit['reason']}." if audit.get("reason") else ""
    needed = f" Runs that would settle it: {audit['needed']}." if audit.get("needed") else ""
    return f"Is rank to be trusted here? {audit['words']}. {_capital(str(audit.get('reason') or ''))}.{needed}"


def _trust(results: StudyResults) -> Answer:
    question, audit = "Can rank be trusted as a proxy for quality here?", results.laws.audit
    if not audit.get("verdict"):
        return Answer(question, "Not audited.", _capital(str(audit.get("reason") or "no audit was kept")) + ".", "open")
    words, _ = _split(str(audit["words"]), ": ")
    said = _split(str(audit["words"]), ": ")[1]
    lead = f"{words}: {said}." if said else f"{words}."
    return Answer(question, lead, _capital(str(audit.get("reason") or "")) + ".", tone_of(str(audit["verdict"])))


def _best_law(results: StudyResults) -> Answer:
    question = "Which law predicts quality best?"
    fits = [fit for x in dict.fromkeys(fit.x for fit in results.laws.fits) for fit in results.laws.of(x)[:1]]
    known = [fit for fit in fits if math.isfinite(fit.loo_rmse)]
    if not known:
        return Answer(question, "No law could be fitted.", law_sentence(results), "open")
    best = min(known, key=lambda fit: fit.loo_rmse)
    rank = next((fit for fit in known if fit.x == "rankme"), None)
    slope = best.slope
    law = f"{best.formula}" + (
        f" with {best.exponent} = {interval(slope, 2)}" if slope and math.isfinite(slope.value) else ""
    )
    rest = f"{_capital(best.form)} law, {law} ({results.laws.percent})."
    if math.isfinite(best.r2):
        rest += f" R² = {decimal(best.r2, 2)}."
    if rank is not None and rank is not best:
        rest += f" RankMe alone: {decimal(rank.loo_rmse)}."
    spread = results.laws.seed_spread.get("quality", math.nan)
    if math.isfinite(spread):
        rest += f" Seeds alone spread quality by {decimal(spread)}."
    return Answer(
        question,
        f"{_capital(name_of(best.x))}: off by {decimal(best.loo_rmse)} in quality on configurations left out.",
        rest,
    )


def plan_answer(plan: Allocation | Designed | str) -> Answer:
    """What to train next, with what is predicted of it, or why that cannot be said."""
    question = "What should be trained next?"
    if isinstance(plan, str):
        return Answer(question, "No plan can be made.", _capital(plan.rstrip(".")) + ".", "open")
    budget = plan.budget if isinstance(plan, Allocation) else plan.budgets.get("flops")
    if budget is not None:
        question = f"What should be trained next for {flops(budget)} FLOPs?"
    y = Interval(plan.y.value, plan.y.low, plan.y.high)
    keep = plan.no_effect if isinstance(plan, Designed) else {}
    chosen = {name: value for name, value in plan.best.items() if name not in keep}
    lead = f"{join([amount_words(name, value) for name, value in chosen.items()])}" if chosen else "The usual design"
    lead += f": {label_of(plan.target.name)} {interval(y)}."
    details = f"The interval ({plan.level:.0%}) is for one run."
    if keep:
        cheap = join([amount_words(name, value) for name, value in keep.items()])
        details += f" These showed no effect, and stay cheap or as they were: {cheap}."
    for one in plan.reach:
        if one.side != "inside" and one.beyond > 3 and one.name not in keep:
            far = f"lies {one.beyond:.2g} times beyond what was tried: a direction, not a number."
            details += f" {_capital(label_of(one.name))} {far}"
            break
    return Answer(question, _capital(lead), details)


def _settling(results: StudyResults, plan: Allocation | Designed | str) -> Answer:
    question, audit = "What would settle what is open?", results.laws.audit
    needed = str(audit.get("needed") or "")
    first, more = _split(needed, "; ")
    lead = f"{_capital(first)}." if needed else "Nothing is open about rank: the audit's tests agree."
    if not audit.get("verdict"):
        lead = "More configurations: rank could not be audited."
    rest = ""
    if not isinstance(plan, str):
        if plan.next_runs is not None and plan.next_runs.runs:
            suggested = plan.next_runs
            first = ", ".join(amount_words(k, v) for k, v in suggested.runs[0].items())
            rest = (
                f"Of single runs, {first} tells most: {plural(len(suggested.runs), 'such run')} lower the standard "
                f"error at the plan from {_short(suggested.before)} to {_short(suggested.after[-1])}."
            )
        if plan.edges:
            rest += f" At the edge of what was tried: {join([name_of(name) for name in plan.edges])}."
    return Answer(question, lead, f"{f'{_capital(more)}.' if more else ''} {rest}".strip())


def law_sentence(results: StudyResults) -> str:
    """The law of quality on RankMe in one sentence (two where its interval includes zero)."""
    fits = results.laws.of("rankme")
    if not fits:
        reasons = [f"{form}: {reason}" for x, form, reason in results.laws.skipped if x == "rankme"]
        return "No law of quality on RankMe could be fitted" + (f" ({'; '.join(reasons)})." if reasons else ".")
    fit: Fit = fits[0]
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


def rank_against_alternatives(results: StudyResults) -> list[str]:
    """How closely rank and its alternatives order quality, and which does so most closely."""
    found = results.laws.correlations
    xs = [x for x in ["rankme", *alternatives_of(results)] if x in found and math.isfinite(found[x].value)]
    if not xs:
        return ["No correlation of quality with rank was computed."]
    listed = "; ".join(f"{name_of(x)} {interval(found[x], 2)}" for x in xs)
    over = "At all budgets, " if any(not point.is_final for point in results.points) else ""
    said = f"Spearman's correlation with quality, and its {results.laws.percent} interval: {listed}."
    sentences = [over + said]
    if "rankme" not in xs:
        return [*sentences, "The correlation with RankMe itself is not among them."]
    rank = found["rankme"]
    if rank.bounded and rank.includes_zero:
        sentences.append("The interval of RankMe includes zero: rank alone does not order these encoders.")
    elif rank.value < 0:
        sentences.append("The correlation with RankMe is negative: a higher rank went with a lower quality here.")
    alternatives = [x for x in xs if x not in ("rankme", "rankme_centred")]
    if alternatives and rank.value > 0 and not (rank.bounded and rank.includes_zero):
        sentences.append(_ordered(rank, {x: found[x] for x in alternatives}))
    return sentences


def _ordered(rank: Interval, alternatives: dict[str, Interval]) -> str:
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


def seeds_sentence(results: StudyResults) -> str:
    """How far runs differ by their seed alone."""
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


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _split(text: str, at: str) -> tuple[str, str]:
    first, _, rest = text.partition(at)
    return first, rest


def amount_words(name: str, value: Any) -> str:
    """`width 48`, `1.3M examples seen`."""
    if name in ("examples_seen", "clips_seen", "train_clips", "step"):
        return f"{count(float(value))} {name_of(name)}"
    if name == "params":
        return f"{count(float(value))} parameters"
    if name.endswith(("_hours", "hours_seen")):
        return f"{hours(float(value))} of audio"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{label_of(name)} {count(float(value)) if abs(value) >= 1e4 else f'{value:.4g}'}"
    return f"{label_of(name)} {value}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
