"""Runs as people meet them: names, the list of runs, dry runs, and files that are not what was written."""

import shutil

import pytest
import soundfile
import torch
from numpy import zeros
from numpy.random import default_rng

from sonoscale.cli import _console
from sonoscale.corpora import FolderData
from sonoscale.digests import read_sealed, write_sealed
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.export._source import read_trained
from sonoscale.pretrain import pretrain, read_record, runs, unfinished_run

CONFIG = {
    "data": {"kind": "procedural", "clips": 16, "heldout_clips": 32, "seconds": 0.5, "domains": ["music"]},
    "encoder": {"backbone": "vit", "width": 8, "depth": 1},
    "objective": {"kind": "mae"},
    "train": {"clip_seconds": 0.5, "batch_size": 8, "budgets": [2, 3], "warmup_steps": 0, "rank_points": 2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a name, and how it was made."""
    place = tmp_path_factory.mktemp("place")
    given = {"out": place / "runs", "cache": place / "cache", "device": "cpu", "logger": "none", "workers": 1}
    return pretrain({**CONFIG, "name": "first try"}, **given), given


@pytest.fixture
def copied(trained, tmp_path):
    run = tmp_path / trained[0].folder.name
    shutil.copytree(trained[0].folder, run)
    return run


def test_a_run_that_is_finished_says_so_and_is_one_run_under_any_name(trained):
    run, given = trained
    assert not run.finished_before
    again = pretrain({**CONFIG, "name": "another"}, **given)
    assert again.folder == run.folder
    assert again.finished_before
    assert f"first try, {run.folder}: finished before, so that nothing was trained now" in again.headline
    assert "nothing was trained" not in run.headline


def test_the_list_of_runs(trained, tmp_path):
    run, _ = trained
    (row,) = runs(run.folder.parent).rows()
    assert row | {"when": ""} == {
        "name": "first try", "run": run.folder.name, "state": "finished", "objective": "mae", "backbone": "vit",
        "params": run.record["params_encoder"], "flops": run.record["budgets"][-1]["flops"],
        "loss": run.record["budgets"][-1]["loss"], "rankme": run.record["budgets"][-1]["rank"]["value"],
        "device": "cpu", "when": "",
    }  # fmt: skip
    shutil.copytree(run.folder, tmp_path / "runs" / "a")
    begun = unfinished_run(tmp_path / "runs" / "b")
    shutil.copytree(run.folder, begun, ignore=lambda *_: ["record.json"])
    shutil.copytree(run.folder, tmp_path / "runs" / "c")
    (tmp_path / "runs" / "c" / "record.json").write_text("{}")
    (tmp_path / "runs" / "notes").mkdir()
    found = runs(tmp_path)  # as of a study
    assert {row["run"]: (row["name"], row["state"]) for row in found.rows()} == {
        "a": ("first try", "finished"), "b": ("first try", "begun"), "c": ("first try", "unreadable"),
    }  # fmt: skip
    assert "c/record.json: not the record of a run" in found.problems[0]


def test_a_changed_checkpoint_is_noticed_by_whatever_uses_it(copied):
    content = torch.load(copied / "checkpoint.pt", weights_only=True)
    content["encoder"]["backbone.norm.weight"][0] += 1
    torch.save(content, copied / "checkpoint.pt")  # whole, by its own checksums
    for use in (load_encoder, read_trained):
        with pytest.raises(SonoscaleError, match=r"checkpoint\.pt: damaged or replaced: it is not what the run"):
            use(copied)
    (copied / "record.json").unlink()
    load_encoder(copied / "checkpoint.pt")  # alone, nothing says that it is another


def test_tensors_in_the_place_of_a_checkpoint_are_one_line(tmp_path):
    for content in (torch.zeros(3), {"config": torch.zeros(2)}, {"config": {"encoder": {}}, "encoder": [1]}):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(SonoscaleError, match=r"a\.pt: not a Sonoscale checkpoint"):
            load_encoder(tmp_path / "a.pt")


def test_a_record_that_was_changed_or_is_none(copied):
    file = copied / "record.json"
    whole = file.read_text()
    file.write_text(whole.replace('"processes": 1', '"processes": 3'))
    with pytest.raises(SonoscaleError, match=r"record\.json: damaged or changed by hand"):
        read_record(copied)
    for content, message in (
        ("[]", "a JSON object is needed"),
        ('{"a": ' + "[" * 100_000 + "}", "nested too deeply"),
        ("{}", "key 'identity' is required"),
    ):
        file.write_text(content)
        with pytest.raises(SonoscaleError, match=message):
            read_record(copied)
    file.write_text(whole)
    record = read_sealed(file, "it")
    record["budgets"][0]["loss"] = "low"
    write_sealed(file, record)
    with pytest.raises(SonoscaleError, match=r"budgets\.0\.loss = 'low': must be a number"):
        read_record(copied)


class StoppedError(Exception):
    """In place of a signal."""


def stop(stage, done, total, loss):
    if stage == "train" and done >= 2:
        raise StoppedError


@pytest.mark.parametrize("what", ["moments", "shape", "order", "step"])
def test_a_state_that_does_not_fit_is_refused_before_anything_is_written_into_it(trained, tmp_path, what):
    _, given = trained
    config = {**CONFIG, "train": {**CONFIG["train"], "checkpoint_minutes": 0}}
    given = {**given, "out": tmp_path / "runs"}
    with pytest.raises(StoppedError):
        pretrain(config, **given, progress=stop)
    (file,) = tmp_path.glob("runs/.*.unfinished/state.pt")
    content = torch.load(file, weights_only=True)
    now = content["state"]["now"]
    if what == "moments":  # which the optimiser would write beyond
        now["optimiser"]["state"][0]["exp_avg"] = torch.zeros(0)
    elif what == "shape":
        now["draws"] = torch.zeros(3, dtype=torch.uint8)
    elif what == "order":
        now["stream"]["order"] = now["stream"]["order"] + 1000
    else:
        now["step"] = 10**6
    torch.save(content, file)
    with pytest.raises(SonoscaleError, match=r"state\.pt: holds no state of this run .*; delete it to train from"):
        pretrain(config, **given)
    file.unlink()
    assert pretrain(config, **given).record["budgets"]


def test_a_dry_run_looks_for_the_audio_and_builds_nothing_too_large(tmp_path, monkeypatch):
    rng = default_rng(0)
    for i in range(60):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(9000), 16_000)
    data = {"kind": "folder", "root": str(tmp_path)}
    config = {**CONFIG, "data": data}
    found = pretrain(config, dry_run=True, device="cpu")
    assert (found.clips, found.heldout) == (28, 32)
    assert "28 clips to train on, 32 held out" in found.headline
    with pytest.raises(SonoscaleError, match=r"data\.root = .*gone: no such folder"):
        pretrain(config, dry_run=True, device="cpu", set={"data.root": str(tmp_path / "gone")})
    with pytest.raises(SonoscaleError, match=r"data\.hours = 5.*at most 0\.00\d+ hours are left"):
        pretrain(config, dry_run=True, device="cpu", set={"data.hours": 5})
    monkeypatch.setattr("sonoscale.pretrain._estimate._timed", None)  # would fail if anything was built
    large = pretrain(config, dry_run=True, device="cpu", set={"encoder.width": 4096, "encoder.depth": 64})
    assert "not measured: cpu has no room for this run; nothing of it was built" in large.headline
    assert large.memory > large.free
    with pytest.raises(SonoscaleError, match=r"encoder\.width = 4096 and encoder\.depth = 64: the weights of"):
        pretrain(config, tmp_path / "runs", device="cpu", set={"encoder.width": 4096, "encoder.depth": 64})


def test_by_default_small_folders_hold_out_a_quarter(tmp_path):
    for i in range(400):
        soundfile.write(tmp_path / f"{i}.wav", zeros(100), 16_000)
    data = FolderData(kind="folder", root=tmp_path)
    assert (len(data.heldout()), len(data.training())) == (100, 300)
    assert len(FolderData(kind="folder", root=tmp_path, heldout_clips=64).heldout()) == 64


def test_another_share_of_masks_than_was_asked_for_is_said():
    with pytest.warns(SonoscaleWarning, match=r"mask_ratio = 0\.8: 6 of 8 patches are hidden, which is 0\.75"):
        pretrain(CONFIG, dry_run=True, device="cpu", set={"objective.mask_ratio": 0.8})


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(_console, "PAUSE", 0.0)
    with _console.stage_bars() as progress:
        progress("train", 3, 2000, 0.5)
    assert capsys.readouterr().out == "train (loss 0.500): 3 of 2,000\n"
