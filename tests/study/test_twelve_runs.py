"""Twelve runs by local processes, by Ray and by submitit: equal in every number, also half by one, half by another."""

import shutil

import pytest
from tests.study.test_end_to_end import hidden, run_folders, table
from tests.study.test_executors import needs_ray, needs_slurm

import sonoscale as so
from sonoscale.study import Lines

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("study")]

TWELVE = {"sweep": {"encoder.width": [8, 12, 20, 24], "objective.mask_ratio": [0.5]}, "seeds": [0, 1]}
LOCAL = {"executor": "local", "workers": 2}
RAY = {"executor": "ray", "workers": 2}
SLURM = {"executor": "slurm", "workers": 2, "cluster": "local", "minutes": 10}


class Half(Lines):
    """Interrupts the study, as Ctrl-C does, once half of its runs are done."""

    def __init__(self):
        super().__init__(None)

    def finished(self, index, failure):
        assert failure is None
        super().finished(index, failure)
        if self.done == len(self.names) // 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def by_local(tiny, cache, tmp_path_factory):
    """The twelve runs by processes of this machine; and after half of them, a copy of the folder as it was."""
    out, half = tmp_path_factory.mktemp("twelve") / "out", tmp_path_factory.mktemp("half") / "out"
    made = so.study(tiny, out=out, cache=cache, set=TWELVE)
    with pytest.raises(KeyboardInterrupt):
        made.run(**LOCAL, progress=Half())
    shutil.copytree(out, half)
    made.run(**LOCAL)
    assert len(run_folders(out)) == 12
    return out, half


def check_half(folder):
    """Six runs are finished, and the others not yet, though some may be under way."""
    assert 6 <= len(run_folders(folder)) < 12
    assert {row["run"] for row in table(folder)} == {one.name for one in run_folders(folder)}


@needs_ray
def test_ray_gives_the_numbers_of_local_processes(by_local, tiny, cache, tmp_path, cluster):
    so.study(tiny, out=tmp_path / "out", cache=cache, set=TWELVE).run(**RAY)
    assert table(tmp_path / "out") == table(by_local[0])
    assert hidden(tmp_path / "out") == []


@needs_slurm
def test_submitit_gives_the_numbers_of_local_processes(by_local, tiny, cache, tmp_path):
    so.study(tiny, out=tmp_path / "out", cache=cache, set=TWELVE).run(**SLURM)
    assert table(tmp_path / "out") == table(by_local[0])
    assert hidden(tmp_path / "out") == []
    assert list((tmp_path / "out" / "slurm").glob("*_result.pkl"))


@needs_ray
def test_half_by_local_processes_and_the_rest_by_ray(by_local, tiny, cache, tmp_path, cluster):
    continued(by_local, tiny, cache, tmp_path / "out", RAY)


@needs_slurm
def test_half_by_local_processes_and_the_rest_by_submitit(by_local, tiny, cache, tmp_path):
    continued(by_local, tiny, cache, tmp_path / "out", SLURM)


def continued(by_local, tiny, cache, out, how):
    whole, half = by_local
    shutil.copytree(half, out)
    check_half(out)
    so.study(tiny, out=out, cache=cache, set=TWELVE).run(**how)
    assert table(out) == table(whole)
    assert hidden(out) == []
