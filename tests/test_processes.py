"""What processes leave behind when they are gone."""

import socket
import subprocess
import sys

from sonoscale.processes import remove_leftovers, unfinished_folder


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
