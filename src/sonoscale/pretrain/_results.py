"""What `pretrain` returns: a finished run, or what one would cost."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale._figure import new_axes
from sonoscale.pretrain._flops import Cost
from sonoscale.results import Result, plain

__all__ = ["Estimate", "Run"]


@dataclass(frozen=True, repr=False)
class Run(Result):
    """A finished run.

    Attributes:
        folder: holds `checkpoint.pt` (the last budget), `checkpoint-<step>.pt`, `metrics.parquet`, `config.yaml` and
            `record.json`; `load_encoder` takes it.
        record: content of `record.json`.
        finished_before: nothing was trained, as the run was there already.
    """

    folder: Path
    record: dict[str, Any]
    finished_before: bool = False

    @property
    def headline(self) -> str:
        """Its name and folder, where it was trained and whether now, and the warnings."""
        r = self.record
        name = f"{r['name']}, {self.folder}" if r.get("name") else str(self.folder)
        how = "finished before, so that nothing was trained now; trained" if self.finished_before else "trained"
        where = f"{name}: {how} on {r['device']}, {r['precision']}, {r['processes']} process(es)"
        return "\n".join([where, *(f"warning: {warning}" for warning in r["warnings"])])

    def rows(self) -> list[dict[str, Any]]:
        """One row per budget: held-out loss, RankMe with its interval, centred RankMe, hours of audio processed,
        training FLOPs, wall time in seconds."""
        return [
            {
                "steps": budget["step"],
                "loss": budget["loss"],
                "rankme": budget["rank"]["value"],
                "low": budget["rank"]["low"],
                "high": budget["rank"]["high"],
                "rankme_centred": budget["rank_centred"]["value"],
                "hours": budget["hours_seen"],
                "flops": budget["flops"],
                "seconds": budget["seconds"],
            }
            for budget in self.record["budgets"]
        ]

    def as_dict(self) -> dict[str, Any]:
        """The record, and its folder."""
        return plain({"folder": self.folder, **self.record})

    def metrics(self) -> dict[str, list[Any]]:
        """Columns of `metrics.parquet`: what was measured at each step, None where it was not."""
        import pyarrow.parquet as pq

        return pq.read_table(self.folder / "metrics.parquet").to_pydict()

    def plot(self, ax: Any = None) -> Any:
        """RankMe along the training, trunk and branches.

        Arguments:
            ax: Matplotlib axes; by default new ones.

        Returns:
            The axes.
        """
        axes, columns = new_axes(ax), self.metrics()
        for phase in dict.fromkeys(columns["phase"]):
            points = [
                (step, rank)
                for step, name, rank in zip(columns["step"], columns["phase"], columns["rankme"], strict=True)
                if name == phase and rank is not None
            ]
            axes.plot(*zip(*points, strict=True), "o-", label=phase)
        axes.set(xlabel="steps", ylabel="RankMe")
        axes.legend()
        return axes


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """What a run would cost.

    Attributes:
        cost: parameters and training operations of one example, by part.
        patches, kept: of one example, and how many of them the encoder sees.
        budgets: steps.
        batch_size: examples of a step.
        steps: to be trained in all, branches included.
        clips, heldout: of audio, to train on and held out.
        hours: of audio that the last budget processes, repetitions counted.
        flops: training operations of the last budget.
        seconds_per_step: measured on random log-mels, without reading data; NaN where the device has no room for it.
        memory: bytes: on a GPU the most allocated, else what the process grew by; where the device has no room for the
            run, what it would take, roughly.
        free: bytes that the device has.
        device, precision: in which time and memory were measured, and the run would be trained here.
    """

    cost: Cost
    patches: int
    kept: int
    budgets: tuple[int, ...]
    batch_size: int
    steps: int
    clips: int
    heldout: int
    hours: float
    flops: float
    seconds_per_step: float
    memory: int
    free: int
    device: str
    precision: str

    @property
    def seconds(self) -> float:
        """Of all steps; rank readings come on top."""
        return self.steps * self.seconds_per_step

    @property
    def headline(self) -> str:
        """Patches, budgets, audio, compute, time and memory, a line each."""
        return "\n".join(
            f"{name:8} {value}"
            for name, value in (
                ("patches", f"{self.patches} in an example, {self.kept} of them seen by the encoder"),
                ("budgets", f"{', '.join(map(str, self.budgets))} steps of {self.batch_size} examples"),
                ("audio", f"{self.clips:,} clips to train on, {self.heldout:,} held out; {self.hours:.3g} hours "
                          "processed by the last budget"),
                ("compute", f"{self.flops:.3g} FLOPs in the last budget"),
                ("time", self._time()),
                ("memory", f"{self.memory / 2**20:,.0f} MiB for weights, optimiser and activations, of "
                           f"{self.free / 2**20:,.0f} MiB that are free"),
            )
        )  # fmt: skip

    def _time(self) -> str:
        if self.seconds_per_step != self.seconds_per_step:
            return f"not measured: {self.device} has no room for this run; nothing of it was built"
        return (
            f"{_duration(self.seconds)} for {self.steps} steps of {1000 * self.seconds_per_step:.3g} ms on "
            f"{self.device} in {self.precision}, rank readings and log-mels not counted"
        )

    def rows(self) -> list[dict[str, Any]]:
        """Parameters and training FLOPs of one example, one row per part of the model."""
        parts = ("encoder", "decoder", "teacher", "head")
        rows = [
            {"part": p, "params": getattr(self.cost, f"params_{p}"), "flops": getattr(self.cost, f"flops_{p}")}
            for p in parts
        ]
        return [row for row in rows if row["params"] or row["flops"]]

    def as_dict(self) -> dict[str, Any]:
        """All attributes, the costs by part, and `seconds`."""
        mine = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return plain({**mine, "seconds": self.seconds})


def _duration(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds < 86_400 else f"{seconds / 86_400:.1f} days"
