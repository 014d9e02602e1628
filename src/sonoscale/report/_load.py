"""From the files of a study folder to `StudyResults`; every complaint names the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sonoscale._yaml import parse_yaml
from sonoscale.errors import SonoscaleError
from sonoscale.laws._checksum import read_checked
from sonoscale.laws._ledger import last_layer, last_layer_rows, ledger_runs, ledger_scores, readouts_of
from sonoscale.laws._quality import quality_of
from sonoscale.laws._table import arrow_columns
from sonoscale.report._model import (
    Cells,
    Curve,
    Failure,
    Fit,
    Interval,
    Laws,
    LayerPoint,
    Point,
    Route,
    Run,
    StudyResults,
    Trajectory,
    TwoStage,
)

__all__ = ["load_study"]

_IDS = ("run", "config", "label", "axis")
_OF_LAYERS = ("run", "config", "label", "step", "layer", "score", "rankme", "rankme_readout")
_REQUIRED = ("run", "label", "axis", "seed", "step", "task", "protocol", "score")


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
    ledger = _parse_ledger(_read_parquet(folder / "ledger.parquet"), folder / "ledger.parquet")
    laws = _parse_laws(_mapping(_read_json(folder / "laws.json"), folder / "laws.json"), folder / "laws.json")

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
        about_tasks=ledger.about,
        quality_rule=ledger.rule,
        protocols=ledger.protocols,
        readouts=ledger.readouts,
        settings=config,
        layers=ledger.layers,
    )


@dataclass(frozen=True)
class _Ledger:
    """The ledger's points and the tasks they were scored on."""

    points: tuple[Point, ...]
    tasks: tuple[str, ...]
    chance: Mapping[str, float]
    metrics: Mapping[str, str]
    about: Mapping[str, Mapping[str, float]]
    rule: str
    protocols: tuple[str, ...]
    readouts: tuple[str, ...]
    layers: tuple[LayerPoint, ...]


def _parse_ledger(table: pa.Table, path: Path) -> _Ledger:
    """One point per run and checkpoint, in the ledger's order; tasks are called as `score_names` calls their scores."""
    absent = [name for name in _REQUIRED if name not in table.column_names]
    if absent:
        raise SonoscaleError(f"{path} lacks the column(s) {', '.join(absent)}")
    if not table.num_rows:
        raise SonoscaleError(f"{path} holds no rows; no run of the study has finished")
    bare = [name for name in ("run", "seed", "step", "task") if table.column(name).null_count]
    if bare:
        raise SonoscaleError(f"{path} has a row without a value in {', '.join(bare)}")
    columns = arrow_columns(table)
    ledger = last_layer(columns)
    quality = quality_of(columns)
    runs = ledger_runs(columns, quality=quality)
    tasks = [name.removeprefix("score:") for name in runs if name.startswith("score:")]
    names = ledger_scores(ledger)
    metrics: dict[str, str] = {}
    chance: dict[str, float] = {}
    for name, metric, level in zip(names, _column(ledger, "metric"), _column(ledger, "chance"), strict=True):
        metrics.setdefault(name, str(metric or ""))
        chance.setdefault(name, _number(level))
    about = {
        one.name: {
            "chance": one.chance, "floor_untrained": one.floor_untrained, "floor_logmel": one.floor_logmel,
            "ceiling": one.ceiling, "reliability": one.reliability.value, "reliability_low": one.reliability.low,
            "reliability_high": one.reliability.high, "weight": one.weight,
        }
        for one in quality.scores
    }  # fmt: skip
    points = _points(runs, tasks, list(dict.fromkeys(ledger["run"])))
    protocols, readouts = (
        tuple(dict.fromkeys(str(one) for one in _column(ledger, name) if one)) for name in ("protocol", "readout")
    )
    rule = " ".join([f"{quality.rule.words[:1].upper()}{quality.rule.words[1:]}.", *quality.notes])
    return _Ledger(
        tuple(points), tuple(tasks), chance, metrics, about, rule, protocols, readouts or ("mean",), _layers(columns)
    )


def _column(ledger: Mapping[str, list[Any]], name: str) -> list[Any]:
    return ledger.get(name) or [None] * len(ledger["run"])


def _layers(columns: Mapping[str, NDArray[Any]]) -> tuple[LayerPoint, ...]:
    """Each layer of each configuration at its largest budget, on the readout of quality; none where none was probed."""
    if last_layer_rows(columns) is None:
        return ()
    table = {name: values.tolist() for name, values in columns.items() if name in _OF_LAYERS}
    readouts = readouts_of(columns)
    last: dict[str, int] = {}
    depth: dict[str, int] = {}
    for run, step, layer in zip(table["run"], table["step"], table["layer"], strict=True):
        last[run] = max(step, last.get(run, step))
        if layer is not None and layer == layer:
            depth[run] = max(int(layer) + 1, depth.get(run, 0))
    found: dict[tuple[str, int], list[int]] = {}
    configs = table.get("config") or table["label"]
    for row, run in enumerate(table["run"]):
        layer = table["layer"][row]
        if run in depth and table["step"][row] == last[run] and readouts[row] == readouts[0]:
            place = depth[run] if layer is None or layer != layer else int(layer)
            found.setdefault((str(configs[row]), place), []).append(row)
    nothing = [None] * len(readouts)
    read, whole = (table.get(name, nothing) for name in ("rankme_readout", "rankme"))
    points = []
    for (config, place), rows in sorted(found.items()):
        output = [table["layer"][row] is None or table["layer"][row] != table["layer"][row] for row in rows]
        ranks = [
            _number(whole[row] if last and math.isnan(_number(read[row])) else read[row])  # the mean has it once
            for row, last in zip(rows, output, strict=True)
        ]
        scores = [_number(table["score"][row]) for row in rows]
        points.append(LayerPoint(config, str(table["label"][rows[0]]), place, fmean(ranks), fmean(scores)))
    return tuple(points)


def _points(runs: Mapping[str, NDArray[Any]], tasks: Sequence[str], order: Sequence[str]) -> list[Point]:
    """A point for each row, run by run in that order, and of each run by step."""
    steps, names = runs["step"].tolist(), runs["run"].tolist()
    last: dict[str, int] = {}
    for name, step in zip(names, steps, strict=True):
        last[name] = max(step, last.get(name, step))
    places = {run: place for place, run in enumerate(order)}
    numbers = {name: values for name, values in runs.items() if values.dtype.kind in "iufO"}
    numbers = {name: values for name, values in numbers.items() if not name.startswith("score:")}
    words = {name: values for name, values in runs.items() if values.dtype.kind == "O" and name not in _IDS}
    scores = {task: runs[f"score:{task}"].tolist() for task in tasks}
    quality, seeds = runs["quality"].tolist(), runs["seed"].tolist()
    labels, axes = runs["label"].tolist(), runs["axis"].tolist()
    configs = runs["config"].tolist() if "config" in runs else labels
    final = runs["is_final"].tolist() if "is_final" in runs else [None] * len(names)
    return [
        Point(
            run=str(names[row]),
            config=str(configs[row] or labels[row]),
            label=str(labels[row]),
            axis=str(axes[row] or "base"),
            seed=int(seeds[row]),
            step=int(steps[row]),
            is_final=steps[row] == last[names[row]] if final[row] is None else bool(final[row]),
            values=Cells(numbers, row, float),
            words=Cells(words, row, str),
            scores={task: float(values[row]) for task, values in scores.items()},
            quality=float(quality[row]),
        )
        for row in sorted(range(len(names)), key=lambda row: (places[names[row]], steps[row]))
    ]


def _parse_laws(raw: Mapping[str, Any], path: Path) -> Laws:
    """The fitted laws; every key may be absent, and a number that is null or absent is NaN."""
    try:
        return Laws(
            y=str(raw.get("y") or "quality"),
            y_meaning=str(raw.get("y_meaning") or ""),
            fits=tuple(_fit(fit) for fit in raw.get("fits") or ()),
            correlations=_intervals(raw.get("correlations")),
            skipped=tuple(
                (str(skip.get("x", "")), str(skip.get("form", "")), str(skip.get("reason", "")))
                for skip in raw.get("skipped") or ()
            ),
            best={str(x): str(form) for x, form in (raw.get("best") or {}).items() if form},
            per_task={str(task): _intervals(by_x) for task, by_x in (raw.get("per_task") or {}).items()},
            seed_spread={str(k): _number(v) for k, v in (raw.get("seed_spread") or {}).items()},
            notes=tuple(str(note) for note in raw.get("notes") or ()),
            level=_level(raw),
            baseline=str(raw.get("baseline") or ""),
            audit=(raw.get("audit") or {}).get("rankme") or {},
            two_stage={str(rank): _two_stage(found) for rank, found in (raw.get("two_stage") or {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SonoscaleError(f"{path} is not of the expected shape: {type(error).__name__}: {error}") from error


def _two_stage(raw: Mapping[str, Any]) -> TwoStage:
    if not raw.get("verdict"):
        return TwoStage(reason=str(raw.get("reason") or ""))
    routes = {
        str(name): Route(
            _number(route.get("loo_error")),
            Interval(*(_number(route.get(key)) for key in ("gain", "gain_low", "gain_high"))),
        )
        for name, route in raw["routes"].items()
    }
    return TwoStage(str(raw["verdict"]), tuple(map(str, raw.get("design") or ())), routes)


def _level(raw: Mapping[str, Any]) -> float:
    entries = [*(raw.get("fits") or ()), *(raw.get("correlations") or {}).values()]
    return next((float(entry["level"]) for entry in entries if entry and "level" in entry), 0.95)


def _fit(raw: Mapping[str, Any]) -> Fit:
    return Fit(
        x=str(raw["x"]),
        y=str(raw.get("y") or "quality"),
        form=str(raw["form"]),
        formula=str(raw.get("formula") or ""),
        params=_intervals(raw.get("params")),
        exponent=str(raw["exponent"]) if raw.get("exponent") else None,
        rmse=_number(raw.get("rmse")),
        r2=_number(raw.get("r2")),
        aicc=_number(raw.get("aicc")),
        loo_rmse=_number(raw.get("loo_rmse")),
        n=_whole(raw.get("n")),
        n_clusters=_whole(raw.get("n_clusters")),
        warnings=tuple(str(warning) for warning in raw.get("warnings") or ()),
        curve=_curve(raw.get("curve")),
    )


def _curve(raw: Mapping[str, Any] | None) -> Curve | None:
    if not raw or not raw.get("x"):
        return None
    x = tuple(_number(value) for value in raw["x"])
    rest = {}
    for key in ("y", "low", "high"):
        values = tuple(_number(value) for value in raw.get(key) or ())
        if values and len(values) != len(x):
            raise ValueError(f"curve: 'x' has {len(x)} values but {key!r} has {len(values)}")
        rest[key] = values
    return Curve(x, **rest) if rest["y"] else None


def _intervals(raw: Mapping[str, Any] | None) -> dict[str, Interval]:
    return {
        str(name): Interval(_number(entry.get("value")), _number(entry.get("low")), _number(entry.get("high")))
        for name, entry in (raw or {}).items()
        if entry is not None
    }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


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
        except Exception as error:  # whatever a damaged archive brings about
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
    return _mapping(parse_yaml(_read_text(path), str(path)), path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
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
        return read_checked(path)
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
