"""What a finished run says of itself, and whether its files are still what was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from torch import Tensor

from sonoscale.config import validate
from sonoscale.digests import read_sealed
from sonoscale.errors import SonoscaleError
from sonoscale.files import digest, read_json

__all__ = ["check_run", "finished_runs", "read_record"]

_Count = Annotated[int, Field(ge=0, lt=2**62)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = {"strict": True, "extra": "allow"}


class _File(_Model):
    bytes: _Count
    sha256: str


class _Rank(_Model):
    value: _Number | None
    low: _Number | None
    high: _Number | None
    n: _Count


class _Budget(_Model):
    step: Annotated[int, Field(ge=1, lt=2**62)]
    loss: _Number
    clips_seen: _Amount
    hours_seen: _Amount
    flops_encoder: _Amount
    flops: _Amount
    seconds: _Amount
    rank: _Rank
    rank_centred: _Rank


class _Start(_Model):
    rankme: _Number | None
    rankme_centred: _Number | None


class _Record(_Model):
    """What must be in a record, of which type; there is more."""

    name: str | None = None
    identity: dict[str, Any]
    trunk: str | None = None
    precision: str
    device: str
    processes: _Count
    clips: _Count
    hours: _Amount
    params_encoder: _Count
    params_decoder: _Count
    params_teacher: _Count
    params_head: _Count
    warnings: list[str]
    rank_start: _Start
    files: dict[str, _File] = {}
    budgets: Annotated[list[_Budget], Field(min_length=1)]


class _Row(_Model):
    __pydantic_extra__: dict[str, float | None]
    step: _Count
    phase: str


class _Written(_Model):
    """What a run that is not finished has measured."""

    rows: list[_Row]
    spectra: dict[str, Any]
    budgets: list[_Budget]
    warnings: list[str]


def check_written(written: Any) -> None:
    """Whether this is what a run that is not finished has measured.

    Raises:
        ValueError: it is not.
    """
    _Written.model_validate(written)
    if any(isinstance(value, int) and abs(value) > 2**53 for row in written["rows"] for value in row.values()):
        raise ValueError("a row of measurements holds a number that is none")
    if not all(isinstance(each, Tensor) and each.ndim == 1 for each in written["spectra"].values()):
        raise ValueError("a spectrum is none")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a finished run, or None where there is none.

    Arguments:
        folder: of the run.

    Returns:
        The content of its `record.json`.

    Raises:
        SonoscaleError: the record is there but cannot be read, is not what was written, or is none.

    Example:
        >>> read_record(Path("no-run")) is None
        True
    """
    file = folder / "record.json"
    if not file.is_file():
        return None
    try:
        content = read_json(file, "the record of a run")
        if isinstance(content, dict) and "digest" in content:
            content = read_sealed(file, "the record of a run")
        if not isinstance(content, dict):
            raise SonoscaleError(f"{file}: not the record of a run: a JSON object is needed")
        validate(_Record, content, source=f"{file}: not the record of a run")
    except SonoscaleError as error:
        raise SonoscaleError(f"{str(error).splitlines()[0]}; delete {folder} to train it again") from error
    return content


def finished_runs(place: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folders and records of the finished runs in a folder of runs; what cannot be read is passed over."""
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if not folder.name.startswith("."):
            with suppress(SonoscaleError):
                if record := read_record(folder):
                    yield folder, record


def check_run(folder: Path, *, thorough: bool = False) -> list[str]:
    """What is wrong with the files of a finished run: those that are missing, truncated or, on a closer look, damaged.

    Arguments:
        folder: of the run.
        thorough: read every file and compare its digest with the one in the record.

    Returns:
        A line for each such file.

    Raises:
        SonoscaleError: there is no finished run, or its record cannot be read.
    """
    record = read_record(folder)
    if record is None:
        raise SonoscaleError(f"{folder}: no finished run")
    wrong = []
    for name, known in record.get("files", {}).items():
        file = folder / Path(name).name
        if not file.is_file():
            wrong.append(f"{file}: is missing")
        elif file.stat().st_size != known["bytes"]:
            wrong.append(f"{file}: has {file.stat().st_size} bytes, and had {known['bytes']} when it was written")
        elif thorough and digest(file) != known["sha256"]:
            wrong.append(f"{file}: damaged: it is not what was written")
    return wrong
