"""What processes leave behind when they are gone."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.processes import remove_leftovers, unfinished_folder, worker_pool


def test_only_the_leftovers_of_dead_processes_go(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    pid = int(dead.stdout)
    host = socket.gethostname()
    names = {
        f".run@{host}@{pid}": False,
        unfinished_folder(tmp_path / "run").name: True,
        f".run@elsewhere-{host}@{pid}": True,
        f"run@{host}@{pid}": True,
        ".hidden": True,
    }
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_leftovers(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names


def kill_oneself(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_answer_in_order_and_what_they_raise_arrives():
    with worker_pool(2, doing="counting") as pool:
        assert list(pool.map(abs, range(-9, 0))) == list(range(9, 0, -1))
        with pytest.raises(SystemError, match="enough"):
            pool.result(pool.submit(raise_it, "enough"))


def raise_it(reason):
    raise SystemError(reason)


def test_a_killed_worker_is_one_line():
    with pytest.raises(SonoscaleError, match="killed while counting"), worker_pool(1, doing="counting") as pool:
        list(pool.map(kill_oneself, [1]))


def test_workers_are_killed_when_the_block_fails():
    began, pids = time.monotonic(), []

    def fail():
        with worker_pool(1, doing="sleeping") as pool:
            pids.append(pool.result(pool.submit(os.getpid)))
            pool.submit(time.sleep, 600)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert time.monotonic() - began < 60
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


LARGE = """
import faulthandler, sys, time
from pathlib import Path
from sonoscale.processes import worker_pool

def large(mark):
    mark.touch()
    return bytes(300_000_000)

if __name__ == "__main__":
    faulthandler.dump_traceback_later(120, exit=True)
    for wait in (0.1, 0.2, 0.3, 0.4):  # seconds; some are within the sending, whatever the machine
        mark = Path(sys.argv[1]) / str(wait)
        try:
            with worker_pool(1, doing="sending") as pool:
                sent = pool.submit(large, mark)
                while not (mark.exists() or sent.done()):
                    time.sleep(0.01)
                time.sleep(wait)
                raise KeyError
        except KeyError:
            pass
"""


def test_workers_killed_while_they_send_a_result_are_not_waited_for(tmp_path):
    script = tmp_path / "large.py"
    script.write_text(LARGE)
    assert subprocess.run([sys.executable, script, tmp_path], timeout=180, check=False).returncode == 0


def test_this_module_needs_no_torch():
    code = "import sys, sonoscale.processes; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
