"""Ranks and scores of layers, and ranks by further estimators, of the runs of a study."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tests.study.test_end_to_end import run_folders, table

import sonoscale as so
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.laws import read_runs
from sonoscale.rank import rankme
from sonoscale.study import StudyConfig

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("study")]
DEEP = {"layers": True, "estimators": ["participation_ratio"]}


@pytest.fixture(scope="module")
def deep(finished, tiny, cache, tmp_path_factory):
    """A finished study, of which layers are asked for afterwards."""
    from tests.study.conftest import Here

    from sonoscale.study import _execute

    out = tmp_path_factory.mktemp("deep") / "out"
    shutil.copytree(finished[0], out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_execute, "open_executor", lambda name, **how: Here())
        return so.study(tiny, out=out, cache=cache, set=DEEP).run(workers=1)


def outputs(rows, without=("quality_rule",)):
    """Rows that are of outputs, and what they hold without further estimators."""
    drop = {*without, *DEEP["estimators"]}
    return [{k: v for k, v in row.items() if k not in drop} for row in rows if row["layer"] is None]


def test_layers_are_rows_of_their_own_and_nothing_is_trained_again(deep, finished):
    rows, before = table(deep.folder), table(finished[0])
    assert outputs(rows) == outputs(before)
    layers = [row for row in rows if row["layer"] is not None]
    places = {(row["run"], row["step"], row["task"], row["protocol"], row["layer"]) for row in layers}
    assert len(places) == len(layers) == len(before)  # each encoder has one block, so that one layer lies before it
    assert {row["layer"] for row in layers} == {0}
    for ours, theirs in zip(run_folders(deep.folder), run_folders(finished[0]), strict=True):
        for name in ("record.json", "checkpoint.pt"):
            assert (ours / name).stat().st_mtime_ns == (theirs / name).stat().st_mtime_ns
    assert {row["floor_logmel"] for row in layers} == {row["floor_logmel"] for row in before}
    assert {row["floor_untrained"] for row in layers} == {None}


def test_ranks_of_layers_and_by_other_estimators_are_those_of_embeddings_made_from_the_audio(deep):
    run = run_folders(deep.folder)[0]
    encoder, heldout = load_encoder(run), deep.config.data.heldout()
    with torch.inference_mode():
        found = [encoder.embed_layers(torch.as_tensor(heldout.wave(i))[None])[:, 0] for i in range(len(heldout))]
    embedded = torch.stack(found, dim=1).numpy()  # [layers, n, dim]
    rows = [row for row in table(deep.folder) if row["run"] == run.name and row["is_final"]]
    of = {row["layer"]: row for row in rows}
    assert of[0]["rankme_readout"] == pytest.approx(rankme(embedded[0]).value, rel=1e-3)
    assert of[None]["rankme_readout"] == pytest.approx(rankme(embedded[1]).value, rel=1e-3)
    other = rankme(embedded[1], estimator="participation_ratio").value
    assert of[0]["participation_ratio"] == of[None]["participation_ratio"] == pytest.approx(other, rel=1e-3)
    assert of[0]["rankme"] == of[None]["rankme"]  # of the encoder


def test_laws_read_the_outputs_alone(deep, finished):
    ours, theirs = read_runs(deep.folder), read_runs(finished[0])
    assert len(ours) == len(theirs)
    for name in ("quality", "rankme", "score:event"):
        assert np.array_equal(ours[name], theirs[name]), name
    assert np.isfinite(ours["participation_ratio"]).all()
    before = json.loads((finished[0] / "laws.json").read_text())
    assert deep.laws["audit"]["rankme"]["n"] == before["audit"]["rankme"]["n"]


def test_the_ledger_alone_is_enough_and_layers_that_nobody_asks_for_go(in_process, deep, cache, tmp_path):
    alone = so.study(deep.folder / "ledger.parquet", out=tmp_path / "out", cache=cache).run(workers=1)
    assert run_folders(tmp_path / "out") == []
    assert table(tmp_path / "out") == table(deep.folder)
    assert {one.state for one in alone.status().runs} == {"done"}
    fewer = so.study(tmp_path / "out", cache=cache, set={"layers": False, "estimators": []}).run(workers=1)
    assert [row["layer"] for row in table(fewer.folder) if row["layer"] is not None] == []
    assert run_folders(tmp_path / "out") == []


def test_a_ledger_that_has_rows_of_layers_only_is_no_table_of_runs(deep, tmp_path):
    ledger = deep.ledger
    layers = ledger.filter(ledger["layer"].is_valid())
    pq.write_table(layers.replace_schema_metadata(), tmp_path / "layers.parquet")
    for source in (tmp_path / "layers.parquet", layers.to_pydict()):
        with pytest.raises(SonoscaleError, match="all rows are of layers before the last: there is no run to read"):
            read_runs(source)


def test_what_cannot_be_asked_of_layers_is_one_line(tiny, tmp_path):
    for keys, said in (
        ({"layers": [0, 2]}, "layers: no encoder of this study has a layer 2: the deepest has 2, 0 the first"),
        ({"layers": [-1]}, r"layers = \[-1\]: give true, false, or numbers from 0, each once"),
        ({"estimators": ["rankm"]}, "estimators: there is no 'rankm'; there are "),
        ({"estimators": ["rankme_centred"]}, "estimators: rankme_centred is measured in any case"),
    ):
        with pytest.raises(SonoscaleError, match=said):
            so.study(tiny, out=tmp_path / "out", set=keys)
    assert StudyConfig.model_validate(so.study(tiny).config.model_dump()).layers is False
