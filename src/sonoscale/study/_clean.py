"""Room on the disk: files of finished runs that the ledger makes unnecessary, by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sonoscale.arguments import check_arguments
from sonoscale.claims import claim
from sonoscale.errors import SonoscaleError
from sonoscale.files import digest, write_json
from sonoscale.results import Result

__all__ = ["Cleaned", "clean"]

Files = Literal["trunks", "checkpoints", "final"]
KINDS = ("trunks", "checkpoints", "final")


@dataclass(frozen=True, repr=False)
class Cleaned(Result):
    """What was removed, or would be.

    Attributes:
        folder: of the study.
        files: removed, or to be removed.
        bytes: of them.
        kept: run -> why its files are kept.
        dry_run: whether nothing was removed yet.
    """

    folder: Path
    files: tuple[Path, ...]
    bytes: int
    kept: dict[str, str]
    dry_run: bool

    @property
    def headline(self) -> str:
        """How many files, how large, and whether they are gone."""
        runs = len({file.parent for file in self.files})
        what = "would be removed; nothing was, yet (dry run)" if self.dry_run else "were removed"
        kept = f"; {len(self.kept)} run(s) are kept as they are" if self.kept else ""
        return f"{self.folder}: {len(self.files)} file(s) of {runs} run(s), {self.bytes / 2**20:.1f} MiB, {what}{kept}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per file, and one per run that is kept."""
        rows = [{"run": one.parent.name, "file": one.name, "why kept": None} for one in self.files]
        return rows + [{"run": run, "file": None, "why kept": why} for run, why in self.kept.items()]

    def as_dict(self) -> dict[str, Any]:
        """All fields."""
        return {**vars(self), "folder": str(self.folder), "files": [str(file) for file in self.files]}


def clean(
    folder: str | Path, *, files: Sequence[Files] = ("trunks", "checkpoints"), best: int = 0, dry_run: bool = True
) -> Cleaned:
    """Remove files of finished runs whose scores are all in the ledger.

    Only files that the run's own record names, and that are still what was written, are removed: nothing else that
    lies in a study's folder is touched. What the record says stays, and so does the ledger, so that the study is
    reported and audited as before. What is removed costs something later: without its trunk, a run cannot be
    continued by a longer budget; without its checkpoints, another task or readout trains it again.

    Arguments:
        folder: of the study.
        files: which kinds: `trunks`, from which longer budgets continue; `checkpoints` of budgets before the last;
            `final`, those of the last.
        best: keep all files of so many runs, those of the highest quality.
        dry_run: only say what would be removed.

    Returns:
        The files, and which runs are kept and why.

    Raises:
        SonoscaleError: no study was begun there, no such kind of file, or the ledger is missing or damaged.

    Example:
        >>> clean("results/widths", files=["trunks"], best=3).headline  # doctest: +SKIP
        'results/widths: 17 file(s) of 17 run(s), 41.2 MiB, would be removed; nothing was, yet (dry run); 3 run(s) ...'
    """
    check_arguments(clean, locals())
    from sonoscale.pretrain import finished_runs
    from sonoscale.study._ledger import read_ledger
    from sonoscale.study._plan_file import read_plan

    place = Path(folder)
    for kind in files:
        if kind not in KINDS:
            raise SonoscaleError(f"files: {kind!r}: must be of {', '.join(KINDS)}")
    if best < 0:
        raise SonoscaleError(f"best = {best}: give 0 or more")
    planned = {run["run"]: run for run in read_plan(place)}
    ledger = read_ledger(place / "ledger.parquet").table
    known = set(zip(*(ledger[name].to_pylist() for name in ("run", "step", "task_id")), strict=True))
    chosen = _best(ledger, best)
    found: list[Path] = []
    size, kept = 0, {}
    for run, record in finished_runs(place / "runs"):
        plan, name = planned.get(run.name), run.name
        if plan is None:
            kept[name] = "the study does not ask for it"
        elif not all((name, step, key) in known for step in plan["budgets"] for key in plan["scores"]):
            kept[name] = "not all of its scores are in the ledger"
        elif name in chosen:
            kept[name] = f"one of the best {best}"
        elif run.is_symlink():
            kept[name] = "is a link"
        elif mine := claim(run.parent, name):
            try:
                whole, changed = _own(run, record, files)
                if changed:
                    kept[name] = f"{changed[0]} is not what was written"
                size += sum(file.stat().st_size for file in whole)
                found += whole
                if not dry_run:
                    _remove(run, record, whole)
            finally:
                mine.release()
        else:
            kept[name] = "another process has it"
    return Cleaned(place, tuple(found), size, kept, dry_run)


def _best(ledger: Any, best: int) -> set[str]:
    """Runs of the highest quality at their last checkpoint; those without one last."""
    from sonoscale.laws._ledger import ledger_runs
    from sonoscale.laws._table import arrow_columns

    if not best:
        return set()
    runs = ledger_runs(arrow_columns(ledger))
    quality: dict[str, float] = {}
    for run, step, value in sorted(zip(*(runs[name].tolist() for name in ("run", "step", "quality")), strict=True)):
        quality[run] = value if value == value else float("-inf")  # of the largest step
        del step
    return set(sorted(quality, key=lambda run: -quality[run])[:best])


def _own(run: Path, record: dict[str, Any], kinds: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files of these kinds that are what the record says, and names of those that are not."""
    whole, changed = [], []
    for name, known in (record.get("files") or {}).items():
        kind = "trunks" if name == "trunk.pt" else "final" if name == "checkpoint.pt" else "checkpoints"
        file = run / name
        if kind not in kinds or Path(name).name != name or not file.is_file() or file.is_symlink():
            continue
        if file.stat().st_size == known["bytes"] and digest(file) == known["sha256"]:
            whole.append(file)
        else:
            changed.append(name)
    return whole, changed


def _remove(run: Path, record: dict[str, Any], files: Sequence[Path]) -> None:
    """First the record no longer names them, so that they are not missed."""
    if not files:
        return
    names = {file.name for file in files}
    there = {name: known for name, known in record["files"].items() if name not in names}
    gone = sorted({*record.get("removed", []), *names})
    write_json(run / "record.json", {**record, "files": there, "removed": gone})
    for file in files:
        file.unlink(missing_ok=True)
