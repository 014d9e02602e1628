"""How far a study is, told from its files: no driver need be asked, and none need be there."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sonoscale.arguments import check_arguments
from sonoscale.claims import Holder, holders
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.results import Result, plain
from sonoscale.study._failures import forget_failures, read_failures
from sonoscale.study._plan_file import read_plan
from sonoscale.study._watch import duration

__all__ = ["RunState", "Status", "retry", "status", "stop"]

State = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True)
class RunState:
    """Where a run is.

    Attributes:
        run, label, family, seed: which it is.
        state: queued (also if it was begun, and waits to be resumed), running, done or failed.
        stage, done, total: of a running one: train or probe, and how many steps or scores of how many.
        rate: of these, per second.
        seconds_left: of the stage, by that rate.
        loss: of late.
        host, pid: where it runs.
        reason, error: why it failed.
        flops, seconds: of its training; the seconds of those that are done only.
    """

    run: str
    label: str
    family: str
    seed: int
    state: State
    stage: str = ""
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    seconds_left: float | None = None
    loss: float | None = None
    host: str = ""
    pid: int | None = None
    reason: str = ""
    error: str = ""
    flops: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, repr=False)
class Status(Result):
    """How far a study is.

    Attributes:
        folder: of the study.
        runs: all that are planned.
    """

    folder: Path
    runs: tuple[RunState, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are queued, running, done and failed."""
        found = Counter(run.state for run in self.runs)
        return {state: found[state] for state in ("queued", "running", "done", "failed")}

    @property
    def flops(self) -> float:
        """Of the runs that are done."""
        return sum(run.flops for run in self.runs if run.state == "done")

    @property
    def seconds(self) -> float:
        """Of the training of the runs that are done, one after the other."""
        return sum(run.seconds or 0.0 for run in self.runs)

    @property
    def seconds_left(self) -> float | None:
        """Until all are done, if those that are queued take as long for their FLOPs and as many run at once as now."""
        running = [run for run in self.runs if run.state == "running"]
        if not running or not self.seconds:
            return None
        shares = [run.done / run.total if run.stage == "train" and run.done and run.total else 0.0 for run in running]
        left = sum(run.flops for run in self.runs if run.state == "queued")
        left += sum(run.flops * (1 - share) for run, share in zip(running, shares, strict=True) if run.stage != "probe")
        timed = sum(run.flops for run in self.runs if run.seconds)
        return left / timed * self.seconds / len(running) if timed else None

    @property
    def headline(self) -> str:
        """Counts, time left and cost so far, in a line."""
        counts = self.counts
        left = self.seconds_left
        what = [f"{counts['done']} of {len(self.runs)} runs done", f"{counts['running']} running"]
        what[-1] += f" (about {duration(left)} left)" if left is not None else ""
        what += [f"{counts['queued']} queued", f"{counts['failed']} failed"]
        cost = f"{self.flops:.3g} FLOPs and {duration(self.seconds)} of training so far"
        return f"{self.folder}: {', '.join(what)}; {cost}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per run: those that run first, then those that failed, are queued and are done."""
        order = {"running": 0, "failed": 1, "queued": 2, "done": 3}
        rows = []
        for run in sorted(self.runs, key=lambda one: order[one.state]):
            at = f"{run.stage} {run.done}/{run.total}" if run.stage and run.total else run.stage
            rows.append(
                {
                    "run": run.run, "label": run.label, "seed": run.seed, "state": run.state, "at": at,
                    "per second": None if not run.rate else round(run.rate, 2),
                    "left": "" if run.seconds_left is None else duration(run.seconds_left),
                    "loss": None if run.loss is None else round(run.loss, 4), "host": run.host,
                    "why": f"{run.reason}: {run.error}" if run.reason else "",
                }
            )  # fmt: skip
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Counts, cost, time left, and everything of every run."""
        return plain(
            {
                "folder": str(self.folder), **self.counts, "flops": self.flops, "seconds": self.seconds,
                "seconds_left": self.seconds_left, "runs": [asdict(run) for run in self.runs],
            }
        )  # fmt: skip


@in_one_line
def status(folder: str | Path) -> Status:
    """How far a study is: which runs are queued, running, done and failed.

    Arguments:
        folder: of the study.

    Returns:
        The state of every run, by the files of the study alone.

    Raises:
        SonoscaleError: no study was begun there.

    Example:
        >>> status("no-study")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study/runs.json is missing: this study was not begun; run it first
    """
    check_arguments(status, locals())
    place = Path(folder)
    planned = read_plan(place)
    claims, failures, known = holders(place / "runs"), read_failures(place), _in_ledger(place)
    return Status(place, tuple(_state(run, place, claims, failures, known) for run in planned))


def _state(
    run: dict[str, Any], place: Path, claims: dict[str, Holder], failures: dict[str, Any],
    known: dict[str, tuple[set[tuple[int, str]], float]],
) -> RunState:  # fmt: skip
    name = run["run"]
    about: dict[str, Any] = {
        "run": name, "label": run["label"], "family": run.get("family") or "", "seed": run["seed"],
        "flops": run["flops"],
    }  # fmt: skip
    scores, seconds = known.get(name, (set(), 0.0))
    if all((step, key) in scores for step in run["budgets"] for key in run["scores"]):
        return RunState(**about, state="done", seconds=seconds)
    who = claims.get(name)
    if who is not None and who.alive:
        note = who.note
        rate, done, total = note.get("rate"), note.get("done"), note.get("total")
        left = (total - done) / rate if rate and total is not None and done is not None else None
        return RunState(
            **about, state="running", stage=note.get("stage", ""), done=done, total=total, rate=rate,
            seconds_left=left, loss=note.get("loss"), host=who.host, pid=who.pid,
        )  # fmt: skip
    folder = place / "runs" / name
    if (folder / "record.json").is_file():
        if all((folder / f"probe-{key}.json").is_file() for key in run["scores"]):
            return RunState(**about, state="done", seconds=_seconds(folder))
        return RunState(**about, state="queued", stage="trained, not scored yet")
    if name in failures:
        return RunState(**about, state="failed", reason=failures[name].reason, error=failures[name].error)
    begun = (place / "runs" / f".{name}.unfinished" / "state.pt").is_file()
    return RunState(**about, state="queued", stage="begun, to be resumed" if begun else "")


def _in_ledger(place: Path) -> dict[str, tuple[set[tuple[int, str]], float]]:
    """Of each run in the ledger, steps and scores that are known, and the seconds of its training."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = place / "ledger.parquet"
    if not file.is_file():
        return {}
    try:
        source = pq.ParquetFile(file, page_checksum_verification=True)
        columns = source.read(columns=["run", "step", "task_id", "seconds"]).to_pydict()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SonoscaleError(f"{file}: damaged, or not the ledger of a study ({str(error).splitlines()[0]})") from error
    found: dict[str, tuple[set[tuple[int, str]], float]] = {}
    for run, step, key, seconds in zip(*columns.values(), strict=True):
        scores, longest = found.get(run, (set(), 0.0))
        scores.add((step, key))
        found[run] = (scores, max(longest, seconds or 0.0))
    return found


def _seconds(folder: Path) -> float | None:
    try:
        return float(json.loads((folder / "record.json").read_text())["budgets"][-1]["seconds"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


@in_one_line
def stop(folder: str | Path, *, wait: float = 120.0) -> int:
    """Ask all drivers and runs of a study to end, on whatever machine; runs keep what they have, and resume later.

    Arguments:
        folder: of the study.
        wait: seconds to wait for runs under way to end.

    Returns:
        How many runs were under way.

    Raises:
        SonoscaleError: no study was begun there, or runs have not ended in time.

    Example:
        >>> stop("no-study")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study/runs.json is missing: this study was not begun; run it first
    """
    check_arguments(stop, locals())
    place = Path(folder)
    read_plan(place)
    under_way = [name for name, who in holders(place / "runs").items() if who.alive]
    file = place / ".stop"
    file.touch()
    deadline = time.monotonic() + wait
    while alive := [who for name, who in holders(place / "runs").items() if who.alive and name in under_way]:
        if time.monotonic() > deadline:
            first = alive[0]
            raise SonoscaleError(
                f"{place}: {len(alive)} run(s) have not ended after {wait:g} s, for example {first.name} of process "
                f"{first.pid} on {first.host}; they will at the end of their step"
            )
        time.sleep(0.2)
    return len(under_way)


@in_one_line
def retry(folder: str | Path, runs: Iterable[str] = ()) -> list[str]:
    """Let runs that failed be tried again by the next driver, as if they had never been tried.

    Arguments:
        folder: of the study.
        runs: names or labels; by default all that failed.

    Returns:
        The names of these runs.

    Raises:
        SonoscaleError: no study was begun there, or one of these runs has not failed.

    Example:
        >>> retry("results/widths", ["width=96"])  # doctest: +SKIP
        ['3f6c0f6f1d2a']
    """
    check_arguments(retry, locals())
    place = Path(folder)
    read_plan(place)
    failed = read_failures(place)
    wanted = list(runs)
    for one in wanted:
        if not any(one in (name, failure.label) for name, failure in failed.items()):
            known = ", ".join(f"{name} ({failure.label})" for name, failure in failed.items()) or "none"
            raise SonoscaleError(f"{place}: run {one!r} has not failed; those that have: {known}")
    found = [name for name, failure in failed.items() if not wanted or name in wanted or failure.label in wanted]
    forget_failures(place, found)
    return found
