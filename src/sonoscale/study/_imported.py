"""Somebody else's table of runs as a study: the same ledger, laws, audit and report."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sonoscale.arguments import check_arguments
from sonoscale.config import Config, config_hash
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.study._config import LawConfig
from sonoscale.study._quality_config import QualityConfig
from sonoscale.study._schema import COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from sonoscale.study._study import Study

__all__ = ["ImportedStudyConfig", "import_ledger"]

_NAMES = ("run", "model", "encoder", "name", "label")
_OURS = {column.name: column.kind for column in COLUMNS}
_MADE = frozenset({"run", "config", "label", "axis", "family", "seed", "step", "is_final", "task", "task_id",
                   "protocol", "readout", "layer", "metric", "score", "quality_rule"})  # fmt: skip
"""Columns that are made here, and not copied."""


class ImportedStudyConfig(Config):
    """A table of runs that somebody else has trained: nothing is trained or measured here."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")  # as in the report
    description: str = ""  # shown at the top of the report
    imported: str  # the table that it was
    quality: QualityConfig = QualityConfig()  # the rule by which quality is made of scores
    law: LawConfig = LawConfig()


@dataclass(frozen=True)
class _Unit:
    """A run at a checkpoint, which may have several scores.

    Attributes:
        rows: of the table that was given.
        key: by which rows of a long table belong together.
        seed, step: of the run.
    """

    rows: tuple[int, ...]
    key: tuple[Any, ...]
    seed: int
    step: int


def import_ledger(
    table: Any,
    out: str | os.PathLike[str],
    *,
    scores: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    description: str = "",
) -> Study:
    """Make a study of a table of runs that were trained elsewhere, so that it is reported and audited as any other.

    A wide table has one row per run and checkpoint, and a column for each score; a long one has columns `task` and
    `score`, and one (`run`, `model`, `encoder`, `name` or `label`) that names the run of a row. Columns that are called
    as in the ledger are taken for what it says of them, and so are `parameters`, `compute` and `hours` by their other
    usual names; all others are kept as they are, for laws to read. Rows are taken for seeds of one configuration as
    `read_runs` has it.

    Arguments:
        table: a file in CSV, TSV or Parquet, a mapping of column names to values, or a pandas, Polars or Arrow table.
        out: folder of the study to be made.
        scores: columns of a wide table, of which more is better. By default those that are called as scores are.
        columns: other names of columns, theirs -> ours.
        name: of the study; by default that of the folder.
        description: shown in the report.

    Returns:
        The study, which cannot be run.

    Raises:
        SonoscaleError: a column is missing, a score is no number, or the folder holds another study.

    Example:
        >>> import tempfile
        >>> made = import_ledger(
        ...     {"model": ["a", "b", "c"], "n_params": [1e6, 2e6, 4e6], "esc50": [0.5, 0.6, 0.7]},
        ...     tempfile.mkdtemp(), scores=["esc50"], name="theirs",
        ... )
        >>> made.ledger["params"].to_pylist(), made.ledger["task"][0].as_py()
        ([1000000, 2000000, 4000000], 'esc50')
    """
    check_arguments(import_ledger, locals())
    from sonoscale.provenance import provenance
    from sonoscale.study._ledger import write_ledger
    from sonoscale.study._plan_file import write_plan
    from sonoscale.study._quality import register_rule
    from sonoscale.study._run import LEDGER, check_place, laws_of, write_config
    from sonoscale.study._study import study

    place = Path(out)
    found, where = _read(table, columns or {})
    config = ImportedStudyConfig(
        name=_name(name or place.resolve().name), description=description, imported=where,
        law=LawConfig(), quality=QualityConfig(),
    )  # fmt: skip
    long = "task" in found and "score" in found and not scores
    tasks = ["score"] if long else _score_columns(found, scores)
    units, clusters = _units(found, tasks[0], long)
    rows = [
        row for unit, number in zip(units, clusters, strict=True) for row in _rows(found, unit, number, tasks, config)
    ]
    if not rows:
        raise SonoscaleError(f"{where}: {', '.join(tasks)}: no score in it")
    check_place(place, config)
    make_folder(place / "runs")
    ledger = _as_arrow(rows, [one for one in found if one not in {*_OURS, *tasks}])
    runs = _planned(rows)
    about: dict[str, Any] = {"study": config.model_dump(mode="json"), "runs": runs, "baseline": {}, "failed": []}
    facts = provenance("numpy", "pyarrow") | {"imported": where, "runs_trained": 0, "runs_imported": len(runs)}
    write_config(config, place)
    register_rule(place, config.quality.rule(), finished=len(runs))
    write_plan(place, runs)
    write_ledger(ledger, place / LEDGER, about | {"provenance": facts})
    for file, content in (("baseline", {}), ("failed", []), ("provenance", facts)):
        write_json(place / f"{file}.json", content)
    write_json(place / "laws.json", laws_of(ledger, config, {}, place))
    return study(place)


def _name(text: str) -> str:
    """As a study can be called."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "-" for one in text)
    return kept.lstrip("._-") or "imported"


def _read(table: Any, columns: Mapping[str, str]) -> tuple[dict[str, list[Any]], str]:
    """The columns by the names that they have in a ledger, None where a number is missing; and where they are from."""
    from sonoscale.laws._ledger import is_ledger
    from sonoscale.laws._names import SIZES
    from sonoscale.laws._table import as_table, frame_columns, read_table

    where = "a table"
    if isinstance(table, str | os.PathLike):
        where, raw = os.fspath(table), read_table(table)
    else:
        raw = as_table(table) if isinstance(table, Mapping) else frame_columns(table)
        if raw is None:
            raise SonoscaleError(f"table = {table!r:.80}: give a file, a mapping of columns, or a data frame")
    for theirs in columns:
        if theirs not in raw:
            raise SonoscaleError(f"{where}: no column {theirs!r}; there are {', '.join(raw)}")
    usual = {"params": SIZES["parameters"], "flops": SIZES["compute"], "train_hours": ("hours", "training_hours")}
    called = {name: columns.get(name, name) for name in raw}
    for ours, others in usual.items():
        first = next((one for one in called if one in others and called[one] == one and one not in _OURS), None)
        if ours not in called.values() and first is not None:
            called[first] = ours
    if len(set(called.values())) < len(called):
        twice = next(one for one in called.values() if list(called.values()).count(one) > 1)
        raise SonoscaleError(f"{where}: two columns would be called {twice!r}; name them otherwise (columns)")
    if not raw or not len(next(iter(raw.values()))):
        raise SonoscaleError(f"{where}: no rows")
    if is_ledger(raw) and "task_id" in raw:
        raise SonoscaleError(f"{where}: is the ledger of a study already: report it, or continue it, as it is")
    return {
        called[name]: [None if value is None or value != value else value for value in values.tolist()]
        for name, values in raw.items()
    }, where


def _score_columns(found: Mapping[str, Sequence[Any]], asked: Sequence[str]) -> list[str]:
    """Columns of scores.

    Raises:
        SonoscaleError: there is none, one is missing, or less of it is better.
    """
    from sonoscale.laws._names import is_bounded, more_is_better

    for one in asked:
        if one not in found:
            raise SonoscaleError(f"scores: no column {one!r}; there are {', '.join(found)}")
    wanted = list(asked) or [
        name for name in found if name not in _OURS and more_is_better(name) and is_bounded(name) is not False
    ] or [name for name in ("score",) if name in found]  # fmt: skip
    if not wanted:
        raise SonoscaleError(f"no column is called as a score is: name them (scores); there are {', '.join(found)}")
    for one in wanted:
        if more_is_better(one) is False:
            raise SonoscaleError(f"scores: {one}: less of it is better by its name; give a score, such as 1 - error")
    tops = {one: max((abs(v) for v in found[one] if isinstance(v, int | float)), default=0.0) for one in wanted}
    if any(top > 1.5 for top in tops.values()) and any(0 < top <= 1 for top in tops.values()):
        raise SonoscaleError(f"scores: {', '.join(f'{n} up to {t:g}' for n, t in tops.items())}: of one scale, please")
    return wanted


def _units(found: Mapping[str, list[Any]], y: str, long: bool) -> tuple[list[_Unit], list[int]]:
    """Runs and their checkpoints, and a number for the configuration of each."""
    from sonoscale.laws import read_runs

    n = len(found[y])
    named = next((name for name in _NAMES if name in found and None not in found[name]), None)
    if long and named is None:
        raise SonoscaleError(f"a table with a column task needs one that names each run: {', '.join(_NAMES)}")
    seeds, steps = (
        [_whole(name, value) for value in found[name]] if name in found else [0] * n for name in ("seed", "step")
    )
    together: dict[tuple[Any, ...], list[int]] = {}
    for row in range(n):
        own = (str(found[named][row]),) if named is not None else (row,)
        together.setdefault((*own, seeds[row], steps[row], *(() if long else (row,))), []).append(row)
    units = [_Unit(tuple(rows), key, seeds[rows[0]], steps[rows[0]]) for key, rows in together.items()]
    firsts = [unit.rows[0] for unit in units]
    left_out = {"task", "protocol", "readout", "metric"} if long else set()
    some = {name: [values[row] for row in firsts] for name, values in found.items() if name not in left_out}
    runs = read_runs(some, y=y, omit=True, step="step" if "step" in found else None)
    return [units[row] for row in runs.rows.tolist()], runs.clusters.tolist()


def _rows(
    found: Mapping[str, list[Any]], unit: _Unit, number: int, tasks: Sequence[str], config: ImportedStudyConfig
) -> list[dict[str, Any]]:
    """One for each score of a unit."""
    first = unit.rows[0]
    named = next(
        (name for name in ("label", *_NAMES) if found.get(name, [None] * (first + 1))[first] is not None), None
    )
    label = f"row {first}" if named is None else str(found[named][first])
    of = {name: values[first] for name, values in found.items() if name not in {*_MADE, *tasks}}
    family = found["family"][first] if found.get("family") else None
    own = [number, unit.seed] if named is None and "step" in found else [label, unit.seed]
    if named is None and "step" not in found:
        own.append(first)
    fixed = {name: _typed(name, value) for name, value in of.items()} | {
        "run": config_hash([config.name, "run", *own]),
        "config": config_hash([config.name, "configuration", number]),
        "label": label,
        "family": config.name if family is None else str(family),
        "axis": "base" if family is None else str(family),
        "seed": unit.seed,
        "step": unit.step,
        "readout": "mean",
        "layer": None,
        "quality_rule": config.quality.rule().text,
    }  # fmt: skip
    rows = []
    for row, column in [(row, "score") for row in unit.rows] if tasks == ["score"] else [(first, one) for one in tasks]:
        score = found[column][row]
        if score is None:
            continue
        if isinstance(score, str) or not math.isfinite(score):
            raise SonoscaleError(f"{column}, row {row}: {score!r} is no score")
        long = column == "score" and "task" in found
        said = {key: str(found[key][row]) if long and found.get(key) else None for key in ("protocol", "metric")}
        task, protocol = str(found["task"][row]) if long else column, said["protocol"] or "imported"
        rows.append({
            **fixed, "task": task, "task_id": config_hash(["imported", task, protocol]), "protocol": protocol,
            "metric": said["metric"] or column, "score": float(score),
        })  # fmt: skip
    return rows


def _whole(name: str, value: Any) -> int:
    if value is None or isinstance(value, str) or value != int(value):
        raise SonoscaleError(f"{name}: {value!r} is no whole number")
    return int(value)


def _typed(name: str, value: Any) -> Any:
    """As the ledger has this column."""
    kind = _OURS.get(name)
    if value is None or kind is None:
        return value
    if kind == "string":
        return str(value)
    if isinstance(value, str):
        raise SonoscaleError(f"{name}: {value!r} is no number; call the column otherwise (columns)")
    return _whole(name, value) if kind == "int64" else bool(value) if kind == "bool" else float(value)


def _as_arrow(rows: list[dict[str, Any]], others: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    from sonoscale.study._encoders_ledger import column_kind

    last: dict[str, int] = {}
    for row in rows:
        last[row["run"]] = max(row["step"], last.get(row["run"], row["step"]))
    for row in rows:
        row["is_final"] = row["step"] == last[row["run"]]
    schema = arrow_schema(list(_OURS))
    for name in others:
        schema = schema.append(pa.field(name, column_kind(name, [row.get(name) for row in rows])))
    return pa.Table.from_pylist(rows, schema=schema)


def _planned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One mapping per run, as `runs.json` and `status` have it."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    return [
        {
            **{name: of[0][name] for name in ("run", "config", "family", "label", "axis", "seed")},
            "budgets": sorted({row["step"] for row in of}),
            "flops": max((row.get("flops") or 0.0 for row in of), default=0.0),
            "scores": sorted(set.intersection(*_keys(of))),
        }
        for of in runs.values()
    ]


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[set[str]]:
    """Of each checkpoint, its scores."""
    return [{row["task_id"] for row in rows if row["step"] == step} for step in {row["step"] for row in rows}]
