"""`sonoscale measure --out`: both forms of the command write a page."""

import sys
import types

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from sonoscale.cli.main import app
from sonoscale.errors import SonoscaleError


class Bands:
    """An encoder by someone else: the energy in eight bands, and its logarithm, of two layers."""

    sample_rate, dim, layers, min_samples = 16_000, 8, 2, 400
    identity = "bands"

    def embed_layers(self, wave):
        power = torch.fft.rfft(wave).abs().square()
        bands = torch.stack([part.mean(dim=1) for part in power.tensor_split(8, dim=1)], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]

    def embed_frames(self, wave):
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path):
    """24 clips of half a second, with a manifest of their kinds."""
    rng, lines = np.random.default_rng(0), ["path,kind"]
    for i in range(24):
        tone = np.sin(2 * np.pi * rng.uniform(100, 7000) * np.arange(8000) / 16_000)
        soundfile.write(tmp_path / f"{i:02d}.wav", 0.2 * tone + 0.01 * rng.standard_normal(8000), 16_000)
        lines.append(f"{i:02d}.wav,{'low' if i % 2 else 'high'}")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    return tmp_path


def measure(*arguments):
    result = CliRunner().invoke(app, ["measure", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_of_encoders(folder, monkeypatch):
    module = types.ModuleType("made_for_this_test")
    module.one = module.two = Bands  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    specs = [f"python:{module.__name__}:{name}" for name in ("one", "two")]
    out = folder / "o.html"
    result = measure(
        specs[0], folder / "clips.csv", "--compare", specs[1], "--layers", "--group", "kind", "--durations", "0.25,0.5",
        "--blocks", "4", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"page     {out}" in result.output
    page = out.read_text(encoding="utf-8")
    for name in ("overview", "layers", "durations", "groups", "estimators", "differences"):
        assert f'<section id="{name}">' in page
    assert 'id="skipped"' not in page
    for reported in (*specs, "24 clips", "<dt>blocks</dt><dd>4</dd>", "<dt>durations</dt><dd>0.25, 0.5</dd>"):
        assert reported in page
    assert "o.html" not in page
    assert not list(folder.glob(".*"))


def test_of_files(tmp_path):
    rows = np.random.default_rng(0).standard_normal((200, 6))
    for name, shift in (("a", 0.0), ("b", 1.0)):
        np.save(tmp_path / f"{name}.npy", rows + shift)
    out = tmp_path / "o.html"
    result = measure("--embeddings", tmp_path / "a.npy", tmp_path / "b.npy", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"page     {out}" in result.output
    page = out.read_text(encoding="utf-8")
    assert "<h1>Effective rank of a.npy and b.npy</h1>" in page
    assert '<section id="differences">' in page
    assert '<section id="layers">' not in page


@pytest.mark.parametrize(
    ("name", "message"),
    [("o.htm", "must end in .html, in a folder that exists"), ("none/o.html", "in a folder that exists")],
)
def test_what_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, name, message):
    with pytest.raises(SonoscaleError, match=message):
        measure("--embeddings", tmp_path / "no such file.npy", "--out", tmp_path / name)


def test_a_file_that_is_measured_is_not_overwritten(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(4))
    (tmp_path / "o.html").symlink_to(tmp_path / "a.npy")
    with pytest.raises(SonoscaleError, match="would be overwritten"):
        measure("--embeddings", tmp_path / "a.npy", "--out", tmp_path / "o.html")
