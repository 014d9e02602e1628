"""What an audit says."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonoscale._figure import check_axes, new_axes
from sonoscale.laws._estimate import Estimate
from sonoscale.laws._runs import RunTable
from sonoscale.laws._target import Target
from sonoscale.laws.audit._baselines import Baseline, Regret
from sonoscale.laws.audit._bases import bases, residual
from sonoscale.laws.audit._course import Layers, Trajectory
from sonoscale.laws.audit._decisions import Decisions
from sonoscale.laws.audit._families import HeldOutFamilies
from sonoscale.laws.audit._gather import Configurations
from sonoscale.laws.audit._joint import Joint
from sonoscale.laws.audit._marginal import Association
from sonoscale.laws.audit._pairs import Pairs, SeedFloor
from sonoscale.laws.audit._partial import Adjusted
from sonoscale.laws.audit._robustness import Robustness
from sonoscale.laws.audit._seeds import Reliability
from sonoscale.laws.audit._verdict import VERDICTS, Verdict
from sonoscale.results import Result, plain

__all__ = ["EVIDENCE", "Audit"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Audit(Result):
    """A verdict on rank, and all that it rests on. Where a piece of evidence is a `str`, it says why there is none.

    Attributes:
        verdict: one of `VERDICTS`;
        reason: the sentence why.
        needed_assumed: configurations in all that show a correlation of 0.5, if there is one, with a chance of 80 % at
            this level, None where no number would;
        needed_observed: that show one as large as was observed, None where more than 1000 or where there was none;
        needed_margin: that show that the correlation is below the margin, if there is none;
        needed: the same in words, or what is missing.
        p: one-sided, below 1 - level where the tests on which `supported` rests agree: the larger of that of `joint`
            (averaged with the bases where they agree) and half of those of the bases in `adjusted`; None where it did
            not come to them.
        bound: one-sided upper bound of the correlation that was compared with the margin, None where none was.
        margin: correlation below which rank is taken to add nothing that matters.
        reliability: of the sizes, as stated.
        points: the configurations that were compared.
        rank: its column. `level`, `seed`.
        spearman, kendall: over configurations.
        adjusted: at equal covariates.
        joint: beyond any bend or step in size that rank and quality have in common.
        robustness: what would undo the association.
        within, across, held_out_families: rank within, across and beyond the families known.
        floor_rank: (of log rank), `floor_quality`: between seeds.
        pairs: all pairs above the floor;
        matched: those of equal size.
        decisions: of all pairs above the floor, how many each column orders as quality does.
        reliability_rank, reliability_quality: share of the variance of single runs that is between configurations.
        regret: of choosing by rank, each covariate, each baseline, at random, and by an oracle.
        baselines: other columns in the place of rank.
        trajectory, layers: over steps and layers.
        turning_point: rank at which quality turns, in the unit of the column, or None where it does not.
        caveats: evidence beside the rules that speaks against the verdict.
        notes: what was decided about the table.
    """

    verdict: Verdict
    reason: str
    needed_assumed: int | None
    needed_observed: int | None
    needed_margin: int | None
    needed: str
    p: float | None
    bound: float | None
    margin: float
    reliability: float
    points: Configurations
    rank: str
    level: float
    seed: int
    spearman: Association | str
    kendall: Association | str
    adjusted: Adjusted | str
    joint: Joint | str
    robustness: Robustness | str
    within: Association | str
    across: Association | str
    held_out_families: HeldOutFamilies | str
    floor_rank: SeedFloor | str
    floor_quality: SeedFloor | str
    pairs: Pairs | str
    matched: Pairs | str
    decisions: tuple[Decisions, ...] | str
    reliability_rank: Reliability | str
    reliability_quality: Reliability | str
    regret: tuple[Regret, ...] | str
    baselines: tuple[Baseline, ...] | str
    trajectory: Trajectory | str
    layers: Layers | str
    turning_point: float | None
    caveats: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> RunTable:
        """The rows that were audited."""
        return self.points.runs

    @property
    def target(self) -> Target:
        """The quality, and which end of it is good."""
        return self.points.target

    @property
    def covariates(self) -> tuple[str, ...]:
        """As they entered: `log params`."""
        return tuple(c.label for c in self.points.names)

    @property
    def n(self) -> int:
        """Rows that were audited, of all steps and layers."""
        return len(self.runs)

    @property
    def n_clusters(self) -> int:
        """Independent configurations."""
        return len(self.points)

    @property
    def n_families(self) -> int | None:
        """Families; None where no column was named."""
        return None if self.points.family is None else int(self.points.family.max()) + 1

    @property
    def words(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]

    @property
    def rules(self) -> str:
        """The rules of the verdict: the docstring of the package."""
        return inspect.cleandoc(sys.modules[__package__ or ""].__doc__ or "")

    @property
    def reasons(self) -> dict[str, str]:
        """Evidence that there is none of -> why."""
        return {name: value for name in EVIDENCE if isinstance(value := getattr(self, name), str)}

    @property
    def missing(self) -> tuple[str, ...]:
        """The same in sentences."""
        return tuple(f"no {EVIDENCE[name]}: {reason}" for name, reason in self.reasons.items())

    @property
    def headline(self) -> str:
        """The verdict in words, with its reason."""
        return f"{self.words}. {self.reason[0].upper()}{self.reason[1:]}."

    def rows(self) -> list[dict[str, Any]]:
        """The evidence: correlations and shares with their intervals, p (None where nothing is tested)."""
        q, rank = self.target.name, self.rank
        out: list[dict[str, Any]] = []

        def add(evidence: str, one: Estimate | float, p: float | None, over: str) -> None:
            low, high = (one.low, one.high) if isinstance(one, Estimate) else (None, None)
            out.append({"evidence": evidence, "value": float(one), "low": low, "high": high, "p": p, "over": over})

        for name, one in (
            (f"Spearman's rho of {rank} and {q}", self.spearman), ("Kendall's tau", self.kendall),
            ("Spearman's rho within families", self.within), ("Spearman's rho of family means", self.across),
        ):  # fmt: skip
            if not isinstance(one, str):
                add(name, one, one.p, f"{one.n} {'families' if one is self.across else 'configurations'}")
        if not isinstance(self.adjusted, str):
            adjusted = self.adjusted
            tests = [(f"partial correlation, given {', '.join(each.given)}", each) for each in adjusted.each]
            tests.append(("partial correlation, given all, linear", adjusted.linear))
            tests.append((f"partial correlation, given all, up to {adjusted.partial.basis}", adjusted.partial))
            if adjusted.richer != adjusted.partial:
                tests.append((f"partial correlation, given all, up to {adjusted.richer.basis}", adjusted.richer))
            for name, test in tests:
                add(name, test, test.p, f"{test.df} degrees of freedom")
        if not isinstance(self.joint, str):
            joint = self.joint
            add(
                "correlation beyond any common effect of size", joint, joint.p, f"{joint.configurations} configurations"
            )
            if joint.attenuated is not None:
                add("the same, if rank were measured without error", joint.attenuated, None, "")
        if not isinstance(self.robustness, str):
            add("share of both that an unrecorded covariate must explain", self.robustness.third_significance, None, "")
            if self.robustness.sizes is not None:
                add("reliability of sizes below which they explain it", self.robustness.sizes, None, "")
        for name, one in ((f"log {rank}", self.reliability_rank), (q, self.reliability_quality)):
            if not isinstance(one, str):
                add(f"share of the variance of {name} between configurations", one, None, f"{one.runs} runs")
        for pairs in (self.pairs, self.matched):
            if not isinstance(pairs, str):
                name = "pairs ordered right" + (f", of equal {pairs.by}" if pairs.by else "")
                add(name, pairs.share, None, f"{pairs.counted} of {pairs.candidates} pairs")
        for name, floor in ((f"log {rank}", self.floor_rank), (q, self.floor_quality)):
            if not isinstance(floor, str):
                what = f"difference of {name} that two seeds exceed in {1 - self.level:.2g} of all cases"
                add(what, floor.difference, floor.p, f"{floor.df} degrees of freedom")
        if not isinstance(self.trajectory, str):
            for name, course in (
                ("inside the warm-up", self.trajectory.inside), ("after the warm-up", self.trajectory.after),
                ("over all steps", self.trajectory.all_steps),
            ):  # fmt: skip
                if course is not None:
                    add(f"Spearman's rho {name}", course.mean, None, f"{course.configurations} configurations")
        if not isinstance(self.layers, str):
            for name, layer in self.layers.by_layer.items():
                if layer is not None:
                    add(f"Spearman's rho in layer {name}", layer, layer.p, f"{layer.n} configurations")
        return out

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """More evidence, title -> rows: nested models, what choosing by a column costs, baselines, held-out families.

        A table is left out where there is no such evidence (see `reasons`).
        """
        q = self.target.name
        out: dict[str, list[dict[str, Any]]] = {}
        if not isinstance(self.adjusted, str):
            out[f"models of {q}"] = [
                {
                    "model": m.name, "parameters": m.parameters, "log likelihood": m.log_likelihood, "AICc": m.aicc,
                    "leave-one-out error": m.loo_rmse,
                }
                for m in self.adjusted.models
            ]  # fmt: skip
        if not isinstance(self.decisions, str):
            out[f"pairs that each column orders as {q} does"] = [
                {
                    "column": d.by, "share": d.accuracy.value, "low": d.accuracy.low, "high": d.accuracy.high,
                    "share of rank less this": d.difference.value, "difference low": d.difference.low,
                    "difference high": d.difference.high, "pairs": d.pairs, "ties": d.ties,
                }
                for d in self.decisions
            ]  # fmt: skip
        if not isinstance(self.regret, str):
            out[f"{q} lost by choosing the run by"] = [
                {
                    "column": r.by, "here": r.regret, "of chance": r.relative, "expected": r.expected.value,
                    "low": r.expected.low, "high": r.expected.high,
                }
                for r in self.regret
            ]  # fmt: skip
        if not isinstance(self.baselines, str) and self.baselines:
            out[f"baselines in the place of {self.rank}"] = [
                {
                    "column": b.name, "Spearman's rho": b.spearman.value, "rho of rank less this": b.difference.value,
                    "low": b.difference.low, "high": b.difference.high,
                    "at equal covariates": b.why if b.partial is None else b.partial.value,
                    "p": None if b.partial is None else b.partial.p,
                }
                for b in self.baselines
            ]  # fmt: skip
        if not isinstance(self.held_out_families, str):
            held: dict[str, Mapping[str, float]] = dict(self.held_out_families.by_family)
            kinds = {"mean": "mean of the others", "rank": "rank", "covariates": "covariates", "both": "both"}
            held["all"] = {kind: getattr(self.held_out_families, kind) for kind in kinds}
            out["error on each held-out family, predicted by"] = [
                {"family": family} | {words: errors[kind] for kind, words in kinds.items()}
                for family, errors in held.items()
            ]
        return out

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values. Evidence that there is none of is None, and `reasons` says why."""
        reasons = self.reasons
        out: dict[str, Any] = {
            "verdict": self.verdict, "words": self.words, "rules": self.rules, "target": self.target,
            "covariates": self.covariates, "clusters": self.runs.clusters_by, "family": self.runs.family_by,
            "step": self.runs.step_by, "n": self.n, "n_clusters": self.n_clusters, "n_families": self.n_families,
        }  # fmt: skip
        for field in dataclasses.fields(self):
            if field.name != "points":
                out[field.name] = None if field.name in reasons else getattr(self, field.name)
        found = plain(out | {"reasons": reasons})
        if isinstance(self.adjusted, Adjusted):
            found["adjusted"]["gain"] = plain(self.adjusted.gain)
        if isinstance(self.robustness, Robustness):
            found["robustness"]["words"] = self.robustness.words
        return found

    def plot(self, ax: Any = None) -> Any:
        """Quality against rank, a point for each configuration, under the verdict; beside it, both at equal covariates.

        Colour is the size that matched pairs share (parameters, else the first covariate that is a logarithm), the
        shape of a point its family. The second panel shows what the basis of the partial correlation leaves of both.

        Arguments:
            ax: the Matplotlib axes to draw the first panel on, and nothing else; None: new ones, two panels.

        Returns:
            The axes of the first panel.
        """
        check_axes(ax)
        points = self.points
        rank = np.exp(points.rank)
        quality = points.quality if self.target.higher_is_better else -points.quality
        both = ax is None and isinstance(self.adjusted, Adjusted) and bool(points.names)
        if ax is None:
            width = 9.6 if both else 6.0
            panels = {"ncols": 2 if both else 1, "squeeze": False}
            axes = new_axes(figsize=(width, 4.2), layout="tight", **panels)[0]
        else:
            axes = np.array([ax])
        drawn = self._scatter(axes[0], rank, quality)
        if drawn is not None and points.size_by is not None:
            axes[0].figure.colorbar(drawn, ax=axes[-1], label=points.names[points.size_by].name)
        if points.family is not None:
            axes[0].legend(title=self.runs.family_by, frameon=False)
        axes[0].set(xscale="log", xlabel=self.rank, ylabel=self.target.name)
        axes[0].set_title(self.words.replace(": ", ":\n", 1), fontsize="medium", loc="left")
        if not both or not isinstance(self.adjusted, Adjusted):
            return axes[0]
        partial = self.adjusted.partial
        several = points.family is not None and int(points.family.max()) > 0
        basis = dict(bases(points.covariates, points.family if several else None))[partial.basis]
        self._scatter(axes[1], residual(basis, points.rank), residual(basis, quality))
        given = ", ".join(partial.given)
        axes[1].set(xlabel=f"log {self.rank}, given {given}", ylabel=f"{self.target.name}, given {given}")
        joint = "" if isinstance(self.joint, str) else f"; joint model {self.joint.value:.2f}"
        axes[1].set_title(
            f"at equal covariates\npartial correlation {partial.value:.2f}{joint}", fontsize="medium", loc="left"
        )
        return axes[0]

    def _scatter(self, ax: Any, x: Any, y: Any) -> Any:
        points, size = self.points, self.points.size_by
        colour = None if size is None else np.exp(points.covariates[:, size])
        family = np.zeros(len(points), dtype=int) if points.family is None else points.family
        drawn = None
        for number in range(int(family.max()) + 1):
            mine = family == number
            options: dict[str, Any] = {"marker": "osD^vP*X"[number % 8], "edgecolors": "0.3", "linewidths": 0.5}
            if points.family is not None:
                options["label"] = points.family_labels[number]
            if colour is not None:
                options |= {"c": colour[mine], "norm": "log", "vmin": colour.min(), "vmax": colour.max()}
            drawn = ax.scatter(x[mine], y[mine], **options)
        return drawn


EVIDENCE = {
    "spearman": "Spearman's rho",
    "kendall": "Kendall's tau",
    "adjusted": "partial correlation",
    "joint": "joint model of rank and quality",
    "robustness": "robustness value",
    "within": "correlation within families",
    "across": "correlation of family means",
    "held_out_families": "held-out families",
    "floor_rank": "seed floor of rank",
    "floor_quality": "seed floor of quality",
    "pairs": "pairs of runs",
    "matched": "pairs of runs of equal size",
    "decisions": "decision accuracy",
    "reliability_rank": "reliability of rank",
    "reliability_quality": "reliability of quality",
    "regret": "regret",
    "baselines": "baselines",
    "trajectory": "trajectory",
    "layers": "layers",
}
"""Fields of an `Audit` that may be a sentence instead, in words."""
