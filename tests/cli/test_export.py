"""`sonoscale export`: a run that the command has trained, and the way back through `sonoscale measure`."""

import json

import pytest
import torch

CONFIG = """
data: {kind: procedural, clips: 16, heldout_clips: 32, seconds: 0.5, domains: [music]}
encoder: {backbone: vit, width: 16, depth: 1}
objective: {kind: mae}
train: {clip_seconds: 0.5, batch_size: 8, budgets: [2], warmup_steps: 0, rank_points: 2}
"""


@pytest.fixture
def run(sonoscale, tmp_path):
    torch.set_num_threads(1)
    (tmp_path / "run.yaml").write_text(CONFIG)
    places = ("--out", tmp_path / "runs", "--cache", tmp_path / "cache")
    result = sonoscale(
        "pretrain", tmp_path / "run.yaml", *places, "--workers", "1", "--device", "cpu", "--logger", "none"
    )
    assert result.returncode == 0, result.stderr
    (folder,) = [path for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")]
    return folder


def test_exported_and_measured_as_the_run_itself(sonoscale, measure, run, audio, tmp_path):
    specs = [str(run)]
    for to in ("xares", "hear"):
        result = sonoscale("export", run, "--to", to, "--out", tmp_path / to)
        assert result.returncode == 0, result.stderr
        assert f"wrote    {tmp_path / to / 'README.md'}" in result.stdout
        assert "differs from the run's encoder by at most " in result.stdout
        reported = next(line for line in result.stdout.splitlines() if line.startswith("measure  sonoscale measure "))
        specs.append(reported.split("'")[1])
    again = sonoscale("export", run, "--to", "hear", "--out", tmp_path / "hear")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is there already and not empty" in again.stderr
    assert sonoscale("export", run, "--to", "hear", "--out", tmp_path / "hear", "--force").returncode == 0

    records = tmp_path / "records.json"
    result = measure(specs[0], audio, "--compare", specs[1], "--compare", specs[2], "--json", records)
    assert result.returncode == 0, result.stderr
    ranks = [
        record["value"] for record in json.loads(records.read_text())["records"] if record["estimator"] == "rankme"
    ]
    assert len(ranks) == 3
    assert ranks == pytest.approx([ranks[0]] * 3, rel=1e-4)
    assert ranks[0] > 1.5


def test_what_is_wrong_is_told_in_a_line(sonoscale, tmp_path):
    result = sonoscale("export", tmp_path / "gone", "--to", "hear", "--out", tmp_path / "out")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path / 'gone'}: no such run folder or checkpoint file\n"
    unknown = sonoscale("export", tmp_path, "--to", "tflite", "--out", tmp_path / "out")
    assert unknown.returncode == 2
    assert "onnx" in unknown.stderr
    assert not (tmp_path / "out").exists()
