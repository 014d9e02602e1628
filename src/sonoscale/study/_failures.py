"""Why runs failed: kept beside them, one file each, so that any process can read it and none need be asked."""

from __future__ import annotations

import errno
import json
import os
import socket
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.study._watch import Failure

__all__ = ["forget_failures", "is_disk_full", "note_failure", "read_failures", "reason_of"]

FOLDER = "failures"
"""In that of a study."""

LOST = ("lost", "time limit")
"""Reasons that are no fault of the run: it is tried again up to so often:"""

MOST_LOST = 20


def reason_of(error: BaseException) -> str:
    """The kind of an error, in a word or two."""
    from sonoscale.pretrain import DivergedError

    if isinstance(error, DivergedError):
        return "diverged"
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "out of memory"
    return "time limit" if type(error).__name__ == "UncompletedJobError" else "error"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that no more can be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def note_failure(
    folder: Path, run: str, label: str, seed: int, reason: str, error: BaseException | str, *, retries: int
) -> bool:
    """Keep why a run failed; whether it may be tried again.

    Arguments:
        folder: of the study.
        run: name of the run, which the caller has claimed.
        label, seed: of the run.
        reason: see `Failure`.
        error: what happened.
        retries: how often it may be tried again. What diverged would diverge again, and is not; what was lost through
            no fault of its own does not count.
    """
    attempts = _read(folder / FOLDER / f"{run}.json").get("attempts", [])
    attempt: dict[str, Any] = {
        "reason": reason,
        "error": error if isinstance(error, str) else _line(error),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    if isinstance(error, BaseException) and not isinstance(error, SonoscaleError):
        attempt["traceback"] = "".join(traceback.format_exception(error))[-4000:]
    attempts.append(attempt)
    lost = sum(one["reason"] in LOST for one in attempts)
    if reason == "diverged":
        again = False
    elif reason in LOST:
        again = lost <= MOST_LOST
    else:
        again = len(attempts) - lost <= retries
    make_folder(folder / FOLDER)
    content = {"run": run, "label": label, "seed": seed, "failed": not again, "attempts": attempts}
    write_json(folder / FOLDER / f"{run}.json", content)
    return again


def read_failures(folder: Path, runs: Iterable[str] | None = None) -> dict[str, Failure]:
    """Runs of a study that have failed and are not tried again, by name.

    Arguments:
        folder: of the study.
        runs: only these.
    """
    wanted = None if runs is None else set(runs)
    found = {}
    for file in sorted((folder / FOLDER).glob("*.json")):
        if wanted is not None and file.stem not in wanted:
            continue
        content = _read(file)
        if content.get("failed") and content.get("attempts"):
            last = content["attempts"][-1]
            found[file.stem] = Failure(
                str(content.get("label")), content["seed"], str(last.get("error")),
                last["reason"], len(content["attempts"]), file.stem,
            )  # fmt: skip
    return found


def forget_failures(folder: Path, runs: Iterable[str]) -> None:
    """These runs are as if they had never been tried."""
    for run in runs:
        (folder / FOLDER / f"{run}.json").unlink(missing_ok=True)
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()


def _read(file: Path) -> dict[str, Any]:
    """What is kept of a run that failed; nothing if it is not readable, as if it were the first time."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    attempts = content.get("attempts") if isinstance(content, dict) else None
    known = isinstance(attempts, list) and all(
        isinstance(one, dict) and isinstance(one.get("reason"), str) for one in attempts
    )
    return content if known and isinstance(content.get("seed"), int) else {}


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, SonoscaleError) else f"{type(error).__name__}: {text}"[:500].removesuffix(": ")
