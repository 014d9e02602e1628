import resource
import subprocess
import sys

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.memory import available_memory, check_memory, peak_memory

PEAK = "from sonoscale.memory import peak_memory; import sys; held = b'1' * int(sys.argv[1]); print(peak_memory())"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the child of a large process is not taken for large")
def test_the_peak_is_not_that_of_the_process_that_started_it():
    held = np.ones(2**26)  # 512 MiB
    small, large = (
        int(subprocess.run([sys.executable, "-c", PEAK, str(size)], capture_output=True, check=True).stdout)
        for size in (0, 2**28)
    )
    assert small < 2**28 < large < held.nbytes < peak_memory()


def test_the_peak_is_about_that_of_the_system():
    assert peak_memory() <= 1.1 * 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_more_memory_than_there_is_is_refused():
    there = available_memory()
    if there is None:
        pytest.skip("what memory there is cannot be found here")
    assert 2**20 < there < 2**50
    check_memory(2**20, "these")
    with pytest.raises(SonoscaleError, match=r"^these need .* GiB of memory, and .* GiB are free$"):
        check_memory(2**50, "these")


@pytest.mark.parametrize("inactive", ["inactive_file", "total_inactive_file"])
def test_a_limit_of_a_control_group_counts_but_not_what_it_caches(tmp_path, monkeypatch, inactive):
    from sonoscale import memory

    files = [tmp_path / name for name in ("max", "current", "stat")]
    monkeypatch.setattr(memory, "CONTROL_GROUPS", (tuple(map(str, files)), ("nothing", "nothing", "nothing")))
    for file, text in zip(files, ("1000000\n", "900000\n", f"anon 100000\n{inactive} 700000\n"), strict=True):
        file.write_text(text)
    assert available_memory() == 800_000
    files[0].write_text("max\n")
    assert available_memory() != 800_000
