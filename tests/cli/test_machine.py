"""A machine that refuses: standard output that is full, closed or read no further, and limits of files and memory."""

import importlib.metadata
import json
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

import sonoscale
from sonoscale.errors import SonoscaleError

RUN = f"'{sys.executable}' -m sonoscale"


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["params,loss"]
    for n in np.geomspace(1e4, 1e8, 14):
        lines.append(f"{n:.6g},{2 + 40 * n**-0.3 * np.exp(rng.normal(0, 0.01)):.6g}")
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    return tmp_path / "runs.csv"


def shell(command, folder):
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=200, cwd=folder)


@pytest.mark.parametrize("where", ["| head -1", ">&-", ">/dev/full", "2>&1 >/dev/full | cat"])
def test_no_file_is_lost_to_a_standard_output_that_fails(table, where):
    done = shell(f"{RUN} fit runs.csv --x params --y loss --json laws.json {where}", table.parent)
    assert json.loads((table.parent / "laws.json").read_text())["groups"]
    assert "Traceback" not in done.stderr + done.stdout
    said = done.stderr + done.stdout
    assert ("standard output: no space left on device: not all was printed" in said) == ("full" in where)
    if where == ">/dev/full":
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
    elif where == ">&-":
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["--version", "study schema", "data fetch --list", "fit --help"])
def test_what_only_prints_ends_quietly_when_nobody_reads(tmp_path, command):
    done = shell(f"({RUN} {command}; echo $? >&2) | true", tmp_path)
    assert done.stderr == "0\n"
    done = shell(f"{RUN} {command} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: standard output: no space left on device: not all was printed\n"


def test_no_more_files_no_more_memory_and_a_folder_in_the_place_of_a_file(tmp_path, monkeypatch):
    np.save(tmp_path / "e.npy", np.random.default_rng(0).standard_normal((300, 4)))
    sonoscale.rankme(tmp_path / "e.npy")  # all that is imported
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SonoscaleError, match=r"e\.npy: .*[Tt]oo many open files"):
            sonoscale.rankme(tmp_path / "e.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(SonoscaleError, match=r"^out of memory \(Unable to allocate"):
        sonoscale.rankme(np.broadcast_to(np.float32(0), (10**13, 3)))
    (tmp_path / "runs.csv").mkdir()
    with pytest.raises(SonoscaleError, match=r"runs\.csv"):
        sonoscale.fit(tmp_path / "runs.csv", ["params"])


def test_ctrl_c_while_the_command_is_imported_is_one_line():
    code = (
        "import os, signal, sys\n"
        "class Ends:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Ends())\n"
        "from sonoscale.__main__ import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted before it began\n")


def test_the_command_that_is_installed_is_that_one():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="sonoscale")
    assert callable(entry.load())


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_after_everything_is_done_ends_the_process_without_a_traceback(number):
    code = (
        "import atexit, os, signal, sys\n"
        f"atexit.register(lambda: os.kill(os.getpid(), signal.{number}))\n"
        "from sonoscale.__main__ import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("sonoscale ")
    assert (done.returncode, done.stderr) == (-getattr(signal, number), "")


def test_an_end_that_somebody_elses_code_has_caught_is_one_line_all_the_same(table):
    code = (
        "import contextlib, os, signal, sys\n"
        "class Catches:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'sonoscale.laws':\n"
        "            with contextlib.suppress(BaseException): os.kill(os.getpid(), signal.SIGTERM)\n"
        "            raise AttributeError('partially initialised')\n"
        "sys.meta_path.insert(0, Catches())\n"
        "from sonoscale.__main__ import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", code, "fit", str(table), "--x", "params"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stderr == "error: terminated: what was written is kept; the same command begins again\n"
    assert done.returncode == 143
