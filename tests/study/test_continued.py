"""A study over continued pre-training: its runs begin with the weights of an existing one."""

import json

import pytest
from tests.study.test_end_to_end import run_folders

import sonoscale as so
from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.pretrain import read_record

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("study")]


@pytest.fixture
def existing(finished):
    return next(one for one in run_folders(finished[0]) if "width: 16" in (one / "config.yaml").read_text())


@pytest.fixture
def continued(existing, tiny, cache, tmp_path):
    """The study, with its encoders frozen and not, and one whose weights are drawn."""
    begun = {"train.init": str(existing)}
    sweep = {"train.frozen_layers": [2], "begun": [{"train.init": None}]}
    return so.study(tiny, out=tmp_path / "out", cache=cache, set={**begun, "sweep": sweep, "seeds": [1]})


def test_runs_begin_with_weights_and_the_ledger_says_which(in_process, continued, existing, finished):
    continued.run(workers=1)
    table = continued.ledger.to_pylist()
    began = {row["label"]: row for row in table if row["is_final"]}
    assert set(began) == {"base", "frozen_layers=2", "init=None"}
    assert began["init=None"]["init"] is None
    assert began["base"]["init"] == began["frozen_layers=2"]["init"] != None  # noqa: E711 (a chain)
    assert {label: row["frozen_layers"] for label, row in began.items()} == {
        "base": 0, "frozen_layers=2": 2, "init=None": 0,
    }  # fmt: skip
    ended = (read_record(existing) or {})["budgets"][-1]["rank"]["value"]
    assert began["base"]["rankme_start"] == pytest.approx(ended, rel=1e-5)
    assert began["frozen_layers=2"]["rankme"] == pytest.approx(ended, rel=1e-5)
    assert began["base"]["rankme"] != pytest.approx(ended, rel=1e-5)
    assert began["frozen_layers=2"]["flops_encoder"] < began["base"]["flops_encoder"]
    drawn = {row["floor_untrained"] for row in table if row["task"] == "event"}
    assert len(drawn) == 1  # of one architecture and seed, whatever the weights are that a run begins with
    assert len(read_runs(continued.folder)) == 6


def test_what_cannot_be_begun_with_is_said_before_anything_is_trained(in_process, continued, tiny, cache, tmp_path):
    place = tmp_path / "other"
    for keys, said in (
        ({"sweep": {"encoder.width": [24]}, "train.init": continued.config.train.init}, "has width = 16, and encoder"),
        ({"train.init": "gone"}, "train.init = gone: no such run folder"),
    ):
        made = so.study(tiny, out=place, cache=cache, set=keys)
        for act in (made.plan, made.run):
            with pytest.raises(SonoscaleError, match=said):
                act(**({"speed": 1e9} if act == made.plan else {"workers": 1}))
    assert not (place / "runs").exists()


def test_a_ledger_from_before_there_were_initial_weights_is_read(finished, tmp_path):
    import pyarrow.parquet as pq

    from sonoscale.laws._checksum import CONTENT, content_digest
    from sonoscale.study._ledger import read_ledger

    table = pq.read_table(finished[0] / "ledger.parquet").drop_columns(["init", "frozen_layers"])
    about = {**table.schema.metadata, CONTENT: content_digest(table).encode()}
    pq.write_table(table.replace_schema_metadata(about), tmp_path / "ledger.parquet")
    found = read_ledger(tmp_path / "ledger.parquet").table
    assert found.column_names == read_ledger(finished[0] / "ledger.parquet").table.column_names
    assert found["init"].null_count == found["frozen_layers"].null_count == found.num_rows
    assert json.loads(found["configuration"][0].as_py())["train"]["init"] is None
