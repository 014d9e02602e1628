"""Runs of a study trained once more: how far the same configuration, seed and audio give the same numbers here."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.study._watch import Watcher

__all__ = ["retrain"]

COLUMNS = ("loss", "rankme", "rankme_centred", "rankme_readout", "score")
"""What is compared."""

PLACE = ".retrained"
"""In the study's folder, for as long as runs are trained again; hidden, so that it is nobody else's."""


def retrain(folder: Path, number: int, *, seed: int, workers: int | None, watcher: Watcher) -> list[dict[str, Any]]:
    """Train and probe some finished runs again, beside the study, and compare them with its ledger.

    An interrupted comparison is taken up by the next; what was trained for it is removed at its end.

    Arguments:
        folder: of the study.
        number: of runs, drawn of those in the ledger; all, if it has fewer.
        seed: of the draw.
        workers: runs at once; None: as in `Study.run`.
        watcher: is notified.

    Returns:
        A row per run and column: `run`, `label`, `seed`, `column`, how many `values` were compared, and the
        `largest_difference` among them.

    Raises:
        SonoscaleError: no run of the ledger can be trained, as of a study of encoders that exist already; or one fails.
    """
    from sonoscale.processes import available_cores
    from sonoscale.study import _execute
    from sonoscale.study._config import StudyConfig
    from sonoscale.study._ledger import build_ledger, read_ledger
    from sonoscale.study._prepare import prepare
    from sonoscale.study._run import LEDGER, resolved
    from sonoscale.study._study import study
    from sonoscale.study._worker import is_finished

    of = study(folder)
    if not isinstance(of.config, StudyConfig):
        raise SonoscaleError(f"{folder}: a study that trains nothing: there is nothing to train again")
    if not (folder / LEDGER).is_file():
        raise SonoscaleError(f"{folder}: no ledger.parquet to compare with; run the study first")
    before = read_ledger(folder / LEDGER).by_run()
    place = folder.absolute() / PLACE
    where = _execute.open_executor("local", workers=workers or of.config.workers, device="cpu", folder=place)
    config = resolved(of.config, folder, where.device)
    cores = min(workers or available_cores(), available_cores())
    jobs = prepare(config, of.planned(), place, of.cache.absolute(), cores, watcher.preparing)
    jobs = sorted((job for job in jobs if job.folder.name in before), key=lambda job: job.folder.name)
    if not jobs:
        where.close()
        raise SonoscaleError(f"{folder}: none of the runs of its ledger is one that the study plans with this audio")
    chosen = random.Random(seed).sample(jobs, min(number, len(jobs)))
    (place / "runs").mkdir(parents=True, exist_ok=True)
    remaining = [job for job in chosen if not is_finished(job)]
    watcher.started(remaining, len(chosen) - len(remaining))
    failures = _execute.run_jobs(remaining, where, watcher, folder=place, retries=0, device=where.device)
    if failures:
        raise SonoscaleError(f"{failures[0].label}, seed {failures[0].seed}: {failures[0].error}")
    again: dict[str, list[dict[str, Any]]] = {}
    for row in build_ledger(chosen).to_pylist():
        again.setdefault(row["run"], []).append(row)
    found = []
    for job in chosen:
        old, new = (_values(rows[job.folder.name]) for rows in (before, again))
        for column in COLUMNS:
            there = {key for key in old if key[-1] == column}
            both = there & new.keys()
            if len(both) < len(there):
                raise SonoscaleError(
                    f"{place / 'runs' / job.folder.name}: lacks {len(there) - len(both)} of the {len(there)} values of "
                    f"{column} in the ledger: the study asks for less than when it was run"
                )
            if both:
                found.append({
                    "run": job.folder.name, "label": job.plan.label, "seed": job.plan.config.seed, "column": column,
                    "values": len(both), "largest_difference": max(abs(old[key] - new[key]) for key in both),
                })  # fmt: skip
    shutil.rmtree(place)
    return found


def _values(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], float]:
    """What is compared, by checkpoint; what was read out by readout and layer too, a score by task and protocol."""
    found = {}
    for row in rows:
        read = (row["readout"], row["layer"])
        by = {"score": (row["task"], row["protocol"], *read), "rankme_readout": read}
        for column in COLUMNS:
            of = by.get(column, ())
            if row.get(column) is not None:
                found[row["step"], *of, column] = row[column]
    return found
