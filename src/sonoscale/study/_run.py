"""A study from its file to its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import yaml

from sonoscale.processes import available_cores, remove_leftovers
from sonoscale.study._baseline import baseline_note, logmel_baseline
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun, expand
from sonoscale.study._execute import Failure, run_jobs
from sonoscale.study._laws import fit_laws
from sonoscale.study._ledger import build_ledger, final_quality, write_ledger
from sonoscale.study._prepare import RunJob, prepare
from sonoscale.study._provenance import provenance
from sonoscale.study._worker import is_finished


class StudyWatcher(Protocol):
    """Is told what a study does."""

    def planned(self, runs: Sequence[PlannedRun]) -> None:
        """The design is valid and has these runs."""
        ...

    def preparing(self, what: str, done: int, total: int) -> None:
        """Log-mels are being computed."""
        ...

    def started(self, jobs: Sequence[RunJob], reused: int) -> None:
        """These runs remain to be done; `reused` are finished."""
        ...

    def progress(self, index: int, stage: str, done: int, total: int, loss: float) -> None:
        """Job `index` of those started is at `done` of `total`."""
        ...

    def finished(self, index: int, failure: Failure | None) -> None:
        """Job `index` has ended."""
        ...


@dataclass(frozen=True)
class StudyOutcome:
    """What is there after a study."""

    folder: Path
    ledger: pa.Table
    laws: dict[str, Any]
    failures: list[Failure]


def run_study(study: StudyConfig, out: Path, *, cache: Path, watcher: StudyWatcher) -> StudyOutcome:
    """Train, probe and fit what a study asks for; finished runs of an earlier call are reused.

    The folder ends with `study.yaml`, `runs/`, `ledger.parquet`, `laws.json`, `baseline.json`, `failed.json` and
    `provenance.json`; where no run is finished, without a ledger, laws and report, those of an earlier call included.

    Arguments:
        study: the configuration.
        out: folder of the study; made if need be.
        cache: folder of computed log-mels, shared by studies.
        watcher: is told about progress.

    Raises:
        SonoscaleError: bad input (before anything is trained), a full disk, a dead worker. Finished runs stay.
    """
    started = time.perf_counter()
    runs = expand(study)
    watcher.planned(runs)
    workers = study.workers or available_cores()
    jobs = prepare(study, runs, out, cache, workers, watcher.preparing)
    (out / "runs").mkdir(parents=True, exist_ok=True)
    remove_leftovers(out / "runs")
    _write(out / "study.yaml", yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False))
    remaining = [job for job in jobs if not is_finished(job)]
    reused = len(jobs) - len(remaining)
    watcher.started(remaining, reused)
    failures = run_jobs(remaining, workers, watcher)
    _write(out / "failed.json", json.dumps([asdict(f) for f in failures], indent=1))
    ledger = build_ledger(jobs)
    laws = fit_laws(ledger, study.law)
    baseline = logmel_baseline(jobs[0].tasks)
    _write(out / "baseline.json", json.dumps(baseline, indent=1))
    laws["baseline"] = baseline_note(baseline, final_quality(ledger))
    if ledger.num_rows:
        write_ledger(ledger, out / "ledger.parquet")
        _write(out / "laws.json", json.dumps(laws, indent=1))
    else:  # what is there was made of other runs
        for stale in [*(out / name for name in _RESULTS), *(out / "figures").glob("*.png")]:
            stale.unlink(missing_ok=True)
    facts = provenance(time.perf_counter() - started, len(remaining) - len(failures), reused)
    _write(out / "provenance.json", json.dumps(facts, indent=1))
    return StudyOutcome(out, ledger, laws, failures)


_RESULTS = ("ledger.parquet", "laws.json", "report.html")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
