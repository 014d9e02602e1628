"""`sonoscale probe`, in this process."""

import json
import sys

import numpy as np
import pytest
import soundfile

from sonoscale.cli import main

RATE = 16_000
SLOW = """
import torch

class Slow:
    sample_rate, dim = 8_000, 2

    def embed(self, wave):
        return torch.stack([wave.square().mean(dim=1), wave.diff(dim=1).square().mean(dim=1)], dim=1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tones in noise, five folds of twelve, and a table without folds."""
    root = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(60):
        pitch = (300, 1200)[i % 2]
        wave = 0.05 * np.sin(2 * np.pi * pitch * np.arange(RATE // 2) / RATE) + 0.05 * rng.standard_normal(RATE // 2)
        soundfile.write(root / f"{i}.wav", wave, RATE)
        lines.append(f"{i}.wav,{pitch},{i // 2 % 5}")
    (root / "metadata.csv").write_text("\n".join(["path,label,fold", *lines]))
    (root / "missing.csv").write_text("path,label,fold\ngone.wav,a,0\n")
    return root


def run(monkeypatch, capsys, *arguments):
    """Exit status, output and errors of the command."""
    monkeypatch.setattr(sys, "argv", ["sonoscale", "probe", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main.run()
    out, err = capsys.readouterr()
    return done.value.code or 0, out, err


def test_encoders_baselines_and_protocols(folder, tmp_path, monkeypatch, capsys):
    code, out, err = run(
        monkeypatch, capsys, "logmel:16", "--compare", "logmel:8", "--task", folder, "--protocol", "linear",
        "--protocol", "knn", "--json", tmp_path / "scores.json", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert code == 0, err
    content = json.loads((tmp_path / "scores.json").read_text())
    found = {(s["encoder"], s["protocol"]): s for s in content["scores"]}
    assert {key[0] for key in found} == {"logmel:16", "logmel:8", "logmel"}  # the last is the baseline
    for score in found.values():
        assert score["task"] == folder.name
        assert score["low"] <= score["score"] <= score["high"]
        assert score["chance"] == 0.5
    (agreement,) = content["agreement"] or [None]  # three encoders; none if all score the same
    assert agreement is None or agreement["encoders"] == 3
    assert "logmel:16" in out
    assert "chance" in out


def test_each_task_has_its_own_chance(folder, tmp_path, sonoscale):
    rows = (folder / "metadata.csv").read_text().splitlines()[1:]
    for classes in (2, 4, 5):
        made = [f"{r.split(',')[0]},c{i % classes},{i // classes % 3}" for i, r in enumerate(rows)]
        (folder / f"by{classes}.csv").write_text("\n".join(["path,label,fold", *made]))
    tables = [option for classes in (4, 2, 5) for option in ("--task", folder / f"by{classes}.csv")]
    result = sonoscale("probe", "logmel:16", "--no-baselines", *tables, "--protocol", "knn", "--protocol", "linear",
                       "--json", tmp_path / "scores.json", "--cache", tmp_path / "cache")  # fmt: skip
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert [(s["task"], s["protocol"][:3], round(s["chance"], 9)) for s in scores] == [
        (f"by{classes}", protocol, 1 / classes) for classes in (4, 2, 5) for protocol in ("knn", "lin")
    ]
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines() if line.startswith("chance")]
    assert rows == [["chance", ".250", ".500", ".200"]] * 2


def test_training_audio_is_looked_for_at_the_rate_of_the_encoder(folder, tmp_path, sonoscale):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "pool").mkdir()
    for i in (7, 8, 30):
        (tmp_path / "pool" / f"other{i}.wav").write_bytes((folder / f"{i}.wav").read_bytes())
    result = sonoscale("probe", f"python:{tmp_path / 'slow.py'}:Slow", "--compare", "logmel:16", "--task", folder,
                       "--protocol", "knn", "--trained-on", tmp_path / "pool", "--cache", tmp_path / "cache",
                       "--json", tmp_path / "scores.json")  # fmt: skip
    assert result.returncode == 0, result.stderr
    slow, *others = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert any("3 of 60 clips (5.0%) were in the pre-training data" in warning for warning in slow["warnings"])
    assert not any("pre-training" in warning for other in others for warning in other["warnings"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task", "FOLDER/missing.csv"], "no such audio file"),
        (["--task", "FOLDER/none.csv"], "no such"),
        (["--task", "FOLDER", "--protocol", "magic"], "no protocol 'magic'; there are linear, knn"),
        (["--task", "FOLDER", "--label", "colour"], "no column 'colour'"),
        (["--task", "FOLDER", "--json", "/no/where.json"], "/no/where.json: cannot be written"),
        (["--task", "FOLDER", "--json", "/tmp/scores.txt"], "/tmp/scores.txt: must end in .json"),
        (["--task", "FOLDER", "--trained-on", "/no/such"], "/no/such: no such file or folder"),
        (["--task", "hear/esc50"], "hear/esc50"),
        (["--task", "FOLDER", "--task", "FOLDER/metadata.csv"], "two tasks are called"),
        (["--task", "FOLDER", "--layers"], "gives no layers"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_embedded(folder, tmp_path, monkeypatch, capsys, arguments, expected):
    arguments = [each.replace("FOLDER", str(folder)) for each in arguments]
    monkeypatch.setenv("SONOSCALE_TASKS", str(tmp_path))
    code, _, err = run(
        monkeypatch, capsys, "logmel:", "--no-baselines", "--cache", tmp_path / "cache", *arguments
    )  # fmt: skip
    assert code != 0
    assert expected in err
    assert "Traceback" not in err
    assert not list((tmp_path / "cache").glob("embeddings-*")) if (tmp_path / "cache").exists() else True


def test_readouts_are_named_in_table_and_file(folder, tmp_path, monkeypatch, capsys):
    file = tmp_path / "scores.json"
    arguments = ("logmel:16", "--task", folder, "--protocol", "knn", "--no-baselines", "--cache", tmp_path)
    code, out, _ = run(monkeypatch, capsys, *arguments, "--readout", "mean", "--readout", "frequency", "--json", file)
    assert code == 0
    assert "\nknn/1\n" in out
    assert "\nknn/1, frequency\n" in out
    scores = json.loads(file.read_text())["scores"]
    assert [(score["readout"], score["dim"]) for score in scores] == [("mean", 32), ("frequency", 16)]
