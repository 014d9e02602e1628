"""Runs of studies that are under way keep their names whatever keys a study, or a run, learns to have."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sonoscale.config import config_hash, load_config
from sonoscale.study import StudyConfig
from sonoscale.study._design import expand

UNIFY = Path(__file__).parents[2] / "studies" / "unify"
CORPORA = {"train": "6ce0b48d640d263b", "heldout": "3a58c53b441ea1da"}  # digests of its audio
CLIPS = 6617  # to train on, where a run takes all


def name(config, clips):
    return config_hash({"format": 1, "run": config.outcome(), "clips": clips, **CORPORA})


def test_the_study_of_unification_has_the_runs_that_its_ledger_has():
    metadata = pq.read_schema(UNIFY / "ledgers" / "variables.parquet").metadata
    planned = json.loads(metadata[b"sonoscale"])["runs"]
    runs = expand(load_config(StudyConfig, UNIFY / "variables.yaml"))
    assert [run.label for run in runs] == [run["label"] for run in planned]
    names = [name(run.config, run.config.data.clips or CLIPS) for run in runs]
    assert names == [run["run"] for run in planned]


OTHERS = {
    "compute": "afc51c4762d3", "compute-mae": "e8b4036ae79a", "isoflop": "6745db3ceb5e", "procedural": "6595dccf75fe",
}  # fmt: skip


@pytest.mark.parametrize("file", OTHERS)
def test_the_other_studies_of_unification_have_the_runs_that_they_were_begun_with(file):
    runs = expand(load_config(StudyConfig, UNIFY / f"{file}.yaml"))
    names = [name(run.config, run.config.data.clips or CLIPS) for run in runs]
    assert config_hash(names) == OTHERS[file]
