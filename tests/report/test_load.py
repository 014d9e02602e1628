"""Reading a study folder: what is derived, what may be absent, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.laws._table import arrow_columns
from sonoscale.report._chart_layers import layers_words
from sonoscale.report._load import _layers, load_study


def edit_ledger(folder: Path, change) -> None:
    table = pq.read_table(folder / "ledger.parquet")
    pq.write_table(change(table), folder / "ledger.parquet")


def test_points_are_runs_at_their_budgets_and_quality_is_the_mean_score(whole_study: Path) -> None:
    results = load_study(whole_study)
    assert results.name == "Small sweep"
    assert len(results.points) == 8 * 2 * 2
    assert len(results.final_points) == 8 * 2
    assert results.tasks == ("esc10", "commands", "speakers")
    assert results.chance["speakers"] == 0.05
    for point in results.points:
        assert point.quality == pytest.approx(np.mean(list(point.scores.values())))
        assert point.interval("rankme").low < point.get("rankme") < point.interval("rankme").high


def test_a_task_with_two_protocols_is_two_columns(study: Path) -> None:
    def again(table):
        protocols = ["knn" if index % 6 < 3 else "linear" for index in range(table.num_rows)]
        steps = [100] * table.num_rows
        table = table.set_column(table.column_names.index("protocol"), "protocol", [protocols])
        return table.set_column(table.column_names.index("step"), "step", [steps])

    edit_ledger(study, again)
    results = load_study(study)
    assert set(results.tasks) == {f"{t}:{p}" for t in ("esc10", "commands", "speakers") for p in ("knn", "linear")}
    assert all(len(point.scores) == 6 for point in results.points)


def test_quality_is_that_of_every_other_reader(whole_study: Path) -> None:
    """`read_runs`, which fit, audit and plan use, finds the same points with the same quality."""
    runs = read_runs(whole_study)
    found = {(run, step): q for run, step, q in zip(runs["run"], runs["step"], runs["quality"], strict=True)}
    assert {(p.run, p.step): p.quality for p in load_study(whole_study).points} == found


def test_without_is_final_the_largest_step_is_final(study: Path) -> None:
    edit_ledger(study, lambda table: table.drop_columns(["is_final", "config", "loss"]))
    results = load_study(study)
    assert {point.step for point in results.final_points} == {400}
    assert np.isnan(results.points[0].get("loss"))
    assert results.points[0].config == results.points[0].label


def test_histories_and_spectra_are_read_by_phase_and_step(whole_study: Path) -> None:
    run = next(iter(load_study(whole_study).runs.values()))
    assert [phase.phase for phase in run.phases] == ["trunk", "branch-100", "branch-400"]
    steps, values = run.phases[0].of("rankme")
    assert steps[0] == 0
    assert len(steps) == len(values) == 9
    for centred in (False, True):
        first, last = (run.spectrum(final=final, centred=centred) for final in (False, True))
        assert first is not None
        assert last is not None
        assert last[-1] > first[-1]


def test_what_is_optional_is_reported_as_missing(study: Path) -> None:
    runs = sorted((study / "runs").iterdir())
    (runs[0] / "spectra.npz").unlink()
    for run in runs:
        (run / "metrics.parquet").unlink()
    missing = load_study(study).missing
    assert missing[0] == "No training history (metrics.parquet) for any run."
    assert f"1 of 16 runs ({runs[0].name})" in missing[1]


@pytest.mark.parametrize("name", ["study.yaml", "provenance.json", "ledger.parquet", "laws.json"])
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_missing_or_corrupt_file_is_named(study: Path, name: str, damage: str) -> None:
    if damage == "missing":
        (study / name).unlink()
    else:
        (study / name).write_bytes(b'\x00\xff{"half": [')
    with pytest.raises(SonoscaleError, match=name):
        load_study(study)


@pytest.mark.parametrize("name", ["metrics.parquet", "spectra.npz"])
def test_a_corrupt_file_of_a_run_is_named(study: Path, name: str) -> None:
    run = sorted((study / "runs").iterdir())[3]
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SonoscaleError, match=f"{run.name}/{name}"):
        load_study(study)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"fits": [{"form": "power"}]}, "'x'"),
        ({"fits": [{"x": "rankme", "form": "power", "curve": {"x": [1, 2], "y": [1]}}]}, "'y' has 1"),
        ({"correlations": {"rankme": 0.8}}, "AttributeError"),
    ],
)
def test_laws_of_another_shape_are_refused(study: Path, content: dict, reason: str) -> None:
    (study / "laws.json").write_text(json.dumps(content))
    with pytest.raises(SonoscaleError, match=r"laws\.json") as caught:
        load_study(study)
    assert reason in str(caught.value)


def test_a_ledger_without_rows_or_columns_is_refused(study: Path) -> None:
    whole = pq.read_table(study / "ledger.parquet")
    pq.write_table(whole.slice(0, 0), study / "ledger.parquet")
    with pytest.raises(SonoscaleError, match=r"ledger\.parquet holds no rows"):
        load_study(study)
    pq.write_table(whole.drop_columns(["score", "axis"]), study / "ledger.parquet")
    with pytest.raises(SonoscaleError, match=r"ledger\.parquet lacks the column\(s\) axis, score"):
        load_study(study)


def test_a_file_in_place_of_the_folder_is_refused(study: Path) -> None:
    with pytest.raises(SonoscaleError, match="not a folder"):
        load_study(study / "study.yaml")


def test_a_layer_without_a_rank_does_not_get_that_of_the_output():
    columns = arrow_columns(pa.table({
        "run": ["a"] * 3, "config": ["c"] * 3, "label": ["l"] * 3, "step": [5] * 3, "task": ["t"] * 3,
        "layer": pa.array([None, 0, 1], pa.int64()), "score": [0.7, 0.5, 0.8], "rankme": [9.0] * 3,
        "rankme_readout": pa.array([None, None, 3.0], pa.float64()),
    }))  # fmt: skip
    first, second, output = _layers(columns)
    assert (output.layer, output.rank, output.score) == (2, 9.0, 0.7)
    assert (second.rank, second.score) == (3.0, 0.8)
    assert first.rank != first.rank
    words = layers_words(SimpleNamespace(layers=(first, second, output)))  # pyright: ignore[reportArgumentType]
    assert words.startswith("Of 1 configurations the output is the best layer in 0; the layer of the largest rank is")
