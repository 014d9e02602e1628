"""Data to train on: hours of it, out of anything that can be opened."""

import json

import numpy as np
import pytest
import soundfile

from sonoscale.config import validate
from sonoscale.corpora import CorpusData, FolderData, ProceduralData, open_corpus
from sonoscale.corpora._pack import pack_corpus
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig

RATE = 16_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """70 files of 1 to 3 s in two folders, the last one of 9 s."""
    root = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for i in range(70):
        folder = root / ("rain", "birds")[i % 2]
        folder.mkdir(exist_ok=True)
        seconds = 9 if i == 69 else 1 + (i % 5) / 2
        soundfile.write(folder / f"{i:02}.wav", 0.1 * rng.standard_normal(int(seconds * RATE)), RATE)
    return root


def names(corpus):
    return [corpus.name(i) for i in range(len(corpus))]


def seconds(corpus):
    return [len(corpus.wave(i)) / RATE for i in range(len(corpus))]


@pytest.mark.parametrize("hours", [20 / 3600, 0.01, 45 / 3600])
def test_hours_are_the_nearest_that_whole_clips_make(recordings, hours):
    data = FolderData(kind="folder", root=recordings, heldout_clips=32)
    everything, some = data.training(), data.model_copy(update={"hours": hours}).training()
    clips = len(some)
    assert names(some) == names(everything)[:clips]
    reached = np.cumsum(seconds(everything)) - hours * 3600
    assert all(abs(reached[clips - 1]) <= abs(reached[other]) for other in (clips - 2, clips))


def test_hours_of_synthesised_clips():
    data = validate(ProceduralData, {"hours": 0.1, "seconds": 2.0})
    assert len(data.training()) == 180
    with pytest.raises(SonoscaleError, match=r"hours = 0.004 is 7 clips, and 8 are needed"):
        validate(ProceduralData, {"hours": 0.004, "seconds": 2.0})
    with pytest.raises(SonoscaleError, match=r"batch_size = 128 .* data.clips = 90 \(data.hours = 0.05\)"):
        validate(RunConfig, {"data": {"kind": "procedural", "hours": 0.05}})


def test_hours_that_are_not_there(recordings):
    data = FolderData(kind="folder", root=recordings, heldout_clips=32, hours=1.0)
    with pytest.raises(SonoscaleError, match=r"data.hours = 1.0: .* at most 0.0\d+ hours are left to train on$"):
        data.training()
    with pytest.raises(SonoscaleError, match=r"in the proportions of data.mixture"):
        data.model_copy(update={"mixture": (("birds", 1.0),)}).training()
    with pytest.raises(SonoscaleError, match=r"data.hours = 0.0005: that is \d clips, and 8 are needed"):
        data.model_copy(update={"hours": 0.0005}).training()


def test_no_recording_is_on_both_sides(recordings):
    data = CorpusData(kind="corpus", source=str(recordings), max_seconds=1.0, heldout_clips=40)
    whole = open_corpus(recordings, max_seconds=1.0)
    held, trained = (
        {whole.group(whole_names.index(name)) for name in names(corpus)}
        for whole_names in (names(whole),)
        for corpus in (data.heldout(), data.training())
    )
    assert len(data.heldout()) == 40
    assert not held & trained
    assert len(names(whole)) > len(held | trained) == 70


def test_one_recording_alone_cannot_be_split(recordings):
    data = CorpusData(kind="corpus", source=str(recordings / "birds" / "69.wav"), max_seconds=0.2, heldout_clips=32)
    with pytest.raises(SonoscaleError, match=r"45 audio clips of 1 recordings; data.heldout_clips = 32 leaves fewer"):
        data.training()


def test_a_pack_and_a_manifest_are_trained_on_like_a_folder(recordings, tmp_path):
    pack_corpus(open_corpus(recordings), tmp_path / "pack")
    lines = [{"path": file.relative_to(recordings).as_posix(), "domain": file.parent.name.upper()}
             for file in sorted(recordings.rglob("*.wav"))]  # fmt: skip
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    folder = FolderData(kind="folder", root=recordings, heldout_clips=32, hours=0.01)
    pack = CorpusData(kind="corpus", source=str(tmp_path / "pack"), heldout_clips=32, hours=0.01)
    assert [len(wave) for wave in map(pack.training().wave, range(12))] == [
        len(wave) for wave in map(folder.training().wave, range(12))
    ]
    manifest = CorpusData(
        kind="corpus", source=str(tmp_path / "all.jsonl"), audio_root=recordings, heldout_clips=32,
        clips=10, mixture=(("BIRDS", 4.0), ("RAIN", 1.0)),
    )  # fmt: skip
    assert sum("birds" in name for name in names(manifest.training())) == 8
    with pytest.raises(SonoscaleError, match=r"no domain 'FROGS' .*; there are BIRDS, RAIN"):
        manifest.model_copy(update={"mixture": (("FROGS", 1.0),)}).training()


def test_a_source_must_be_given():
    with pytest.raises(SonoscaleError, match=r"data.source is not set.*--set data.source=PATH"):
        CorpusData(kind="corpus").training()


@pytest.mark.parametrize("mixture", [[["rain", 1], ["rain", 1]], [["rain", -1], ["birds", 2]], [["rain", 0]]])
def test_shares_written_as_a_list_are_checked_too(mixture):
    with pytest.raises(ValueError, match=r"once only|above 0"):
        FolderData(kind="folder", mixture=mixture)
