"""A logger gets every reading, and never stops a training, whatever becomes of it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sonoscale.errors import SonoscaleWarning
from sonoscale.pretrain import _metric_logs
from sonoscale.pretrain._metric_logs import metric_log

DISK_IS_FULL = """
import resource, signal, sys
from pathlib import Path
from sonoscale.pretrain._metric_logs import metric_log

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with metric_log("tensorboard", Path(sys.argv[1]), "run", first=True) as log:
    log({"loss": 1.0}, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file grows beyond
    for step in range(1, 3000):
        log({"loss": 1.0, "rate": 0.1}, step)
print("trained")
"""


def test_a_full_disk_does_not_stop_a_training(tmp_path):
    done = subprocess.run([sys.executable, "-c", DISK_IS_FULL, tmp_path], capture_output=True, text=True, timeout=100)
    assert done.stdout == "trained\n"
    assert "tensorboard takes no more metrics (OSError: [Errno 27] File too large" in done.stderr
    assert "Traceback" not in done.stderr


def train(name, folder, readings, error=None):
    with metric_log(name, folder, "run", first=True) as log:
        for step in range(readings):
            log({"loss": 1.0}, step)
        if error:
            raise error


class Stuck:
    """Takes three readings, and no more; never ends."""

    def __init__(self, held: threading.Event) -> None:
        self.held, self.taken = held, []

    def log_metrics(self, metrics, step):
        self.taken.append(step)
        if len(self.taken) > 3:
            self.held.wait(60)

    def finalize(self, status):
        pass


class Broken(Stuck):
    def log_metrics(self, metrics, step):
        self.taken.append(step)
        if len(self.taken) > 3:
            raise ConnectionError("the service is gone")


@pytest.fixture
def logger(monkeypatch):
    monkeypatch.setattr(_metric_logs, "_PATIENCE", 0.3)
    monkeypatch.setattr(_metric_logs, "_WAITING", 50)
    held = threading.Event()

    def use(kind):
        made = kind(held)
        monkeypatch.setattr(_metric_logs, "_open", lambda *_: made)
        return made

    yield use
    held.set()


@pytest.mark.parametrize(
    ("kind", "readings", "reason"),
    [
        (Stuck, 20, "it has not finished in 0.3 s"),
        (Stuck, 200, "it has not taken 50 readings"),
        (Broken, 20, "ConnectionError: the service is gone"),
    ],
)
def test_a_logger_that_hangs_or_fails_is_dropped_with_a_warning(logger, kind, readings, reason):
    made, started = logger(kind), time.monotonic()
    with pytest.warns(SonoscaleWarning, match=rf"wandb takes no more metrics \({reason}\); the training goes") as said:
        train("wandb", Path(), readings)
    assert time.monotonic() - started < 5
    assert len(said) == 1
    assert made.taken == [0, 1, 2, 3]


def test_a_logger_that_cannot_be_opened_is_dropped_with_a_warning(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.warns(SonoscaleWarning, match=r"takes no more metrics \((NotADirectory|FileExists)Error"):
        train("tensorboard", tmp_path, 1)


def test_an_error_of_the_training_is_passed_on_and_what_was_logged_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train("tensorboard", tmp_path, 1, KeyboardInterrupt())
    (file,) = (tmp_path / "tensorboard" / "run").iterdir()
    assert b"loss" in file.read_bytes()


@pytest.mark.parametrize(("logger_name", "first"), [("none", True), ("tensorboard", False)])
def test_nothing_is_made_where_nothing_is_logged(tmp_path, logger_name, first):
    with metric_log(logger_name, tmp_path, "run", first=first) as log:
        log({"loss": 1.0}, 0)
    assert list(tmp_path.iterdir()) == []
