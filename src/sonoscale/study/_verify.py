"""Whether what a study keeps is still what was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.results import Result
from sonoscale.study._watch import Lines, Watcher

__all__ = ["Verified", "verify"]


@dataclass(frozen=True, repr=False)
class Verified(Result):
    """What was found.

    Attributes:
        folder: of the study.
        runs: folders of runs that were looked at.
        files: in them, that were read and compared with their digests.
        wrong: a line for each thing that is damaged or missing.
        gone: runs that are in the ledger, and whose folders are not there, which is no fault.
        retrained: of the runs that were trained again, a row per run and column: `run`, `label`, `seed`, `column`, how
            many `values` were compared with the ledger, and the `largest_difference`.
    """

    folder: Path
    runs: int
    files: int
    wrong: tuple[str, ...]
    gone: int
    retrained: tuple[dict[str, Any], ...] = ()

    @property
    def headline(self) -> str:
        """How much was looked at, and how much is wrong."""
        gone = f"; {self.gone} run(s) are in the ledger only" if self.gone else ""
        what = "nothing is damaged" if not self.wrong else f"{len(self.wrong)} problem(s)"
        again = ""
        if self.retrained:
            numbers = sum(row["values"] for row in self.retrained)
            off = [row for row in self.retrained if row["largest_difference"]]
            worst = max(off, key=lambda row: row["largest_difference"], default=None)
            again = f"; {len({row['run'] for row in self.retrained})} run(s) were trained again: "
            again += f"all {numbers} numbers are the same" if worst is None else (
                f"{len(off)} of {len(self.retrained)} columns differ, by at most {worst['largest_difference']:.3g} "
                f"({worst['column']} of {worst['run']})"
            )  # fmt: skip
        return f"{self.folder}: the ledger and {self.files} files of {self.runs} run(s) were read: {what}{gone}{again}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per problem, or else per run and column that were compared."""
        return [{"problem": line} for line in self.wrong] or list(self.retrained)

    def as_dict(self) -> dict[str, Any]:
        """All fields."""
        lists = {"wrong": list(self.wrong), "retrained": list(self.retrained)}
        return {**vars(self), "folder": str(self.folder), **lists}


@in_one_line
def verify(
    folder: str | Path, *, retrain: int = 0, seed: int = 0, workers: int | None = None,
    progress: Watcher | Callable[[str], object] | None = None,
) -> Verified:  # fmt: skip
    """Read all that a study keeps, and compare it with its checksums: ledger, checkpoints, trunks; and with itself.

    Arguments:
        folder: of the study.
        retrain: so many finished runs are trained and probed again, beside the study, and compared with the ledger.
        seed: of the draw of these.
        workers: runs at once; None: as many as the study has.
        progress: is notified, as by `Study.run`.

    Returns:
        What is damaged, missing, or says other numbers in the ledger than in the run's own record.

    Raises:
        SonoscaleError: there is no study; or runs are to be trained again, and none can be, or one fails.

    Example:
        >>> verify("no-study")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study: holds no study: neither runs nor a ledger.parquet
    """
    check_arguments(verify, locals())
    from sonoscale.pretrain import check_run, finished_runs
    from sonoscale.study._encoders_job import read_record as read_encoder
    from sonoscale.study._ledger import read_ledger

    if retrain < 0 or (workers is not None and workers < 1):
        raise SonoscaleError(f"retrain = {retrain}, workers = {workers}: give 0 runs or more, and at least one process")
    place = Path(folder)
    if not (place / "runs").is_dir() and not (place / "ledger.parquet").is_file():
        raise SonoscaleError(f"{place}: holds no study: neither runs nor a ledger.parquet")
    wrong: list[str] = []
    rows: dict[str, list[dict[str, Any]]] = {}
    if (place / "ledger.parquet").is_file():
        try:
            rows = read_ledger(place / "ledger.parquet").by_run()
        except SonoscaleError as error:
            wrong.append(str(error))
    there, files = set(), 0
    folders = sorted(one for one in (place / "runs").glob("[!.]*") if one.is_dir())
    for run in folders:
        record = read_encoder(run)
        if record is not None and "encoder" in record:  # that exists already: there is no checkpoint of it here
            there.add(run.name)
            if any(row["rankme"] != record["rank"]["rankme"]["value"] for row in rows.get(run.name, [])):
                wrong.append(f"{run / 'record.json'}: says otherwise than the ledger")
    for run, record in finished_runs(place / "runs"):
        there.add(run.name)
        files += len(record.get("files") or {})
        wrong += check_run(run, thorough=True)
        told = {budget["step"]: budget for budget in record["budgets"]}
        for row in rows.get(run.name, []):
            budget = told.get(row["step"])
            if budget is None or (budget["loss"], budget["rank"]["value"]) != (row["loss"], row["rankme"]):
                wrong.append(f"{run / 'record.json'}: says otherwise than the ledger of step {row['step']}")
                break
    for one in folders:
        if one.name not in there:
            wrong.append(f"{one}: holds no readable record of a run")
    again: list[dict[str, Any]] = []
    if retrain:
        from sonoscale.study._retrain import retrain as train_again

        watcher = progress if isinstance(progress, Watcher) else Lines(progress)
        again = train_again(place, retrain, seed=seed, workers=workers, watcher=watcher)
    return Verified(place, len(there), files, tuple(wrong), len(set(rows) - there), tuple(again))
