"""Audio in files: what is found, what identifies it, what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import FileCorpus, FolderData, FolderTaskConfig, read_task
from sonoscale.errors import SonoscaleError


def write_clip(path, seed=0, samples=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), 16_000)


@pytest.fixture
def folder(tmp_path):
    for i in range(60):
        write_clip(tmp_path / "audio" / f"part{i % 3}" / f"{i:02d}.{'wav' if i % 2 else 'flac'}", seed=i)
    (tmp_path / "audio" / "notes.txt").write_text("not audio")
    return tmp_path


def write_task(folder, rows, columns=("path", "label", "fold")):
    file = folder / "metadata.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    return file


def rows_of(folder, fold=lambda i: i % 3, label=lambda i: f"class{i // 3 % 2}"):
    paths = sorted(p.relative_to(folder).as_posix() for p in (folder / "audio").rglob("*.*") if p.suffix != ".txt")
    return [(path, label(i), fold(i)) for i, path in enumerate(paths)]


def test_finds_all_audio_and_nothing_else(folder):
    corpus = FileCorpus.from_folder(folder / "audio")
    assert len(corpus) == 60
    assert corpus.wave(3).shape == (8000,)


def test_identity_follows_content_not_place(folder, tmp_path_factory):
    before = FileCorpus.from_folder(folder / "audio").identity
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    (folder / "audio").rename(moved)
    assert FileCorpus.from_folder(moved).identity == before
    write_clip(moved / "part0" / "00.flac", seed=99)
    assert FileCorpus.from_folder(moved).identity != before


def test_subsets_are_nested_and_apart_from_the_held_out(folder):
    def names(data, clips):
        corpus = data.model_copy(update={"clips": clips}).training()
        return [corpus.name(i) for i in range(len(corpus))]

    data = FolderData(kind="folder", root=folder, audio=Path("audio"), heldout_clips=32)
    everything, few = names(data, None), names(data, 10)
    heldout = data.heldout()
    held = {heldout.name(i) for i in range(len(heldout))}
    assert everything[:10] == few
    assert len(everything) == 28
    assert not held & set(everything)
    assert len(held | set(everything)) == 60


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"root": None}, "data.root is not set.*--set data.root=PATH"),
        ({"root": "/no/such/place"}, "data.root = /no/such/place: no such folder"),
        ({"audio": "absent"}, "absent: no such folder"),
        ({"heldout_clips": 58}, "60 audio clips of 60 recordings; data.heldout_clips = 58"),
        ({"clips": 40}, "data.clips = 40: .* at most 28"),
    ],
)
def test_data_that_is_not_there(folder, change, expected):
    data = FolderData(**{"kind": "folder", "root": folder, "audio": "audio", "heldout_clips": 32, **change})
    with pytest.raises(SonoscaleError, match=expected):
        data.training()


def test_empty_folder(tmp_path):
    with pytest.raises(SonoscaleError, match="no audio files in this folder"):
        FileCorpus.from_folder(tmp_path)


def test_a_task_keeps_its_folds(folder):
    write_task(folder, rows_of(folder))
    task = FolderTaskConfig(kind="folder", name="toy", metadata=Path("metadata.csv")).load(folder)
    assert task.scheme == "folds"
    assert sorted(set(task.folds)) == ["0", "1", "2"]
    assert task.corpus.name(0).endswith(rows_of(folder)[0][0])


def test_a_task_may_name_its_columns_and_have_a_split(folder):
    parts = ["train", "valid", "test"]
    rows = [(p, c, parts[f]) for p, c, f in rows_of(folder)]
    write_task(folder, rows, columns=("path", "animal", "split"))
    assert read_task("toy", folder / "metadata.csv", audio_root=folder, label="animal").scheme == "split"


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("Train", "val", "TEST"), ("training", "dev", "test")]
)
@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_split_under_other_names_is_not_cross_validated(folder, names, column):
    write_task(folder, [(p, c, names[f]) for p, c, f in rows_of(folder)], columns=("path", "label", column))
    task = read_task("toy", folder / "metadata.csv", audio_root=folder)
    assert task.scheme == "split"
    assert set(task.folds) == {"train", "valid", "test"}


def test_a_metadata_file_in_another_encoding(folder):
    (folder / "metadata.csv").write_bytes("path,label,fold\nä.wav,ö,1\n".encode("latin-1"))
    with pytest.raises(SonoscaleError, match="not readable as text in UTF-8"):
        read_task("toy", folder / "metadata.csv", audio_root=folder)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (lambda r: r, ("path", "klass", "fold"), "no column 'label'; its columns are path, klass, fold"),
        (lambda r: r, ("sound", "label", "fold"), "no column of paths .looked for path, file, "),
        (lambda r: r, ("path", "label", "part"), "no column 'fold'"),
        (lambda r: [], ("path", "label", "fold"), "no rows"),
        (lambda r: [*r[:4], ("absent.wav", "class0", 1)], ("path", "label", "fold"), "line 6: no such audio file"),
        (lambda r: [*r[:4], (r[4][0], "", 1)], ("path", "label", "fold"), "line 6: no value in column 'label'"),
        (lambda r: [(p, c, 1) for p, c, _ in r], ("path", "label", "fold"), "1 fold"),
        (lambda r: [(p, "same", f) for p, _, f in r], ("path", "label", "fold"), "every clip has the label 'same'"),
        (lambda r: [(p, "class0" if f == 2 else c, f) for p, c, f in r], ("path", "label", "fold"),
         "fold '2' holds one class only .'class0'"),
        (lambda r: [(p, c, ["train", "test", "test"][f]) for p, c, f in r], ("path", "label", "split"),
         "needs train, valid and test"),
        (lambda r: [(p, c, ["train", "eval", "test"][f]) for p, c, f in r], ("path", "label", "split"),
         "'eval' is not a part of a split"),
        (lambda r: [*r, r[0]], ("path", "label", "fold"), "line 62: .* is in line 2 already"),
        (lambda r: [(p, "rare" if p == r[0][0] else c, f) for p, c, f in r], ("path", "label", "fold"),
         "class 'rare' of fold '0' is in no other fold"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_used(folder, rows, columns, expected):
    write_task(folder, rows(rows_of(folder)), columns)
    with pytest.raises(SonoscaleError, match=expected):
        read_task("toy", folder / "metadata.csv", audio_root=folder)


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    """60 files of speech, 30 of music, 10 of engines."""
    root = tmp_path_factory.mktemp("domains")
    for name, files in (("speech", 60), ("music", 30), ("engines", 10)):
        (root / name).mkdir()
        for i in range(files):
            (root / name / f"{i}.wav").write_bytes(bytes([i]))  # nothing here is decoded
    return root


def shares(corpus):
    names = [Path(corpus.name(i)).parent.name for i in range(len(corpus))]
    return {name: names.count(name) for name in sorted(set(names))}


def test_domains_are_mixed_as_asked_in_every_nested_subset(domains):
    plain = FolderData(kind="folder", root=domains, heldout_clips=32)
    data = FolderData(**{**plain.model_dump(), "mixture": {"music": 3, "engines": 1}})
    everything = data.training()
    assert 12 <= len(everything) <= 40
    for clips in (8, 12):
        some = data.model_copy(update={"clips": clips}).training()
        assert shares(some) == {"engines": clips // 4, "music": 3 * clips // 4}
        assert [some.name(i) for i in range(8)] == [everything.name(i) for i in range(8)]
    heldout = {plain.heldout().name(i) for i in range(32)}
    assert heldout == {data.heldout().name(i) for i in range(32)}  # whatever is trained on
    assert not heldout & {everything.name(i) for i in range(len(everything))}
    assert data.training().identity != plain.training().identity
    assert FolderData(**data.model_dump()) == data


def test_mixtures_that_cannot_be(domains):
    def mixed(mixture, **more):
        return FolderData(kind="folder", root=domains, heldout_clips=32, mixture=mixture, **more)

    with pytest.raises(SonoscaleError, match=r"no folder 'birds' in .*; there are engines, music, speech"):
        mixed({"birds": 1}).training()
    with pytest.raises(SonoscaleError, match=r"data.clips = 60: .* in the proportions of data.mixture"):
        mixed({"music": 1, "speech": 1}, clips=60).training()
    with pytest.raises(ValueError, match="each share must be a number above 0"):
        mixed({"music": 0})
