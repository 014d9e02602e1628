"""`sonoscale pretrain`: what is refused before any audio is read, a full disk, and what loggers get."""

import errno
import os
import struct
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

from sonoscale.pretrain import _loop

CONFIG = """
data: {kind: procedural, clips: 16, heldout_clips: 32, seconds: 0.5, domains: [music]}
encoder: {backbone: vit, width: 16, depth: 1}
objective: {kind: mae}
train: {clip_seconds: 0.5, batch_size: 8, budgets: [4, 8], warmup_steps: 1, rank_points: 3, checkpoint_minutes: 0}
"""


class Killed(BaseException):
    """In place of SIGKILL."""


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    """The smallest run, beside which all tests keep one cache of log-mels."""
    file = tmp_path_factory.mktemp("pretrain") / "run.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def pretrain(sonoscale, config, tmp_path):
    """`pretrain(*options)`: the run under `tmp_path / "out"`."""

    def call(*options):
        torch.set_num_threads(1)
        places = ("--out", tmp_path / "out", "--cache", config.parent / "cache")
        return sonoscale("pretrain", config, *places, "--workers", "1", "--device", "cpu", *options)

    return call


@pytest.fixture
def killed_at(pretrain, monkeypatch):
    """`killed_at(step, *options)`: the run until that many steps are done, and the state before the last is kept."""

    def call(step, *options):
        def train(*arguments, **more):
            def progress(done, total, loss):
                if done >= step:
                    raise Killed

            return train_to_the_end(*arguments, **{**more, "progress": progress})

        train_to_the_end = _loop.train_run
        with monkeypatch.context() as patch:
            patch.setattr(_loop, "train_run", train)
            with pytest.raises(Killed):
                pretrain(*options)

    return call


def only_run(out):
    (folder,) = [path for path in out.iterdir() if not path.name.startswith(".") and path.name != "tensorboard"]
    return folder


def told_to_tensorboard(folder):
    """Name and step of each number, and the number, in the order in which they were logged."""
    (file,) = folder.iterdir()
    content, events = file.read_bytes(), []
    while content:  # length, its checksum, an event, its checksum
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return [((value.tag, event.step), value.simple_value) for event in events for value in event.summary.value]


def told_in_the_folder(folder):
    return {
        (f"{row['phase']}/{name}", row["step"]): row[name]
        for row in pq.read_table(folder / "metrics.parquet").to_pylist()
        for name in ("loss", "lr", "grad_norm", "heldout_loss", "rankme", "rankme_centred")
        if row[name] is not None
    }


def test_each_measurement_is_told_once_however_often_the_run_was_killed(pretrain, killed_at, tmp_path):
    killed_at(3)  # on the trunk
    killed_at(8)  # of 9, in the second branch, with the first one ended
    assert pretrain().returncode == 0
    folder = only_run(tmp_path / "out")
    reported = told_to_tensorboard(tmp_path / "out" / "tensorboard" / folder.name)
    assert len(reported) == len(dict(reported))
    assert dict(reported) == pytest.approx(told_in_the_folder(folder))
    assert {
        "trunk/loss",
        "trunk/rankme",
        "trunk/grad_norm",
        "trunk/heldout_loss",
        "branch-4/lr",
        "branch-8/rankme_centred",
    } < {name for (name, _), _ in reported}


def test_what_a_run_that_is_begun_anew_had_told_is_forgotten(pretrain, killed_at, tmp_path):
    killed_at(3)
    assert pretrain("--restart").returncode == 0
    folder = only_run(tmp_path / "out")
    reported = told_to_tensorboard(tmp_path / "out" / "tensorboard" / folder.name)
    assert len(reported) == len(dict(reported)) == len(told_in_the_folder(folder))


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_logger_that_is_not_installed_is_missed_before_any_audio_is_read(
    sonoscale, config, tmp_path, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not
    result = sonoscale(
        "pretrain", config, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--logger", package
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: logger = '{package}' needs {package}: pip install 'sonoscale[{package}]'")
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_processes_that_do_not_divide_the_batch_are_refused_before_they_are_started(sonoscale, config, tmp_path, more):
    places = ("--cache", tmp_path / "cache", "--out", tmp_path / "out")
    result = sonoscale("pretrain", config, *places, "--devices", 3, *more)
    assert result.returncode == 1
    assert result.stderr == (
        "error: train.batch_size = 8 must be a multiple of 3 processes times train.accumulate = 1: change one of the "
        "three\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_torchrun_with_another_number_of_processes_is_refused(sonoscale, config, tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    result = sonoscale("pretrain", config, "--cache", tmp_path / "cache", "--out", tmp_path / "out", "--devices", 4)
    assert result.returncode == 1
    assert result.stderr == (
        "error: devices = 4: torchrun has started 2 process(es) on this machine; leave devices out\n"
    )


def test_a_full_disk_is_one_line_and_keeps_the_state_before(pretrain, tmp_path, monkeypatch):
    write, written = Path.write_bytes, []

    def write_until_full(path, content):
        if path.name.endswith("-state.pt"):
            written.append(bytes(content))
            if len(written) == 6:
                write(path, bytes(content)[:1000])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_until_full)
        result = pretrain("--logger", "none")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no space left on the disk writing ")
    assert result.stderr.endswith("whatever was finished is kept\n")
    assert len(result.stderr.splitlines()) == 1
    (state,) = (tmp_path / "out").glob(".*.unfinished/state.pt")
    assert state.read_bytes() == written[4]
    assert pretrain("--logger", "none").returncode == 0
    folder, undisturbed = only_run(tmp_path / "out"), tmp_path / "undisturbed"
    assert pretrain("--logger", "none", "--out", undisturbed).returncode == 0
    ours, theirs = (
        torch.load(each / "checkpoint.pt", weights_only=True)["objective"] for each in (folder, only_run(undisturbed))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
