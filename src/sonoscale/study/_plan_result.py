"""What `plan` returns: what a study would cost, and what it could say."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale.laws.audit import AuditPower
from sonoscale.results import Result, plain
from sonoscale.study._identify import Identified

__all__ = ["More", "RunEstimate", "StudyPlan"]


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What one run would cost.

    Attributes:
        label, family, seed: which.
        params: of the encoder.
        flops: training operations of the last budget; steps: to be trained in all, branches included.
        examples: seen in training by the last budget; epochs: how often it goes through the clips.
        seconds: training and probing, of a process as the machine is now; None where its speed is not known.
        probing: seconds of them in which tasks are embedded and probed.
        memory: bytes that its process has at most; None where it is not known.
    """

    label: str
    family: str | None
    seed: int
    params: int
    flops: float
    steps: int
    examples: int
    epochs: float
    seconds: float | None
    probing: float | None
    memory: float | None


@dataclass(frozen=True, kw_only=True)
class More:
    """What more runs would add.

    Attributes:
        what: is added.
        runs: how many.
        seconds: that they would take; None where the speed is not known.
        narrower: half-widths of the intervals afterwards, over those before.
        power: of the audit afterwards.
    """

    what: str
    runs: int
    seconds: float | None
    narrower: float
    power: AuditPower


@dataclass(frozen=True, repr=False, kw_only=True)
class StudyPlan(Result):
    """What a study would cost, and what it could say.

    Attributes:
        name: of the study.
        folder: where it would be.
        runs: each.
        configurations: different ones.
        flops: training operations of all steps of all runs, branches included.
        workers: processes at a time.
        seconds: from the first run to the last, as the machine is now; core_seconds: of cores that do nothing else.
        log_mels_seconds: on top, for log-mels, where none is computed yet.
        memory: bytes of all processes at a time.
        slowdown: seconds that pass for each that a process had a core to itself, when the speed was measured.
        speed: where and when it was measured, in words.
        identified: what the design can tell apart.
        power: of the audit.
        more: what further runs would add.
        notes: what is not in the numbers.
    """

    name: str
    folder: Path
    runs: tuple[RunEstimate, ...]
    configurations: int
    flops: float
    workers: int
    seconds: float | None
    core_seconds: float | None
    log_mels_seconds: float | None
    memory: float | None
    slowdown: float | None
    speed: str
    identified: Identified
    power: AuditPower
    more: tuple[More, ...]
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """Runs, time, memory, what can be identified, what more would add; a line each."""
        lines = [
            f"study {self.name}: {len(self.runs)} runs of {self.configurations} configurations, {self.flops:.3g} FLOPs "
            f"of training; nothing is trained yet"
        ]
        if self.seconds is None:
            lines.append(f"time       not known: {self.speed}")
        else:
            shared = f", each {self.slowdown:.1f} times as long as on a core of its own" if self.slowdown else ""
            shared = shared if self.slowdown and self.slowdown > 1.2 else ""
            lines.append(
                f"time       {_duration(self.seconds)} with {self.workers} process(es) at a time{shared}; {self.speed}"
            )
        if self.log_mels_seconds:
            lines.append(f"log-mels   {_duration(self.log_mels_seconds)} on top, unless they are computed already")
        if self.memory is not None:
            most = max(run.memory or 0.0 for run in self.runs)
            lines.append(f"memory     {_size(most)} for the largest run, {_size(self.memory)} for all at a time")
        lines += self._identified()
        return "\n".join([*lines, *(f"note       {note}" for note in self.notes)])

    def _identified(self) -> list[str]:
        found, lines = self.identified, []
        for one in found.exponents:
            span = "" if one.low is None or one.high is None else f" over {one.low:.4g} to {one.high:.4g}"
            if one.aliased is not None:
                with_others = f"{one.explained:.0%} of it goes with the others, most with {one.aliased}"
                lines.append(f"aliased    {one.name}{span}: {with_others}")
            elif math.isfinite(one.half_width):
                lines.append(f"exponent   {one.name}{span}: ± {one.half_width:.2g}")
            else:
                lines.append(f"exponent   {one.name}{span}: too few configurations for an interval")
        if found.constant:
            lines.append(f"constant   {', '.join(found.constant)}: nothing can be said of these")
        if found.exponents:
            lines.append(
                f"intervals  at level {found.level:g}, if log y differs by {found.noise:.2g} between seeds and a power "
                f"law in all of these holds; condition number {found.condition:.3g}"
            )
        shares = ", ".join(f"{share:.0%} at {r:g}" for r, share in self.power.supported.items())
        nearest = f", as measured at {self.power.nearest}" if self.power.nearest else ""
        lines.append(
            f"audit      of {self.power.n} configurations{nearest}: rank is found to add to size in {shares} partial "
            f"correlation; not to, where it does not, in {self.power.only_through_capacity:.0%}"
        )
        for one in self.more:
            time = "" if one.seconds is None else f" in {_duration(one.seconds)}"
            lines.append(
                f"more       {one.what}: {one.runs} runs{time}; intervals {one.narrower:.2f} times as wide, audit "
                f"{one.power.supported[0.5]:.0%} at 0.5"
            )
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row per run: parameters, FLOPs, training examples, epochs, estimated seconds, memory in MiB."""
        return [
            {
                "run": run.label, "seed": run.seed, "params": run.params, "flops": run.flops, "examples": run.examples,
                "epochs": run.epochs, "seconds": run.seconds,
                "memory_mib": None if run.memory is None else run.memory / 2**20,
            }
            for run in self.runs
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """All attributes; memory in bytes."""
        return plain({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _size(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:,.1f} GiB"
