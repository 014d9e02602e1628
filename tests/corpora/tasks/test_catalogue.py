"""The catalogue of public tasks, what is found of it, and `sonoscale tasks`."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sonoscale.cli._console import console
from sonoscale.cli.main import app
from sonoscale.corpora import OpenTaskConfig, find_task
from sonoscale.corpora.tasks import KINDS, METRICS_OF, catalogue, locate_tasks
from sonoscale.errors import SonoscaleError


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.delenv("SONOSCALE_TASKS", raising=False)


@pytest.fixture
def root(tmp_path, write, encoded):
    """A HEAR task in two parts, and one of X-ARES, deep in a folder."""
    for part in ("fold0", "fold1"):
        folder = tmp_path / "hear-2021.0.6" / "tasks" / f"beehive_states_{part}-v2-full"
        folder.mkdir(parents=True)
        meta = {"task_name": f"beehive_states_{part}", "version": "v2", "mode": "full", "embedding_type": "scene",
                "prediction_type": "multiclass", "split_mode": "trainvaltest", "splits": ["train", "valid", "test"],
                "evaluation": ["aucroc"]}  # fmt: skip
        (folder / "task_metadata.json").write_text(json.dumps(meta))
        (folder / "labelvocabulary.csv").write_text("idx,label\n0,queen\n1,none\n")
        for split in meta["splits"]:
            said = {f"{split}{i}.wav": [["queen", "none"][i]] for i in range(2)}
            (folder / f"{split}.json").write_text(json.dumps(said))
            for file in said:
                write(folder / "16000" / split / file)
    folder = tmp_path / "env" / "ravdess"
    folder.mkdir(parents=True)
    for fold in range(4):
        with tarfile.open(folder / f"ravdess_fold_{fold}_0000000.tar", "w") as tar:
            for i, emotion in enumerate(("calm", "sad")):
                for suffix, content in (("wav", encoded(i)), ("json", json.dumps({"emotion": emotion}).encode())):
                    info = tarfile.TarInfo(f"{fold}-{i}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    (tmp_path / "env" / "esc50").mkdir()  # without shards: not found
    (tmp_path / "esc50-v2.0.0-full").mkdir()
    return tmp_path


def test_what_the_catalogue_holds():
    entries = catalogue()
    assert sum(entry.suite == "hear" for entry in entries) == 19
    assert sum(entry.suite == "xares" for entry in entries) == 22
    assert len({entry.name for entry in entries}) == 41
    for entry in entries:
        assert entry.citation
        assert entry.source.startswith("http")
        assert entry.scheme == "folds" or {"train", "test"} <= set(entry.splits)
        assert entry.scheme == "split" or len(entry.splits) >= 3
        assert entry.class_names is None or len(set(entry.class_names)) == entry.classes
        if entry.suite == "hear":
            assert entry.metric in METRICS_OF[entry.kind]
        else:
            assert set(entry.patterns()) == {str(split) for split in entry.splits}
        if entry.probed and entry.suite == "xares":
            assert entry.shard_task().rule.kind in KINDS
    assert [entry.name for entry in entries if not entry.probed] == ["xares/clotho", "xares/librispeech"]


def test_tasks_are_found_below_a_root(root, monkeypatch):
    found = locate_tasks([root])
    assert {name: [folder.name for folder in folders] for name, folders in found.items()} == {
        "hear/beehive_states": ["beehive_states_fold0-v2-full", "beehive_states_fold1-v2-full"],
        "xares/ravdess": ["ravdess"],
    }
    assert locate_tasks() == {}
    monkeypatch.setenv("SONOSCALE_TASKS", f"{root / 'env'}:{root / 'hear-2021.0.6'}")
    assert locate_tasks() == found


def test_a_task_is_opened_by_name(root, monkeypatch):
    task = find_task("ravdess", [root])
    assert task.name == "xares/ravdess"
    assert task.labels == ("calm", "sad") * 4
    assert task.folds == tuple("00112233")
    assert task.classes is not None
    assert len(task.classes) == 8
    assert task.citation.startswith("Livingstone")
    monkeypatch.setenv("SONOSCALE_TASKS", str(root))
    task = find_task("hear/beehive_states", part="beehive_states_fold1-v2-full", name="bees", metric="mAP")
    assert (task.name, task.metric, task.licence) == ("bees", "mAP", "CC BY 4.0")
    assert task.notes == ("hear takes the mean over beehive_states_fold0-v2-full and beehive_states_fold1-v2-full",)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("hear/esc5", {}, "no task 'hear/esc5' in the catalogue; did you mean 'hear/esc50'"),
        ("esc50", {}, "in several suites: hear/esc50, xares/esc50"),
        ("hear/esc50", {}, "no folder esc50-v2.0.0-full with its files in .*; get it from https://github.com"),
        ("hear/beehive_states", {}, "mean of 2 parts; open each, with part='beehive_states_fold0-v2-full'"),
        ("hear/beehive_states", {"part": "x"}, "no part 'x'"),
        ("xares/librispeech", {}, "a transcription task, which is not probed here"),
        ("xares/clotho", {}, "a captions task, which is not probed here: .* needs text: not offered.*--to xares"),
    ],
)
def test_a_task_that_is_not_there(root, name, options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        find_task(name, [root], **options)


def test_roots_that_are_not_there(root, monkeypatch):
    with pytest.raises(SonoscaleError, match="absent: no such folder of tasks"):
        find_task("ravdess", [root / "absent"])
    with pytest.raises(SonoscaleError, match=r"no folder \(give roots, or set SONOSCALE_TASKS\)"):
        find_task("ravdess")
    monkeypatch.setenv("SONOSCALE_TASKS", "/absent")
    with pytest.raises(SonoscaleError, match=r"/absent: no such folder of tasks \(from SONOSCALE_TASKS\)"):
        find_task("ravdess")


def test_as_configuration(root, monkeypatch):
    config = OpenTaskConfig(kind="open", name="emotion", source="env/ravdess", label="/emotion")
    assert config.load(root).labels == ("calm", "sad") * 4
    assert config.load(root).name == "emotion"
    monkeypatch.setenv("SONOSCALE_TASKS", str(root))
    named = OpenTaskConfig(kind="open", name="emotion", source="xares/ravdess", metric="mAP").load(Path("/"))
    assert (named.name, named.metric, named.folds) == ("emotion", "mAP", tuple("00112233"))


def test_the_command(root, monkeypatch):
    monkeypatch.setattr(console, "_width", 200)

    def run(*arguments):
        result = CliRunner().invoke(app, ["tasks", *arguments], env={"COLUMNS": "200"})
        return result.output if result.exception is None else str(result.exception)

    everything = run()
    assert "hear/esc50" in everything
    assert "41 tasks, 0 found; say with --root or SONOSCALE_TASKS where to look" in everything
    here = run("--root", str(root), "--found", "--suite", "xares")
    assert "xares/ravdess" in here
    assert "esc50" not in here
    assert "1 tasks, 1 found" in here
    about = run("hear/esc50", "--root", str(root))
    assert "https://github.com/karolpiczak/ESC-50" in about
    assert "not found" in about
    captions = run("clotho")
    assert "captions" in captions
    assert "which needs text: not offered" in captions
    assert "no task 'nope' in the catalogue" in run("nope")
    assert "there are hear, xares" in run("--suite", "nope")
