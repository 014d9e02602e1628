"""Bad input at the command: one clear line, a non-zero exit status, no traceback."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from commands import run_command

STUDY = """
name: real
data: {kind: folder, root: ROOT, audio: pool, heldout_clips: 32}
encoder: {backbone: vit, width: 8, depth: 1}
objective: {kind: mae}
train: {clip_seconds: 0.5, batch_size: 8, budgets: [4], warmup_steps: 0, rank_points: 2}
seeds: [0]
law: {bootstrap: 100}
workers: 1
tasks:
  - {kind: folder, name: toy, metadata: toy.csv}
"""


@pytest.fixture
def data(tmp_path):
    """A folder of real files: a pool and a task of two classes in three folds."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    (root / "pool").mkdir(parents=True)
    (root / "toy").mkdir()
    for i in range(44):
        soundfile.write(root / "pool" / f"{i:02d}.flac", 0.1 * rng.standard_normal(9000), 16_000)
    lines = ["path,label,fold"]
    for i in range(18):
        soundfile.write(root / "toy" / f"{i:02d}.wav", 0.1 * rng.standard_normal(9000), 16_000)
        lines.append(f"toy/{i:02d}.wav,{'ab'[i % 2]},{i // 2 % 3}")
    (root / "toy.csv").write_text("\n".join(lines))
    return root


def run_study(data, tmp_path, *arguments, text=STUDY):
    file = tmp_path / "study.yaml"
    file.write_text(text.replace("ROOT", str(data)))
    return run_command("study", "run", file, "--out", tmp_path / "out", "--cache", tmp_path / "cache", *arguments)


def lone_error(result):
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_good_input_for_comparison(data, tmp_path):
    result = run_study(data, tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def remove(file):
    file.unlink()


def corrupt(file):
    file.write_bytes(b"no sound in here")


def with_nan(file):
    wave = np.zeros(9000, np.float32)
    wave[77] = np.nan
    soundfile.write(file, wave, 16_000, subtype="FLOAT")


def shorter_than_a_patch(file):
    soundfile.write(file, np.full(1500, 0.1), 16_000)


@pytest.mark.parametrize(
    ("damage", "file", "expected"),
    [
        (remove, "toy/04.wav", ["toy.csv", "line 6", "toy/04.wav"]),
        (remove, "toy.csv", ["toy.csv", "no such file"]),
        (corrupt, "toy/04.wav", ["toy/04.wav", "cannot be decoded"]),
        (corrupt, "pool/04.flac", ["pool/04.flac", "cannot be decoded"]),
        (with_nan, "toy/07.wav", ["toy/07.wav", "NaN", "sample 77"]),
        (
            shorter_than_a_patch,
            "toy/07.wav",
            ["toy/07.wav", "shorter than one patch of 16 frames", "0.182 s"],
        ),
    ],
)
def test_damaged_files(data, tmp_path, damage, file, expected):
    damage(data / file)
    message = lone_error(run_study(data, tmp_path))
    for part in expected:
        assert part in message
    assert not list((tmp_path / "out").glob("runs/*"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.root=/no/such/folder", "data.root = /no/such/folder: no such folder"),
        ("data.root=null", "--set data.root=PATH"),
        ("encoder.dept=3", "did you mean 'encoder.depth'"),
        ("objective.mask_ratio=2", "objective.mask_ratio = 2"),
        (
            "tasks=[{kind: folder, name: toy, metadata: toy.csv, label: klass}]",
            "no column 'klass'; its columns are",
        ),
        ("sweep={encoder.width: [8, 10]}", "run 'width=10'"),
    ],
)
def test_bad_settings(data, tmp_path, override, expected):
    assert expected in lone_error(run_study(data, tmp_path, "--set", override))


def test_empty_pool(data, tmp_path):
    for file in (data / "pool").iterdir():
        file.unlink()
    assert "no audio files in this folder" in lone_error(run_study(data, tmp_path))


def test_tasks_inside_the_pool(data, tmp_path):
    message = lone_error(run_study(data, tmp_path, "--set", "data.audio=."))
    assert "task toy: 18 of its clips are pre-training data too" in message


def test_a_fold_with_one_class(data, tmp_path):
    text = (data / "toy.csv").read_text().replace(",b,1", ",a,1")
    (data / "toy.csv").write_text(text)
    assert "fold '1' holds one class only ('a')" in lone_error(run_study(data, tmp_path))


def test_an_output_folder_that_is_a_file(data, tmp_path):
    (tmp_path / "out").write_text("in the way")
    assert str(tmp_path / "out") in lone_error(run_study(data, tmp_path))


@pytest.mark.slow
def test_a_failed_run_is_said_and_the_others_are_kept(data, tmp_path):
    overrides = ["sweep={train.lr: [1.0]}", "train.lr=1e-9", "train.lr_width=100000000", "train.grad_clip=1e30"]
    result = run_study(data, tmp_path, *(f"--set={o}" for o in [*overrides, "train.budgets=[60]"]))
    assert result.returncode == 1
    assert "1 run(s) failed; the others are kept" in result.stderr
    assert "lr=1, seed 0: diverged: the loss became" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize("arguments", [["study", "run", "absent.yaml"], ["study", "report", "absent"]])
def test_absent_files(arguments):
    assert "absent" in lone_error(run_command(*arguments))


def test_version_and_help():
    """Here alone by an interpreter of its own."""

    def command(*arguments):
        started = [sys.executable, "-m", "sonoscale", *arguments]
        return subprocess.run(started, capture_output=True, text=True, timeout=120, check=True).stdout

    assert command("--version").startswith("sonoscale ")
    assert "preview" in command("data", "--help")


@pytest.mark.parametrize("verb", [("pretrain",), ("study", "run")])
def test_a_misspelt_key_is_answered_before_anything_heavy_is_imported(tmp_path, verb):
    file = tmp_path / "run.yaml"
    study = "name: x\ndata: {kind: procedural}\ntasks: [{kind: procedural, name: word}]\n"
    file.write_text(study if verb[0] == "study" else "{}")
    code = (
        "import sys; from sonoscale.cli.main import run\n"
        "try: run()\n"
        "finally: print([m for m in ('torch', 'scipy', 'pyarrow', 'soundfile') if m in sys.modules])"
    )
    arguments = [sys.executable, "-c", code, *verb, file, "--set", "encoder.widht=64"]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == f"error: {file}: unknown key 'encoder.widht'; did you mean 'encoder.width'?\n"
    assert result.stdout == "[]\n"
