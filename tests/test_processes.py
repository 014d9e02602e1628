"""What processes leave behind when they are gone."""

import os
import subprocess
import sys

from sonoscale.processes import remove_leftovers


def test_only_the_leftovers_of_dead_processes_go(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    pid = int(dead.stdout)
    names = {f".run-{pid}": False, f".run-{os.getpid()}": True, "run-1": True, f"run-{pid}": True, ".hidden": True}
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_leftovers(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names
