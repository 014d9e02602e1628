"""A run's folder: whose it is, what is refused, and what is taken up again."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from lightning_fabric import Fabric

from sonoscale.audio import LogMelConfig
from sonoscale.claims import claimed
from sonoscale.corpora import FileCorpus
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import WaveStore, read_record, unfinished_run
from sonoscale.pretrain._record import check_written
from sonoscale.pretrain._run_folder import RunFolder


def stop_at(step, train_tiny, killed, folder, **more):
    with pytest.raises(killed):
        train_tiny(folder, until=step, **more)
    return unfinished_run(folder) / "state.pt"


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def weights(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["objective"]


@pytest.fixture(scope="module")
def undisturbed(train_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert train_tiny(folder) == [1, 2, 3, 4, 5, 6]
    return folder


def same_weights(folder, other):
    ours, theirs = weights(folder), weights(other)
    assert list(ours) == list(theirs)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_another_process_trains_is_not_begun_anew(train_tiny, killed, tmp_path):
    folder = tmp_path / "run"
    stop_at(3, train_tiny, killed, folder)
    before = files(unfinished_run(folder))
    assert "state.pt" in before
    with claimed(folder.parent, folder.name, "trains"):
        for restart in (True, False):
            with pytest.raises(SonoscaleError, match=r"another process .* trains it; wait for it to end"):
                train_tiny(folder, restart=restart)
    assert files(unfinished_run(folder)) == before
    assert train_tiny(folder, restart=True) == [1, 2, 3, 4, 5, 6]  # now it is


def test_an_unfinished_run_goes_on_by_default(train_tiny, killed, undisturbed, tmp_path):
    folder = tmp_path / "run"
    stop_at(3, train_tiny, killed, folder)
    assert train_tiny(folder) == [3, 4, 5, 6]
    assert same_weights(folder, undisturbed)


def test_a_run_goes_on_in_the_precision_it_began_with(train_tiny, killed, undisturbed, tmp_path):
    folder = tmp_path / "run"
    state = stop_at(3, train_tiny, killed, folder)
    before = state.read_bytes()
    other = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    other.launch()
    with pytest.raises(SonoscaleError, match=r"begun with precision 32-true, not bf16-mixed.*resume=False"):
        train_tiny(folder, fabric=other)
    assert state.read_bytes() == before
    assert train_tiny(folder) == [3, 4, 5, 6]
    assert same_weights(folder, undisturbed)


def test_a_run_killed_before_its_move_is_taken_as_it_is(train_tiny, killed, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def die(self):
        raise killed

    monkeypatch.setattr(RunFolder, "_move", die)
    with pytest.raises(killed):
        train_tiny(folder)
    monkeypatch.undo()
    assert read_record(folder) is None
    left = files(unfinished_run(folder))
    assert json.loads(left["record.json"])["budgets"][0]["step"] == 6
    assert train_tiny(folder, until=0) == []  # no step is trained
    assert files(folder) == {name: content for name, content in left.items() if name != "state.pt"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_something_else_is_not_overwritten(train_tiny, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter-1.txt").write_text("It was a dark and stormy night.")
    with pytest.raises(SonoscaleError, match=r"thesis: is no run folder, and would be overwritten; name another"):
        train_tiny(folder)
    assert files(folder) == {"chapter-1.txt": b"It was a dark and stormy night."}
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_log_mels_that_are_deleted_meanwhile_are_read_to_the_end(train_tiny, make_log_mels, undisturbed, tmp_path):
    log_mels = make_log_mels(tmp_path / "cache")  # files that are open stay

    def delete(step):
        if step == 2:
            for file in (tmp_path / "cache").glob("*/*"):
                file.unlink()

    train_tiny(tmp_path / "run", log_mels=log_mels, at_step=delete)
    assert not list((tmp_path / "cache").glob("*/*"))
    assert same_weights(tmp_path / "run", undisturbed)


def test_audio_that_is_gone_meanwhile_is_named_and_the_run_goes_on_when_it_is_back(train_tiny, make_log_mels, tmp_path):
    audio, away, rng = tmp_path / "audio", tmp_path / "away", np.random.default_rng(0)
    audio.mkdir()
    for i in range(12):
        soundfile.write(audio / f"{i:02d}.wav", 0.1 * rng.standard_normal(9600), 16_000)
    _, heldout = make_log_mels(tmp_path / "cache")
    stores = WaveStore(FileCorpus.from_folder(audio), LogMelConfig(n_mels=64), threads=1), heldout
    train_tiny(tmp_path / "undisturbed", log_mels=stores)

    def unmount(step):
        if step == 2:
            audio.rename(away)

    with pytest.raises(SonoscaleError, match=r"audio/\d\d\.wav: "):
        train_tiny(tmp_path / "run", log_mels=stores, at_step=unmount)
    away.rename(audio)
    assert train_tiny(tmp_path / "run", log_mels=stores)[-1] == 6
    assert same_weights(tmp_path / "run", tmp_path / "undisturbed")


@pytest.mark.parametrize("parts", [2, 8])
def test_a_batch_in_parts_trains_what_it_trains_as_one(train_tiny, undisturbed, tmp_path, parts):
    train_tiny(tmp_path / "run", accumulate=parts)
    losses = [pq.read_table(folder / "metrics.parquet")["loss"] for folder in (tmp_path / "run", undisturbed)]
    ours, theirs = ([loss for loss in each.to_pylist() if loss is not None] for each in losses)
    assert ours == pytest.approx(theirs, abs=1e-6)
    ours, theirs = weights(tmp_path / "run"), weights(undisturbed)
    for name, value in theirs.items():
        mine = ours[name]
        if name.endswith("qkv.bias"):  # the gradient of the keys' is rounding alone, which Adam makes large
            (*mine,), (*value,) = (torch.stack([each.chunk(3)[i] for i in (0, 2)]) for each in (mine, value))
        torch.testing.assert_close(
            mine, value, rtol=0, atol=1e-5, msg=lambda reported, name=name: f"{name}: {reported}"
        )


@pytest.mark.parametrize("loss", ["..", "1e999", [1.0], 2**70, b"1"])
def test_a_measurement_in_a_state_that_is_no_number_is_found_when_it_is_read(loss):
    row = {"step": 1, "phase": "trunk", "loss": 0.5, "lr": 1e-3, "rankme": None}
    written = {"rows": [row, {**row, "loss": float("nan")}], "spectra": {}, "budgets": [], "warnings": []}
    check_written(written)
    row["loss"] = loss
    with pytest.raises(ValueError, match=r"loss|number that is none"):
        check_written(written)
