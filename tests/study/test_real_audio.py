"""The real-audio study on real audio, where there is some."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sonoscale.config import load_config
from sonoscale.study import StudyConfig

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SONOSCALE_TEST_DATA") or ROOT.parent / "shared" / "data")
STUDY = ROOT / "studies" / "quickstart-real.yaml"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("study"),
    pytest.mark.skipif(
        not (DATA / "pool").is_dir() or not (DATA / "tasks").is_dir(),
        reason="no real audio: set SONOSCALE_TEST_DATA to a folder with pool/ and tasks/",
    ),
]


def test_the_tasks_of_the_study_keep_their_own_folds():
    study = load_config(StudyConfig, STUDY, [f"data.root={DATA}"])
    assert len(study.tasks) >= 4
    for config in study.tasks:
        task = config.load(DATA)
        assert task.scheme == "folds"
        rows = (DATA / "tasks" / config.name / "metadata.csv").read_text().splitlines()[1:]
        assert [line.split(",")[2] for line in rows] == list(task.folds)
        assert task.corpus.wave(0).ndim == 1


def test_a_small_version_of_the_study_runs(sonoscale, in_process, tmp_path):
    overrides = [
        f"data.root={DATA}", "data.clips=64", "data.heldout_clips=64", "encoder.width=8", "encoder.depth=1",
        "train.budgets=[6]", "train.warmup_steps=2", "train.batch_size=16", "sweep={}", "seeds=[0]",
        "tasks=[{kind: folder, name: gm_octave, metadata: tasks/gm_octave/metadata.csv}]",
    ]  # fmt: skip
    sonoscale("study", "run", STUDY, "--out", tmp_path / "out", "--workers", 1, *(f"--set={o}" for o in overrides))
    rows = pq.read_table(tmp_path / "out" / "ledger.parquet").to_pylist()
    assert [row["protocol"].partition("/")[0] for row in rows] == ["knn", "few-shot", "linear"]
    assert {(row["task"], row["train_clips"]) for row in rows} == {("gm_octave", 64)}
    baselines = json.loads((tmp_path / "out" / "baseline.json").read_text())
    (baseline,) = (found for name, found in baselines.items() if name.startswith("gm_octave:linear/"))
    assert len(baseline["per_fold"]) == 3
    assert baseline["score"] > 2 * baseline["chance"]
