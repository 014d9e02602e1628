"""The runs of a study as others read them: tables, and the folders of W&B and MLflow."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.files import make_folder
from sonoscale.results import Result
from sonoscale.study._sql import runs_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Exported", "export"]

KINDS = ("csv", "parquet", "wandb", "mlflow")

_TAGS = ("config", "label", "axis", "family")
_LOGGED = ("loss", "lr", "rankme", "rankme_centred")
"""Columns of a run's metrics that are logged step by step."""


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """What was written.

    Attributes:
        path: the file, or the folder.
        kind: csv, parquet, wandb or mlflow.
        runs: how many.
        count: rows of a table, or measurements that were logged.
    """

    path: Path
    kind: str
    runs: int
    count: int

    @property
    def headline(self) -> str:
        """What, where, and how much."""
        what = "row(s)" if self.kind in ("csv", "parquet") else "measurement(s)"
        return f"{self.path}: {self.count} {what} of {self.runs} run(s), as {self.kind}"

    def rows(self) -> list[dict[str, Any]]:
        """None: the headline says it."""
        return []

    def as_dict(self) -> dict[str, Any]:
        """All fields."""
        return {**vars(self), "path": str(self.path)}


@dataclass(frozen=True)
class _Logged:
    """A run as a tracker keeps it.

    Attributes:
        run: its name in the study.
        about: tags: configuration, label, axis, family.
        seed: of the run.
        params: flattened configuration, dotted key -> value.
        series: of each step, name -> value.
    """

    run: str
    about: dict[str, str]
    seed: int
    params: dict[str, Any]
    series: dict[int, dict[str, float]]

    @property
    def name(self) -> str:
        """By which a human knows it."""
        return f"{self.about['label']}, seed {self.seed}"

    def steps(self) -> Iterator[tuple[int, dict[str, float]]]:
        yield from sorted(self.series.items())


def export(
    folder: str | Path,
    out: str | Path,
    *,
    kind: Literal["csv", "parquet", "wandb", "mlflow"] | None = None,
    rows: Literal["ledger", "runs"] = "ledger",
) -> Exported:
    """Write the runs of a study as a table, or as runs of W&B (offline) or MLflow. Nothing is sent anywhere.

    Of W&B and MLflow, each run has its configuration, its scores and ranks at each checkpoint, and, where its folder
    is there, the metrics of its training. `wandb sync` uploads what was written for W&B; `mlflow ui
    --backend-store-uri sqlite:///FOLDER/mlflow.db` shows those for MLflow.

    Arguments:
        folder: of the study, or its ledger.
        out: a `.csv` or `.parquet` file; for W&B and MLflow a folder, which is new or empty.
        kind: by default that of the suffix of `out`.
        rows: of a table: those of the `ledger`, or one per run and checkpoint (`runs`), as laws read them.

    Returns:
        What was written.

    Raises:
        SonoscaleError: no such kind, its package is not installed, there is no ledger, or the folder is not empty.

    Example:
        >>> export("no-study", "runs.csv")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no-study/ledger.parquet: no such ledger
    """
    check_arguments(export, locals())
    from sonoscale.study._ledger import read_ledger

    place, file = Path(out), Path(folder) if Path(folder).suffix == ".parquet" else Path(folder) / "ledger.parquet"
    kind = kind or place.suffix.lower().removeprefix(".")  # pyright: ignore[reportAssignmentType]
    if kind not in KINDS:
        raise SonoscaleError(f"{place}: as what? Give a .csv or .parquet file, or a folder with kind wandb or mlflow")
    ledger = read_ledger(file)
    names = set(ledger.table["run"].to_pylist())
    if kind in ("csv", "parquet"):
        if place.resolve() == file.resolve():
            raise SonoscaleError(f"{place}: is the ledger itself; name another file")
        table = ledger.table.replace_schema_metadata() if rows == "ledger" else runs_table(ledger.table)
        write_table(table, place if place.suffix.lower() == f".{kind}" else place.with_name(f"{place.name}.{kind}"))
        return Exported(place, kind, len(names), table.num_rows)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise SonoscaleError(f"{place}: is there already; name a new folder, in which runs are written once")
    study = str((ledger.about.get("study") or {}).get("name") or "sonoscale")
    need(kind, what=f"kind = {kind!r}")
    make_folder(place)
    count, write = 0, _to_wandb if kind == "wandb" else _to_mlflow
    for run in _runs(ledger.table, file.parent):
        write(run, study, place)
        count += sum(len(values) for values in run.series.values())
    if kind == "wandb":
        _end_wandb()
    return Exported(place, kind, len(names), count)


def _runs(ledger: pa.Table, folder: Path) -> Iterator[_Logged]:
    """From one row per checkpoint, and the metrics of the trainings whose folders are there."""
    table = runs_table(ledger)
    by_run: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_run.setdefault(row["run"], []).append(row)
    for run, rows in by_run.items():
        series: dict[int, dict[str, float]] = {}
        for row in rows:
            found = {name: value for name, value in row.items() if _is_measured(name, value)}
            series.setdefault(row["step"], {}).update(found)
        for step, name, value in _training(folder / "runs" / run / "metrics.parquet"):
            series.setdefault(step, {})[name] = value
        first = rows[0]
        params = _flat(_parsed(first.get("configuration")))
        params |= {
            name: first[name] for name in ("params", "train_clips", "train_hours") if first.get(name) is not None
        }
        yield _Logged(run, {name: str(first.get(name) or "") for name in _TAGS}, first["seed"], params, series)


def _is_measured(name: str, value: Any) -> bool:
    measured = {"quality", "loss", "flops", "flops_encoder", "seconds", "clips_seen", "hours_seen"}
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    return name in measured or name.startswith(("score:", "rankme"))


def _training(file: Path) -> Iterator[tuple[int, str, float]]:
    """Step, name and value of what was measured in training."""
    import pyarrow.parquet as pq

    if not file.is_file():
        return
    for row in pq.read_table(file).to_pylist():
        for name in _LOGGED:
            if row.get(name) is not None and math.isfinite(row[name]):
                yield row["step"], f"{row['phase']}/{name}", row[name]


def _parsed(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _to_wandb(run: _Logged, study: str, out: Path) -> None:
    wandb: Any = need("wandb", what="kind = 'wandb'")
    settings = wandb.Settings(
        silent=True, console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True, disable_code=True,
    )  # fmt: skip
    with wandb.init(
        mode="offline", project=study, dir=os.fspath(out), id=run.run, name=run.name, group=run.about["config"],
        config={**run.params, **run.about, "seed": run.seed}, tags=[run.about["family"][:64]], settings=settings,
    ) as made:  # fmt: skip
        for step, values in run.steps():
            made.log(values, step=step)


def _end_wandb() -> None:
    """Its service writes what it was given in its own time, and is waited for; not where it has a run of others."""
    wandb: Any = need("wandb", what="kind = 'wandb'")
    if wandb.run is None:
        wandb.teardown()


def _to_mlflow(run: _Logged, study: str, out: Path) -> None:
    need("mlflow", what="kind = 'mlflow'")
    from mlflow.entities import Metric, Param, RunTag  # pyright: ignore[reportMissingImports]
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    client = MlflowClient(tracking_uri=f"sqlite:///{out.resolve()}/mlflow.db")
    known = client.get_experiment_by_name(study)
    files = (out.resolve() / "artifacts").as_uri()
    experiment = known.experiment_id if known else client.create_experiment(study, artifact_location=files)
    made = client.create_run(experiment, run_name=run.name, tags={"sonoscale.run": run.run})
    params = [Param(key, str(value)[:6000]) for key, value in {**run.params, "seed": run.seed}.items()]
    metrics = [Metric(_allowed(name), value, 0, step) for step, of in run.steps() for name, value in of.items()]
    for start in range(0, max(len(params), 1), 100):  # no more at once
        client.log_batch(made.info.run_id, params=params[start : start + 100])
    for start in range(0, len(metrics), 1000):
        client.log_batch(made.info.run_id, metrics=metrics[start : start + 1000])
    client.log_batch(made.info.run_id, tags=[RunTag(name, value) for name, value in run.about.items()])
    client.set_terminated(made.info.run_id)


def _allowed(name: str) -> str:
    """As MLflow lets a metric be called."""
    return "".join(one if one.isalnum() or one in "_-. /:" else "_" for one in name)
