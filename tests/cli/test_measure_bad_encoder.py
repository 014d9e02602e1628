"""Faulty encoders at `sonoscale measure ENCODER AUDIO`: one clear error that names what is at fault."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch

FAULTY = """
import torch

class Model:
    sample_rate, dim = 16_000, 4
    calls = 0

    def good(self, wave):
        return torch.stack([part.square().mean(dim=1) for part in wave.tensor_split(4, dim=1)], dim=1)

    def embed(self, wave):
        self.calls += 1
        return self.change(self.good(wave), wave)

    def change(self, out, wave):
        return out

class Overwrites(Model):
    def change(self, out, wave):
        wave.zero_()
        return out

class Nan(Model):
    def change(self, out, wave):
        return out * torch.nan

class Loud(Model):
    def change(self, out, wave):
        return out.where(wave.amax(dim=1, keepdim=True) < 0.9, torch.nan)

class Shape(Model):
    def change(self, out, wave):
        return out[:, :3]

class Clips(Model):
    def change(self, out, wave):
        return out.mean(dim=0, keepdim=True)

class Later(Model):
    def change(self, out, wave):
        return out if self.calls < 3 else torch.cat([out, out], dim=1)

class Raises(Model):
    def change(self, out, wave):
        raise ValueError("no mercy\\nat all")

class List(Model):
    def change(self, out, wave):
        return out.tolist()

class Mixes(Model):
    def change(self, out, wave):
        return out - out.mean(dim=0)

class Exits(Model):
    def change(self, out, wave):
        raise SystemExit

class Widthless:
    sample_rate = 16_000

    def embed(self, wave):
        return wave[:, :4]

def broken():
    raise OSError("the weights are gone")
"""


@pytest.fixture
def good(tmp_path, waves):
    """A folder of 40 clips."""
    (tmp_path / "clips").mkdir()
    for i, wave in enumerate(waves[:40]):
        soundfile.write(tmp_path / "clips" / f"{i:02d}.wav", wave, 16_000, subtype="FLOAT")
    return tmp_path / "clips"


@pytest.fixture
def faulty(tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    return tmp_path / "faulty.py"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nan", "embed gave NaN or infinity for clip 0 of 1 (processing CLIPS/00.wav)"),
        ("Shape", "embed gave a shape of [1, 3], not [1, 4] (1 clips, 4 dimensions) (processing CLIPS/00.wav)"),
        ("Clips", "embed gave a shape of [1, 4], not ["),
        ("Later", "embed gave a shape of ["),
        ("Raises", "embed failed on [1, 8000]: ValueError: no mercy (processing CLIPS/00.wav)"),
        ("Exits", "embed failed on [1, 8000]: SystemExit (processing CLIPS/00.wav)"),
        ("List", "embed gave a list, not a tensor"),
        ("Mixes", "a clip's embedding depends on the other clips in its batch"),
        ("Widthless", "Widthless has no dim"),
        ("broken", "broken() failed: OSError: the weights are gone"),
        ("none", "has no none"),
        ("FAULTY", "has no FAULTY"),
    ],
)
def test_a_faulty_encoder(tmp_path, refused, faulty, good, name, message):
    soundfile.write(good / "loud.wav", np.r_[np.zeros(7999), 0.95], 16_000)
    error = refused(f"python:{faulty}:{name}", good, "--json", tmp_path / "o.json")
    assert error.startswith(f"python:{faulty}:{name}")
    assert message.replace("CLIPS", str(good)) in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("python:gone.py:Bands", "no such file: gone.py"),
        ("xares:gone.py", "no such file: gone.py"),
        ("onnx:gone.onnx?rate=16000", "no such file: gone.onnx"),
        ("python:no_such_package.mine:Bands", "no module named no_such_package; install it"),
        ("hear:no_such_package", "no module named no_such_package; install it"),
        ("python:mine.py", "write python:module:factory"),
        ("magic:mine", "magic: is no kind of encoder; kinds: hear, hf, logmel, onnx, python,"),
        ("gone", "gone: no such run folder or checkpoint file"),
        ("hf:./gone", "no such folder; write hf:owner/name"),
    ],
)
def test_an_encoder_that_is_not_there(tmp_path, monkeypatch, refused, audio, spec, message):
    monkeypatch.chdir(tmp_path)
    error = refused(spec, audio)
    assert error.startswith(f"{spec}: ")
    assert message in error


@pytest.mark.parametrize("extra", ["hf", "onnx", "ray"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, refused, encoders, audio, extra):
    (tmp_path / "a.onnx").write_bytes(b"")
    package, *arguments = {
        "hf": ("transformers", "hf:owner/name"),
        "onnx": ("onnxruntime", f"onnx:{tmp_path / 'a.onnx'}?rate=16000"),
        "ray": ("ray", f"python:{encoders}:Bands", "--executor", "ray"),
    }[extra]
    monkeypatch.setitem(sys.modules, package, None)
    assert f"pip install 'sonoscale[{extra}]'" in refused(arguments[0], audio, *arguments[1:])


def test_layers_of_an_encoder_that_has_none(refused, encoders, audio):
    error = refused(f"python:{encoders}:Flatter", audio, "--layers")
    assert f"python:{encoders}:Flatter" in error
    assert "gives no layers to measure" in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_gpu_where_there_is_none(refused, encoders, audio):
    for device in ("cuda", "cuda:7"):
        error = refused(f"python:{encoders}:Bands", audio, "--device", device)
        assert f"device = '{device}': PyTorch finds no GPU here; use cpu" in error


def test_a_clip_that_the_encoder_cannot_take_is_left_out_and_listed(tmp_path, measure, refused, faulty, good):
    soundfile.write(good / "loud.wav", np.r_[np.zeros(7999), 0.95], 16_000)
    command = [f"python:{faulty}:Loud", good, "--json", tmp_path / "o.json"]
    result = measure(*command)
    assert result.returncode == 0, result.stderr
    (encoder,) = json.loads((tmp_path / "o.json").read_text())["encoders"]
    assert encoder["clips"] == 40
    assert [each["name"].rsplit("/", 1)[-1] for each in encoder["skipped"]] == ["loud.wav"]
    assert "gave NaN or infinity" in encoder["skipped"][0]["reason"]
    assert "1 of 41 clips cannot be processed, more than the 0.0% allowed" in refused(*command, "--max-skipped", 0)


def test_a_later_one_that_fails_loses_nothing_already_computed(tmp_path, measure, encoders, audio, faulty):
    first, out = f"python:{encoders}:Bands", tmp_path / "o.json"
    assert measure(first, audio, "--json", out).returncode == 0
    alone = json.loads(out.read_text())["records"]
    out.unlink()
    page, figure = tmp_path / "o.html", tmp_path / "o.png"
    second = f"python:{faulty}:Raises"
    result = measure(first, audio, "--compare", second, "--json", out, "--out", page, "--plot", figure)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {second}")
    assert "rankme_centred" in result.stdout
    assert json.loads(out.read_text())["records"] == alone
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert str(first) in page.read_text()
    assert str(second) not in page.read_text()


@pytest.mark.parametrize("options", [["none"], ["Model", "--layers"]])
def test_a_later_one_that_cannot_be_measured_is_told_at_once(tmp_path, measure, encoders, audio, faulty, options):
    first, second = f"python:{encoders}:Bands", f"python:{faulty}:{options[0]}"
    result = measure(first, audio, "--compare", second, "--json", tmp_path / "o.json", *options[1:])
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {second}")
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)", "import sys\ndef Mine():\n    sys.exit(0)"])
def test_code_that_ends_the_program_is_an_error_and_no_success(tmp_path, refused, audio, text):
    (tmp_path / "script.py").write_text(text)
    assert "failed: SystemExit: 0" in refused(f"python:{tmp_path / 'script.py'}:Mine", audio)


def test_one_that_overwrites_its_input_is_measured_as_any_other(tmp_path, measure, audio, faulty):
    found = []
    for name in ("Model", "Overwrites"):
        result = measure(f"python:{faulty}:{name}", audio, "--json", tmp_path / "o.json")
        assert result.returncode == 0, result.stderr
        found.append([r["value"] for r in json.loads((tmp_path / "o.json").read_text())["records"]])
    assert found[0] == found[1]
