"""From the files of a study folder to `StudyResults`; every complaint names the file."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sonoscale.errors import SonoscaleError
from sonoscale.report._laws import parse_laws
from sonoscale.report._ledger import parse_ledger
from sonoscale.report._model import Failure, Run, StudyResults, Trajectory

__all__ = ["load_study"]


def load_study(folder: Path) -> StudyResults:
    """Read a finished study folder.

    Arguments:
        folder: The study folder: `study.yaml`, `provenance.json`, `ledger.parquet` and `laws.json` must be
            there; `runs/*/metrics.parquet`, `runs/*/spectra.npz` and `failed.json` may be.

    Returns:
        The study's results.

    Raises:
        SonoscaleError: A file is missing, unreadable, or not of the expected shape; the message names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SonoscaleError(f"{folder} is not a folder; give the folder of a finished study")
    config = _read_yaml(folder / "study.yaml")
    provenance = _mapping(_read_json(folder / "provenance.json"), folder / "provenance.json")
    ledger = parse_ledger(_read_parquet(folder / "ledger.parquet"), folder / "ledger.parquet")
    laws = parse_laws(_mapping(_read_json(folder / "laws.json"), folder / "laws.json"), folder / "laws.json")

    missing: list[str] = []
    runs = {name: _read_run(folder, name) for name in dict.fromkeys(point.run for point in ledger.points)}
    without = [name for name, run in runs.items() if not run.phases]
    if without:
        missing.append(f"No training history (metrics.parquet) for {_count(without, len(runs))}.")
    without = [name for name, run in runs.items() if not run.spectra]
    if without:
        missing.append(f"No singular value spectra (spectra.npz) for {_count(without, len(runs))}.")
    return StudyResults(
        folder=folder,
        name=str(config.get("name") or folder.resolve().name),
        description=str(config.get("description") or ""),
        provenance=provenance,
        points=ledger.points,
        tasks=ledger.tasks,
        chance=ledger.chance,
        metrics=ledger.metrics,
        laws=laws,
        runs=runs,
        failures=_read_failures(folder / "failed.json"),
        missing=tuple(missing),
    )


def _count(names: list[str], total: int) -> str:
    if len(names) == total:
        return "any run"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} of {total} runs ({shown})"


def _read_run(folder: Path, name: str) -> Run:
    where = folder / "runs" / name
    phases: tuple[Trajectory, ...] = ()
    if (where / "metrics.parquet").is_file():
        phases = _phases(_read_parquet(where / "metrics.parquet"), where / "metrics.parquet")
    spectra: dict[str, np.ndarray] = {}
    if (where / "spectra.npz").is_file():
        try:
            with np.load(where / "spectra.npz", allow_pickle=False) as arrays:
                spectra = {key: np.asarray(arrays[key], np.float64).ravel() for key in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _unreadable(where / "spectra.npz", error) from error
    return Run(name, phases, spectra)


def _phases(table: pa.Table, path: Path) -> tuple[Trajectory, ...]:
    if "step" not in table.column_names:
        raise SonoscaleError(f"{path} has no column 'step'; it has {', '.join(table.column_names)}")
    columns: dict[str, np.ndarray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name != "phase":
            values = [math.nan if value is None else value for value in column.to_pylist()]
            if all(isinstance(value, int | float) for value in values):
                columns[name] = np.asarray(values, np.float64)
    if "phase" not in table.column_names:
        labels = ["trunk"] * table.num_rows
    else:
        labels = [str(label) for label in table.column("phase").to_pylist()]
    phases = []
    for phase in dict.fromkeys(labels):
        rows = np.asarray([label == phase for label in labels])
        order = np.argsort(columns["step"][rows], kind="stable")
        phases.append(Trajectory(phase, {name: values[rows][order] for name, values in columns.items()}))
    return tuple(phases)


def _read_failures(path: Path) -> tuple[Failure, ...]:
    if not path.is_file():
        return ()
    failures = _read_json(path)
    if not isinstance(failures, list) or not all(isinstance(entry, dict) for entry in failures):
        raise SonoscaleError(f"{path} must hold a list of mappings with 'label', 'seed' and 'error'")
    return tuple(Failure(*(str(entry.get(key, "unknown")) for key in ("label", "seed", "error"))) for entry in failures)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        return _mapping(yaml.safe_load(_read_text(path)), path)
    except yaml.YAMLError as error:
        raise _unreadable(path, error) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except ValueError as error:
        raise _unreadable(path, error) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _absent(path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        raise _absent(path) from error
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _mapping(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SonoscaleError(f"{path} must hold a mapping, not {type(value).__name__}")
    return value


def _absent(path: Path) -> SonoscaleError:
    return SonoscaleError(f"{path} is missing; run the study to its end before reporting on it")


def _unreadable(path: Path, error: Exception) -> SonoscaleError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return SonoscaleError(f"{path} cannot be read: {reason}")
