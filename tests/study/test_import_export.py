"""Somebody's table as a study, questions in SQL, tables and trackers out of it: checked by reading them back."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import sonoscale as so
from sonoscale.errors import SonoscaleError
from sonoscale.extras import available
from sonoscale.study import add, export, import_ledger, plan, sql, status, study
from sonoscale.study._schema import COLUMNS

needs_duckdb = pytest.mark.skipif(not available("duckdb"), reason="DuckDB is not installed: pip install duckdb")


def theirs(n=8, seeds=2):
    """Accuracy along a power law in the parameters, with a spread between seeds."""
    rng = np.random.default_rng(0)
    params = np.repeat(np.geomspace(1e5, 1e8, n), seeds).round()
    error = 0.9 * (params / 1e5) ** -0.15
    return pd.DataFrame({
        "model": [f"m{i // seeds}" for i in range(n * seeds)],
        "arch": np.where(np.arange(n * seeds) // seeds % 2, "cnn", "vit"),
        "seed": np.tile(np.arange(seeds), n),
        "n_params": params,
        "tokens": params * 20,
        "acc_esc50": 1 - error + rng.normal(0, 0.004, n * seeds),
        "acc_us8k": 1 - 0.8 * error + rng.normal(0, 0.004, n * seeds),
    })  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "theirs"
    return import_ledger(theirs(), out, columns={"arch": "family"})


def test_a_wide_table_becomes_a_ledger(imported):
    frame, ledger = theirs(), imported.ledger
    assert ledger.column_names == [*(column.name for column in COLUMNS), "model", "tokens"]
    rows = ledger.to_pylist()
    assert len(rows) == 2 * len(frame)
    for name in ("acc_esc50", "acc_us8k"):
        mine = [row for row in rows if row["task"] == name]
        assert [row["score"] for row in mine] == frame[name].tolist()
        assert [row["params"] for row in mine] == frame["n_params"].tolist()
        assert [row["family"] for row in mine] == frame["arch"].tolist()
        assert [row["tokens"] for row in mine] == frame["tokens"].tolist()
    assert len({row["config"] for row in rows}) == 8
    assert len({row["run"] for row in rows}) == 16
    assert all(row["is_final"] for row in rows)


def test_the_laws_of_an_imported_study_are_those_of_the_table(imported):
    frame = theirs()
    for task in ("acc_esc50", "acc_us8k"):
        ours = so.fit(imported.folder, x=["params"], y=f"score:{task}", bootstrap=100)
        direct = so.fit(frame, x=["n_params"], y=task, clusters="model", bootstrap=100)
        assert [row["value"] for row in ours.rows()] == [row["value"] for row in direct.rows()]


def test_an_imported_study_is_listed_reported_and_not_run(imported, tmp_path):
    assert status(imported.folder).counts == {"queued": 0, "running": 0, "done": 16, "failed": 0}
    assert "16 runs" in imported.headline
    for refused in (
        study(imported.folder).run, imported.plan, imported.add, lambda: plan(imported.folder),
        lambda: add(imported.folder, seeds=[3]),
    ):  # fmt: skip
        with pytest.raises(SonoscaleError, match="was imported from a table, and has no runs to train"):
            refused()
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "ledger.parquet").write_bytes((imported.folder / "ledger.parquet").read_bytes())
    again = study(alone)
    assert again.laws["fits"] == imported.laws["fits"]
    assert status(alone).counts["done"] == 16


@pytest.mark.slow
def test_an_imported_study_has_a_report(imported):
    page = imported.report().page.read_text()
    assert "acc_esc50" in page


def test_a_long_table_with_checkpoints(tmp_path):
    rows = [
        {
            "run": f"r{run}",
            "seed": 0,
            "step": step,
            "task": task,
            "score": 0.1 * run + 0.001 * step,
            "flops": step * 1e9,
        }
        for run in (1, 2, 3)
        for step in (100, 200)
        for task in ("a", "b")
    ]
    made = import_ledger(pd.DataFrame(rows), tmp_path / "long")
    found = made.ledger.to_pylist()
    assert [row["score"] for row in found] == [row["score"] for row in rows]
    assert {(row["label"], row["step"]): row["is_final"] for row in found}[("r1", 100)] is False
    assert len({row["run"] for row in found}) == 3
    assert len(status(made.folder).runs) == 3


@pytest.mark.parametrize(
    ("table", "how", "said"),
    [
        ({"a": [1.0, 2.0]}, {}, r"no column is called as a score is: name them \(scores\); there are a"),
        ({"wer": [0.1, 0.2]}, {"scores": ["wer"]}, "scores: wer: less of it is better by its name"),
        ({"acc": [0.1, 0.2]}, {"scores": ["none"]}, "scores: no column 'none'; there are acc"),
        ({"acc": [0.1, 0.2]}, {"columns": {"x": "params"}}, "no column 'x'; there are acc"),
        ({"acc": [0.1, 0.2], "f1": [10.0, 20.0]}, {}, "scores: acc up to 0.2, f1 up to 20: of one scale"),
        ({"acc": [0.1, 0.2], "params": [1.5, 2.0]}, {}, "params: 1.5 is no whole number"),
        ({"task": ["a"], "score": [0.1]}, {}, "a table with a column task needs one that names each run"),
        ({"acc": []}, {}, "a table: no rows"),
    ],
)
def test_what_is_no_table_of_runs_is_refused_in_a_line(tmp_path, table, how, said):
    with pytest.raises(SonoscaleError, match=said) as caught:
        import_ledger(table, tmp_path / "out", **how)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_another_study_s_folder_is_not_replaced(imported):
    with pytest.raises(SonoscaleError, match=r"holds the study 'theirs', and not 'other'; name another folder"):
        import_ledger(theirs(), imported.folder, name="other")


@needs_duckdb
def test_sql_answers_as_pandas_does(imported):
    frame = imported.ledger.to_pandas()
    found = sql(imported.folder, "select label, avg(score) as mean from ledger group by label order by label")
    expected = frame.groupby("label")["score"].mean()
    assert [row["label"] for row in found.rows()] == expected.index.tolist()
    assert np.allclose([row["mean"] for row in found.rows()], expected.to_numpy())
    best = sql(imported.folder / "ledger.parquet", "select max(quality) as best from runs").rows()[0]["best"]
    assert best == pytest.approx(so.read_runs(imported.folder)["quality"].max())


@needs_duckdb
@pytest.mark.parametrize(
    "query",
    ["select * from read_csv('/etc/passwd')", "copy ledger to '{out}'", "attach '{out}'", "select", "install httpfs",
     "set enable_external_access = true", "select nothing from ledger"],
)  # fmt: skip
def test_a_query_reaches_no_other_file(imported, tmp_path, query):
    with pytest.raises(SonoscaleError, match=r"^query: ") as caught:
        sql(imported.folder, query.format(out=tmp_path / "file"))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_tables_are_read_back(imported, tmp_path):
    frame = imported.ledger.to_pandas()
    export(imported.folder, tmp_path / "ledger.csv")
    back = pd.read_csv(tmp_path / "ledger.csv")
    assert np.allclose(back["score"], frame["score"], rtol=0, atol=0)
    made = export(imported.folder, tmp_path / "runs.parquet", rows="runs")
    assert (made.runs, made.count) == (16, 16)
    runs = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [row["quality"] for row in runs] == so.read_runs(imported.folder)["quality"].tolist()


def test_what_cannot_be_exported_is_said(imported, tmp_path):
    with pytest.raises(SonoscaleError, match="as what"):
        export(imported.folder, tmp_path / "runs.xlsx")
    with pytest.raises(SonoscaleError, match="is the ledger itself"):
        export(imported.folder, imported.folder / "ledger.parquet")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(SonoscaleError, match="is there already; name a new folder"):
        export(imported.folder, tmp_path / "full", kind="mlflow")


@pytest.mark.skipif(not available("mlflow"), reason="MLflow is not installed: pip install 'sonoscale[mlflow]'")
def test_mlflow_reads_the_runs(imported, tmp_path):
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    made = export(imported.folder, tmp_path / "mlflow", kind="mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("theirs")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == made.runs == 16
    rows = {row["run"]: row for row in imported.ledger.to_pylist() if row["task"] == "acc_esc50"}
    for run in runs:
        row = rows[run.data.tags["sonoscale.run"]]
        assert run.data.metrics["score:acc_esc50"] == row["score"]
        assert float(run.data.params["params"]) == row["params"]
        assert run.data.tags["family"] == row["family"]


def wandb_records(file):
    """Of W&B's file: after a header of 7 bytes, the log of LevelDB: blocks of 32 KiB of (checksum, length, type)."""
    content, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.mark.skipif(not available("wandb"), reason="W&B is not installed: pip install 'sonoscale[wandb]'")
def test_wandb_reads_the_runs(tmp_path, monkeypatch):
    from wandb.proto import wandb_internal_pb2  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("WANDB_MODE", "offline")
    made = import_ledger(theirs(n=2, seeds=1), tmp_path / "theirs")
    export(made.folder, tmp_path / "out", kind="wandb")
    scores = {}
    for file in (tmp_path / "out").rglob("*.wandb"):
        name, found = None, {}
        for data in wandb_records(file):
            record = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run":
                name = record.run.run_id
            for item in record.history.item:
                found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        scores[name] = found["score:acc_esc50"]
    assert scores == {
        row["run"]: row["score"] for row in made.ledger.to_pylist() if row["task"] == "acc_esc50"
    }  # fmt: skip


def test_the_commands_do_the_same(sonoscale, tmp_path):
    theirs().to_csv(tmp_path / "runs.csv", index=False)
    out = tmp_path / "study"
    printed = sonoscale("study", "import", tmp_path / "runs.csv", out, "--column", "arch=family", "--name", "theirs")
    assert f"imported from {tmp_path / 'runs.csv'}" in printed
    rows = study(out).ledger.to_pylist()
    assert [row["score"] for row in rows if row["task"] == "acc_us8k"] == theirs()["acc_us8k"].tolist()
    assert "16 row(s) of 16 run(s), as csv" in sonoscale("study", "export", out, tmp_path / "out.csv", "--rows", "runs")
    assert "0 file(s) of 0 run(s)" in sonoscale("study", "clean", out)
    if available("duckdb"):
        answer = sonoscale("study", "sql", out, "select count(*) as n from ledger", "--json")
        assert json.loads(answer)["rows"] == [{"n": 32}]
