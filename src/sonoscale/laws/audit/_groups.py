"""Verdicts for many tables at once, corrected for their number."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from sonoscale._figure import new_axes
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws.audit._audit import RELIABILITY, audit
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._verdict import LEAST_CONFIGURATIONS, VERDICTS, Verdict
from sonoscale.results import Result, plain

__all__ = ["GroupAudit", "GroupAudits", "audit_groups", "holm"]


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupAudit:
    """The audit of one group.

    Attributes:
        group: column -> its value.
        verdict: after correction: `insufficient_data` where `supported` does not survive it; None where the group could
            not be audited.
        p: of the audit's, corrected by Holm's method; None where the audit did not come to one.
        audit: with that verdict and why, else as on its own; None where there is none, with `error`.
        withdrawn: supported on its own, and not after correction.
    """

    group: dict[str, Any]
    verdict: Verdict | None
    p: float | None
    audit: Audit | None
    error: str | None
    withdrawn: bool = False

    @property
    def label(self) -> str:
        """`task=esc50`."""
        return ", ".join(f"{name}={value}" for name, value in self.group.items())


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GroupAudits(Result):
    """One audit for each group.

    The more tables are audited, the likelier one is supported by chance. So the p on which `supported` rests are
    corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979): the chance that any group is supported
    wrongly is as for one table. All groups count that could have been supported, whether or not their audit came to a
    test: that it did not is by chance too.

    Attributes:
        groups: in the order in which they come.
        tested: those that could have been supported, having configurations and covariates enough: the correction is for
            so many.
        level: of each.
    """

    groups: tuple[GroupAudit, ...]
    tested: int
    level: float

    @property
    def headline(self) -> str:
        """How many groups have which verdict."""
        found = Counter(one.verdict for one in self.groups)
        counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])
        failed = f", {found[None]} that could not be audited" if found[None] else ""
        withdrawn = sum(one.withdrawn for one in self.groups)
        lost = f"; {withdrawn} more would be supported without it" if withdrawn else ""
        many = f"corrected for {self.tested} tests (Holm)" if self.tested else "none that could have been supported"
        return f"{len(self.groups)} groups, {many}: {counts}{failed}{lost}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Why a group could not be audited, what speaks against a verdict, and what was decided about all tables."""
        failed = [f"{one.label}: not audited: {one.error}" for one in self.groups if one.error is not None]
        audits = [(one.label, one.audit) for one in self.groups if one.audit is not None]
        of: dict[str, list[str]] = {}
        for label, found in audits:
            for caveat in found.caveats:
                of.setdefault(caveat, []).append(label)
        caveats = [f"{'; '.join(where[:3])}{'; ...' * (len(where) > 3)}: {caveat}" for caveat, where in of.items()]
        every = [note for note in audits[0][1].notes if all(note in found.notes for _, found in audits)]
        return (*failed, *caveats, *every)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each group."""
        out = []
        for one in self.groups:
            row: dict[str, Any] = {**one.group, "verdict": one.verdict, "p, corrected": one.p}
            if one.audit is None:
                out.append(row)
                continue
            found = one.audit
            row |= {"p": found.p, "configurations": found.n_clusters, "Spearman's rho": _value(found.spearman)}
            if not isinstance(found.adjusted, str):
                row["partial correlation"] = found.adjusted.partial.value
            row |= {"beyond common effects of size": _value(found.joint), "at most": found.bound}
            if not isinstance(found.decisions, str):
                row["pairs ordered right"] = found.decisions[0].accuracy.value
            out.append(row)
        names = [
            n for n in dict.fromkeys(name for row in out for name in row) if any(row.get(n) is not None for row in out)
        ]
        return [{name: row.get(name) for name in names} for row in out]

    def plot(self, ax: Any = None) -> Any:
        """The correlation beyond common effects of size (without a joint model: the partial one) of each group.

        Arguments:
            ax: the Matplotlib axes to draw on; None: new ones.

        Returns:
            The axes.
        """
        known = [(one.label, one.verdict, _beyond(one.audit)) for one in self.groups if one.audit is not None]
        ax = new_axes(ax, figsize=(6.4, 1.2 + 0.35 * len(known)), layout="tight")
        for place, (_, verdict, found) in enumerate(known):
            colour = f"C{[*VERDICTS].index(verdict)}" if verdict else "0.5"
            if found is not None:
                ax.plot([found.low, found.high], [place, place], color=colour)
                ax.plot(found.value, place, "o", color=colour)
        ax.set_yticks(range(len(known)), [f"{label}\n{verdict}" for label, verdict, _ in known], fontsize="small")
        ax.invert_yaxis()
        ax.axvline(0.0, color="0.6", linewidth=0.8)
        ax.set(xlim=(-1, 1), xlabel="correlation of rank and quality at equal size")
        ax.set_title(self.headline, fontsize="small", loc="left", wrap=True)
        return ax

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; the rules once."""
        groups = []
        for one in self.groups:
            content = {"group": one.group, "verdict": one.verdict, "p": one.p, "error": one.error}
            found = None if one.audit is None else one.audit.as_dict()
            if found is not None:
                del found["rules"]
            groups.append(content | {"audit": found})
        rules = next((one.audit.rules for one in self.groups if one.audit is not None), None)
        return plain(
            {"headline": self.headline, "tested": self.tested, "level": self.level, "rules": rules, "groups": groups}
        )


@in_one_line
def audit_groups(
    source: Source,
    *,
    rank: str,
    covariates: str | Sequence[str] | None = None,
    baselines: str | Sequence[str] = (),
    warmup: float | None = None,
    layer: str | None = None,
    margin: float = 0.5,
    reliability: float = RELIABILITY,
    level: float = 0.95,
    bootstrap: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
    **reading: Unpack[Reading],
) -> GroupAudits:
    """An audit for each group of a table (a task, a protocol, a layer), with the p-values corrected for their number.

    Arguments:
        source: as in `audit`, as are `rank` to `seed`.
        **reading: the options of `read_runs`; `group` names the columns whose values make the groups.

    Returns:
        The `GroupAudits`. A group that cannot be audited is in it with the reason.

    Raises:
        SonoscaleError: As `read_runs`; and where no group can be audited, with the reason of the first.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> size, known = rng.uniform(0, 5, 30), rng.normal(size=30)
        >>> runs = {
        ...     "task": ["music"] * 30 + ["speech"] * 30,
        ...     "params": np.tile(1e6 * np.exp(size), 2),
        ...     "rankme": np.tile(30 * np.exp(0.3 * size + 0.2 * known), 2),
        ...     "accuracy": np.r_[0.3 + 0.05 * size + 0.03 * known, 0.3 + 0.05 * size] + 0.01 * rng.normal(size=60),
        ... }
        >>> found = audit_groups(runs, group="task", rank="rankme", y="accuracy", bootstrap=80, permutations=80)
        >>> found.tested, found.groups[0].verdict, found.groups[1].verdict != "supported"
        (2, 'supported', True)
    """
    runs = as_runs(source, **reading)
    if not runs.group_by:
        raise SonoscaleError("group: name the columns whose values make the groups")
    names = runs.group_by
    options: dict[str, Any] = {
        "rank": rank, "covariates": covariates, "baselines": baselines, "warmup": warmup, "layer": layer,
        "margin": margin, "reliability": reliability, "level": level, "bootstrap": bootstrap,
        "permutations": permutations, "seed": seed,
    }  # fmt: skip
    found: list[tuple[dict[str, Any], Audit | None, str | None]] = []
    for label, part in runs.parts():
        try:
            found.append((label, audit(dataclasses.replace(part, group_by=()), **options), None))
        except SonoscaleError as error:
            found.append((label, None, str(error)))
    if all(one is None for _, one, _ in found):
        more = f"; and {len(found) - 1} more groups" if len(found) > 1 else ""
        first = ", ".join(f"{name}={found[0][0][name]}" for name in names)
        raise SonoscaleError(f"{first}: {found[0][2]}{more}")
    p = [None if one is None else one.p for _, one, _ in found]
    tested = sum(one is not None and _testable(one) for _, one, _ in found)
    groups = []
    for (label, one, error), value in zip(found, holm(p, tested), strict=True):
        withdrawn = False
        if one is not None and one.verdict == "supported" and (value is None or value >= 1 - level):
            withdrawn = True
            one = dataclasses.replace(
                one, verdict="insufficient_data", needed="more configurations, or fewer groups, chosen beforehand",
                reason=f"supported on its own (p = {one.p:.2g}), but not after correction for {tested} tests "
                f"(p = {value:.2g})",
            )  # fmt: skip
        verdict = None if one is None else one.verdict
        groups.append(GroupAudit(group=label, verdict=verdict, p=value, audit=one, error=error, withdrawn=withdrawn))
    return GroupAudits(groups=tuple(groups), tested=tested, level=level)


def _testable(one: Audit) -> bool:
    """Whether a table of so many configurations could have been supported, whatever its rank and quality."""
    return len(one.points) >= LEAST_CONFIGURATIONS and bool(one.points.names)


def holm(p: Sequence[float | None], tested: int = 0) -> list[float | None]:
    """p-values corrected for their number, or for `tested` where that is more; None stays None.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
        >>> holm([0.01, None], 20)
        [0.2, None]
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    out: list[float | None] = [None] * len(p)
    most = 0.0
    for done, (value, place) in enumerate(known):
        most = max(most, min(1.0, value * (max(len(known), tested) - done)))
        out[place] = most
    return out


def _beyond(found: Audit) -> Estimate | None:
    if not isinstance(found.joint, str):
        return found.joint
    return None if isinstance(found.adjusted, str) else found.adjusted.partial


def _value(one: Estimate | str) -> float | None:
    return None if isinstance(one, str) else one.value
