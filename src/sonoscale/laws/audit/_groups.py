"""Verdicts for many tables at once, corrected for their number."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.extras import need
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._read import Reading, Source, as_runs
from sonoscale.laws.audit._audit import RELIABILITY, audit
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._verdict import VERDICTS, Verdict
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
        audit: on its own, None where there is none, with `error`.
    """

    group: dict[str, Any]
    verdict: Verdict | None
    p: float | None
    audit: Audit | None
    error: str | None

    @property
    def label(self) -> str:
        """`task=esc50`."""
        return ", ".join(f"{name}={value}" for name, value in self.group.items())

    @property
    def withdrawn(self) -> bool:
        """Whether the group is supported on its own and not after correction."""
        return self.audit is not None and self.audit.verdict != self.verdict


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GroupAudits(Result):
    """One audit for each group.

    The more tables are audited, the likelier one is supported by chance. So the p on which `supported` rests are
    corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979): the chance that any group is supported
    wrongly is as for one table.

    Attributes:
        groups: in the order in which they come.
        tested: p-values among them, for which the correction is.
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
        return f"{len(self.groups)} groups, {self.tested} tested and corrected for (Holm): {counts}{failed}{lost}"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each group."""
        out = []
        for one in self.groups:
            row: dict[str, Any] = {**one.group, "verdict": one.verdict, "p, corrected": one.p}
            if one.audit is None:
                out.append(row | {"reason": one.error})
                continue
            found = one.audit
            row |= {"p": found.p, "configurations": found.n_clusters, "Spearman's rho": _value(found.spearman)}
            if not isinstance(found.adjusted, str):
                row["partial correlation"] = found.adjusted.partial.value
            row |= {"beyond common effects of size": _value(found.joint), "at most": found.bound}
            if not isinstance(found.decisions, str):
                row["pairs ordered right"] = found.decisions[0].accuracy.value
            out.append(row)
        names = list(dict.fromkeys(name for row in out for name in row))
        return [{name: row.get(name) for name in names} for row in out]

    def plot(self, ax: Any = None) -> Any:
        """The correlation beyond common effects of size (without a joint model: the partial one) of each group.

        Arguments:
            ax: the Matplotlib axes to draw on; None: new ones.

        Returns:
            The axes.
        """
        plt = need("matplotlib.pyplot", what="a figure")

        known = [(one.label, one.verdict, _beyond(one.audit)) for one in self.groups if one.audit is not None]
        if ax is None:
            ax = plt.subplots(figsize=(6.4, 1.2 + 0.35 * len(known)), layout="tight")[1]
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
    corrected = holm(p)
    groups = []
    for (label, one, error), value in zip(found, corrected, strict=True):
        verdict = None if one is None else one.verdict
        if verdict == "supported" and (value is None or value >= 1 - level):
            verdict = "insufficient_data"
        groups.append(GroupAudit(group=label, verdict=verdict, p=value, audit=one, error=error))
    return GroupAudits(groups=tuple(groups), tested=sum(one is not None for one in p), level=level)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number; None stays None and does not count.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    out: list[float | None] = [None] * len(p)
    most = 0.0
    for done, (value, place) in enumerate(known):
        most = max(most, min(1.0, value * (len(known) - done)))
        out[place] = most
    return out


def _beyond(found: Audit) -> Estimate | None:
    if not isinstance(found.joint, str):
        return found.joint
    return None if isinstance(found.adjusted, str) else found.adjusted.partial


def _value(one: Estimate | str) -> float | None:
    return None if isinstance(one, str) else one.value
