"""What is refused, what is left when something goes wrong, and that a wrong export is found out."""

import shutil
import sys
from dataclasses import replace

import pytest
import torch

from sonoscale.encoders import load_encoder, with_readouts
from sonoscale.errors import SonoscaleError
from sonoscale.export import FORMATS, _export, export
from sonoscale.export._source import read_trained
from sonoscale.own_code import import_code
from sonoscale.pretrain import unfinished_run


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_what_is_written_is_told_and_nothing_else_is_left(runs, tmp_path):
    before = set(sys.modules), list(sys.path)
    made = export(runs["vit"], "xares", tmp_path / "deep" / "out")
    assert not [name for name in set(sys.modules) - before[0] if made.hash in name]
    assert sys.path == before[1]
    assert listing(tmp_path / "deep") == ["out", *(f"out/{name}" for name in sorted(made.files))]
    files = ["README.md", "sonoscale-export.json", f"sonoscale_{made.hash}.pt", f"sonoscale_{made.hash}.py"]
    assert sorted(made.files) == files
    assert made.files["README.md"] == (made.folder / "README.md").stat().st_size
    assert made.hash == read_trained(runs["vit"]).hash
    assert made.difference <= 1e-5
    assert made.clips == 12


def test_what_is_there_is_replaced_only_if_told_so(runs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export(runs["vit"], "xares", out)  # an empty folder is as none
    before = listing(out)
    with pytest.raises(SonoscaleError, match=r"is there already and not empty.*\(force\)"):
        export(runs["conv"], "xares", out)
    assert listing(out) == before
    made = export(runs["conv"], "xares", out, force=True)
    assert listing(out) == sorted(made.files)
    assert listing(tmp_path) == ["out", *(f"out/{name}" for name in sorted(made.files))]


def test_force_replaces_nothing_but_an_export_as_it_was_written(runs, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "note.txt").write_text("mine")
    with pytest.raises(SonoscaleError, match="photos: holds no export, and only an export is replaced"):
        export(runs["vit"], "xares", other, force=True)
    out = export(runs["vit"], "hear", tmp_path / "out").folder
    (package,) = (folder for folder in out.iterdir() if folder.is_dir())
    (package / "__pycache__").mkdir()  # as it is left by a use
    (package / "__pycache__" / "a.pyc").write_text("")
    (package / "note.txt").write_text("mine")
    with pytest.raises(SonoscaleError, match=r"note\.txt: is no part of the export there, and would be lost"):
        export(runs["vit"], "hear", out, force=True)
    (package / "note.txt").unlink()
    card = (out / "README.md").read_text()
    (out / "README.md").write_text(card + "mine")
    with pytest.raises(SonoscaleError, match=r"README\.md: was changed after its export, and would be lost"):
        export(runs["vit"], "hear", out, force=True)
    (out / "README.md").write_text(card)
    assert export(runs["conv"], "hear", out, force=True).files
    assert not (package / "__pycache__").exists()
    (out / "sonoscale-export.json").write_text("{}")
    with pytest.raises(SonoscaleError, match=r"sonoscale-export\.json: not the list of an export's files"):
        export(runs["vit"], "hear", out, force=True)


def test_force_does_not_remove_the_run_nor_where_one_stands(runs, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "mine"
    shutil.copytree(runs["vit"], run)
    with pytest.raises(SonoscaleError, match="is or holds the run"):
        export(run, "xares", run.parent, force=True)
    with pytest.raises(SonoscaleError, match="is or holds the run"):
        export(run / "checkpoint.pt", "xares", run, force=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SonoscaleError, match="is or holds the current folder"):
        export(run, "xares", ".")
    assert listing(run) == listing(runs["vit"])
    (tmp_path / "file").write_text("")
    with pytest.raises(SonoscaleError, match="file: is a file; name a folder"):
        export(run, "xares", tmp_path / "file")
    with pytest.raises(SonoscaleError, match="an encoder is named by its path"):
        export(run, "xares", tmp_path / "a:b")


@pytest.mark.parametrize(
    ("to", "factor", "message"),
    [
        ("xares", 1.01, "the broken export differs from the encoder by 0.0"),
        ("xares", float("nan"), "NaN or infinity"),
        ("mteb", float("nan"), "the broken export differs from the encoder by nan"),
    ],
)
def test_an_export_that_differs_does_not_appear(runs, tmp_path, monkeypatch, to, factor, message):
    def write(trained, folder):
        name = FORMATS[to].write(trained, folder)
        (weights,) = folder.glob("*.pt")
        state = torch.load(weights, weights_only=True)
        torch.save({**state, "backbone.norm.weight": factor * state["backbone.norm.weight"]}, weights)
        return name

    monkeypatch.setitem(_export.FORMATS, "broken", replace(FORMATS[to], write=write))
    out = export(runs["conv"], "xares", tmp_path / "out").folder
    before = listing(tmp_path)
    with pytest.raises(SonoscaleError, match=message):
        export(runs["vit"], "broken", out, force=True)
    assert listing(tmp_path) == before


def test_a_move_that_fails_leaves_what_was_there(runs, tmp_path, monkeypatch):
    out = export(runs["conv"], "xares", tmp_path / "out").folder
    before = listing(tmp_path)

    class Path(type(tmp_path)):
        def replace(self, target):
            if self.name == "out" and self.parent.name.startswith(".out@"):
                raise KeyboardInterrupt
            return super().replace(target)

    monkeypatch.setattr(_export, "unfinished_folder", lambda target: Path(tmp_path / ".out@here@1"))
    with pytest.raises(KeyboardInterrupt):
        export(runs["vit"], "xares", out, force=True)
    assert listing(tmp_path) == before


def test_one_checkpoint_of_a_run_and_one_alone(runs, tmp_path):
    first = export(runs["vit"] / "checkpoint-000002.pt", "xares", tmp_path / "first")
    last = export(runs["vit"] / "checkpoint.pt", "xares", tmp_path / "last")
    assert first.hash != last.hash
    assert last.hash == read_trained(runs["vit"]).hash
    assert "Objective `mae`, 2 steps, 16 clips" in (tmp_path / "first" / "README.md").read_text()
    shutil.copy(runs["vit"] / "checkpoint.pt", tmp_path / "alone.pt")
    alone = export(tmp_path / "alone.pt", "xares", tmp_path / "alone")
    assert alone.hash == last.hash
    assert "the run's record is not there" in (tmp_path / "alone" / "README.md").read_text()


def test_what_is_no_finished_run(runs, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SonoscaleError, match="no such run folder or checkpoint file"):
        export(tmp_path / "gone", "hear", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SonoscaleError, match=r"empty: no run folder: it has no record\.json"):
        export(tmp_path / "empty", "hear", out)
    run = tmp_path / "run"
    shutil.copytree(runs["vit"], unfinished_run(run))
    (unfinished_run(run) / "record.json").unlink()
    with pytest.raises(SonoscaleError, match=r"this run is not finished .*run the same pretrain again"):
        export(run, "hear", out)
    with pytest.raises(SonoscaleError, match=r"this run is not finished \(no record\.json\)"):
        export(unfinished_run(run), "hear", out)
    torch.save({"some": "thing"}, tmp_path / "other.pt")
    with pytest.raises(SonoscaleError, match=r"other\.pt: not a Sonoscale checkpoint"):
        export(tmp_path / "other.pt", "hear", out)
    assert not out.exists()


def test_unknown_formats_and_missing_packages(runs, tmp_path, monkeypatch):
    with pytest.raises(SonoscaleError, match="tflite: no such format; choose one of hear, xares, mteb, hf, onnx"):
        export(runs["vit"], "tflite", tmp_path / "out")
    for to, package in (("hf", "transformers"), ("onnx", "onnxruntime")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(SonoscaleError, match=rf"the {to} export needs {package}: pip install 'sonoscale\[{to}\]'"):
            export(runs["vit"], to, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("readout", ["mean+std", "frequency", "frequency+std"])
def test_an_export_gives_the_readout_that_is_asked_for(runs, clips, same, tmp_path, to, readout):
    """Loaded as its users do, on clips that the export itself was not checked with."""
    if to == "xares" and readout != "frequency":
        with pytest.raises(SonoscaleError, match="X-ARES takes the mean over frames, which holds no deviation"):
            export(runs["vit"], to, tmp_path / "out", readout=readout)
        assert not (tmp_path / "out").exists()
        return
    made = export(runs["vit"], to, tmp_path / "out", readout=readout)
    assert made.readout == readout
    wave = clips(3, 20_000)
    with torch.inference_mode():
        expected = with_readouts(load_encoder(runs["vit"]), [readout]).embed(wave)
    if to == "mteb":
        (file,) = made.folder.glob("*.py")
        model = import_code(str(file), "test").SonoscaleMteb()
        found = torch.from_numpy(
            model.encode([{"audio": [{"array": w, "sampling_rate": 16_000} for w in wave.numpy()]}])
        )
    elif to == "hf":
        from transformers import AutoModel

        with torch.inference_mode():
            found = AutoModel.from_pretrained(made.folder, trust_remote_code=True)(wave).pooler_output
    else:
        assert made.spec is not None
        found = load_encoder(made.spec).embed(wave)
    same(found, expected, 1e-4 if to == "onnx" else 1e-5)
    assert f"{expected.shape[1]} numbers, readout `{readout}`" in (made.folder / "README.md").read_text()


def test_a_readout_that_is_none(runs, tmp_path):
    with pytest.raises(SonoscaleError, match="readouts: there is no 'median'"):
        export(runs["vit"], "hear", tmp_path / "out", readout="median")
