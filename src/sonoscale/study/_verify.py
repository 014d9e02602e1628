"""Whether what a study keeps is still what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.results import Result

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
    """

    folder: Path
    runs: int
    files: int
    wrong: tuple[str, ...]
    gone: int

    @property
    def headline(self) -> str:
        """How much was looked at, and how much is wrong."""
        gone = f"; {self.gone} run(s) are in the ledger only" if self.gone else ""
        what = "nothing is damaged" if not self.wrong else f"{len(self.wrong)} problem(s)"
        return f"{self.folder}: the ledger and {self.files} files of {self.runs} run(s) were read: {what}{gone}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per problem."""
        return [{"problem": line} for line in self.wrong]

    def as_dict(self) -> dict[str, Any]:
        """All fields."""
        return {**vars(self), "folder": str(self.folder), "wrong": list(self.wrong)}


@in_one_line
def verify(folder: str | Path) -> Verified:
    """Read all that a study keeps, and compare it with its checksums: ledger, checkpoints, trunks; and with itself.

    Arguments:
        folder: of the study.

    Returns:
        What is damaged, missing, or says other numbers in the ledger than in the run's own record.

    Raises:
        SonoscaleError: there is no study.

    Example:
        >>> verify("no-study")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study: holds no study: neither runs nor a ledger.parquet
    """
    check_arguments(verify, locals())
    from sonoscale.pretrain import check_run, finished_runs
    from sonoscale.study._encoders_job import read_record as read_encoder
    from sonoscale.study._ledger import read_ledger

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
    return Verified(place, len(there), files, tuple(wrong), len(set(rows) - there))
