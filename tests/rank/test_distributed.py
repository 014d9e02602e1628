"""Sketches and readings of several processes against those of one: torch.distributed (gloo, two processes) and Ray."""

import functools
import os
import pickle
import runpy
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sonoscale.errors import SonoscaleError
from sonoscale.rank import RankMonitor, SpectralSketch

WORKER = Path(__file__).with_name("distributed_worker.py")
SECONDS = 120  # for all that the two processes do

worker = SimpleNamespace(**runpy.run_path(str(WORKER)))
in_a_group = pytest.mark.xdist_group("torch.distributed")
in_ray = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of two processes found, by the name of the function in distributed_worker.py."""
    folder = tmp_path_factory.mktemp("processes")
    logs = [folder / f"{rank}.log" for rank in range(worker.WORLD)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    started = [
        subprocess.Popen(
            [sys.executable, WORKER, folder, str(rank)], env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT
        )
        for rank, log in enumerate(logs)
    ]
    deadline = time.monotonic() + SECONDS
    try:
        for each in started:
            each.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass  # the tests of what is missing fail
    finally:
        for each in started:
            each.kill()
            each.wait()
    found = [folder / f"{rank}.pickle" for rank in range(worker.WORLD)]
    assert all(each.exists() for each in found), [log.read_text()[-2000:] for log in logs]
    return [pickle.loads(each.read_bytes()) for each in found]


def of(processes, name):
    """What both processes found by one function."""
    missing = [rank for rank, found in enumerate(processes) if name not in found]
    assert not missing, f"processes {missing} never came back from {name}"
    return [found[name] for found in processes]


@functools.cache
def of_one_process(method):
    sketch = SpectralSketch(24, method=method)
    sketch.update(worker.rows(), worker.recordings())
    return worker.reported(sketch)


def check_same(found, expected):
    """All that `reported` returns, to 1e-10."""
    for about, spectrum in expected["spectra"].items():
        np.testing.assert_allclose(found["spectra"][about], spectrum, rtol=1e-10)
    for name, record in expected["records"].items():
        same = found["records"][name]
        assert (same.value, same.low, same.high) == pytest.approx((record.value, record.low, record.high), rel=1e-10)
        assert 0 < record.high - record.low < 2  # the interval is informative
        assert (same.n, same.dim, same.method) == (record.n, record.dim, record.method)
    assert found["counts"] == expected["counts"]
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-10)


def check_numpy(found):
    """The spectra are those of NumPy, of all rows at once."""
    rows = worker.rows().astype(np.float64)
    centred = rows - rows.mean(axis=0)
    for about, matrix in (
        ("uncentred", rows), ("centred", centred), ("standardised", centred / centred.std(axis=0))
    ):  # fmt: skip
        np.testing.assert_allclose(found["spectra"][about], np.linalg.svd(matrix, compute_uv=False), rtol=1e-10)


@in_a_group
@pytest.mark.parametrize("empty", [False, True], ids=["both", "one-empty"])
@pytest.mark.parametrize("method", ["gram", "qr"])
def test_all_reduce_is_the_sketch_of_one_process(processes, method, empty):
    for found in of(processes, f"{method}_empty" if empty else method):
        check_same(found, of_one_process(method))
        check_numpy(found)


@in_a_group
def test_all_reduce_tells_of_every_dtype(processes):
    assert [found["records"]["rankme"].dtype for found in of(processes, "gram")] == ["float32+float64"] * 2
    assert [found["records"]["rankme"].dtype for found in of(processes, "gram_empty")] == ["float32"] * 2


@in_a_group
def test_all_reduce_can_be_gone_on_from(processes):
    expected = SpectralSketch(24)
    for rows, groups in [(worker.rows(), worker.recordings())] + [(worker.rows()[:10], worker.recordings()[:10])] * 2:
        expected.update(rows, groups)
    for found in of(processes, "goes_on_after"):
        check_same(found, worker.reported(expected))


@in_a_group
def test_all_reduce_adds_up_what_was_omitted(processes):
    assert of(processes, "omitted") == [(80 - 3 - 4, 3 + 4, 80)] * 2


@in_a_group
@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("other_dim", "process 0: dim 24, 16 blocks, gram; process 1: dim 25, 16 blocks, gram"),
        ("other_blocks", "process 0: dim 24, 8 blocks, gram; process 1: dim 24, 16 blocks, gram"),
        ("other_method", "process 0: dim 24, 16 blocks, gram; process 1: dim 24, 16 blocks, qr"),
    ],
)
def test_all_reduce_refuses_other_sketches_in_both_processes(processes, name, reported):
    for kind, message in of(processes, name):
        assert kind == "SonoscaleError"
        assert reported in message


def test_all_reduce_needs_a_group():
    with pytest.raises(SonoscaleError, match="init_process_group"):
        SpectralSketch(3).all_reduce()


def check_reading(found, expected):
    """Both processes have one record, which is that of a single process."""
    first, second = found
    assert first == second
    assert (first.value, first.low, first.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-10
    )
    assert (first.n, first.dim, first.dtype) == (expected.n, expected.dim, expected.dtype)


@in_a_group
def test_reading_does_not_depend_on_the_number_of_processes(processes):
    expected = RankMonitor(worker.probe(), embed=worker.noisy, blocks=4)(worker.network(), 3)
    check_reading(of(processes, "monitor"), expected)


@in_a_group
def test_reading_of_fewer_batches_than_processes(processes):
    expected = RankMonitor(worker.probe()[0])(worker.network(), 3)
    check_reading(of(processes, "monitor_of_one_batch"), expected)


@in_a_group
def test_reading_is_by_the_statistics_of_process_0_and_leaves_each_its_own(processes):
    (first, of_first), (second, of_second) = of(processes, "monitor_of_statistics_of_each_process")
    assert not torch.allclose(of_first["1.running_var"], of_second["1.running_var"])
    model = worker.network()
    model.load_state_dict(of_first)
    check_reading([first, second], RankMonitor(worker.probe())(model, 3))


@in_a_group
def test_ddp_training_is_bit_for_bit_that_without_the_monitor(processes):
    readings = []
    for plain, monitored in zip(of(processes, "train_plain"), of(processes, "train_monitored"), strict=True):
        assert plain[0] == monitored[0]
        assert all(torch.equal(plain[1][key], monitored[1][key]) for key in plain[1])
        readings.append(monitored[2])
    assert [step for step, _ in readings[0]] == [0, 1, 2, 3]
    model = worker.network()
    model.load_state_dict(of(processes, "train_monitored")[0][1])
    expected = RankMonitor(worker.probe(), embed=worker.noisy)(model, 3)
    check_reading([history[-1][1] for history in readings], expected)


@in_a_group
def test_reading_of_a_sharded_model(processes):
    check_reading(of(processes, "sharded"), RankMonitor(worker.probe())(worker.network()[:4], 3))


@in_a_group
def test_group_of_one_process(processes):
    member, other = of(processes, "group_of_one")
    expected = RankMonitor(worker.probe(), embed=worker.noisy)(worker.network(), 3)
    check_reading([member, member], expected)
    assert other == ("SonoscaleError", "rank at step 3: this process is not in the group that shares the reading")


@in_a_group
def test_what_one_process_raises_the_other_tells(processes):
    other, failed = of(processes, "fails_in_one")
    assert failed == ("ZeroDivisionError", "by\ndesign")
    assert other == ("SonoscaleError", "rank at step 30: process 1 failed with ZeroDivisionError: by design")


@in_a_group
@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("nan_in_one", "1 of the 47 embeddings of batch 3 hold NaN"),
        ("magnitude_in_one", "e+200 cannot be squared"),
        ("widths_of_each", r"widths [3, 4]"),
        ("steps_of_each", "process 0 is at step 30, process 1 is at step 40"),
    ],
)
def test_both_processes_refuse_a_reading(processes, name, reported):
    for kind, message in of(processes, name):
        assert kind == "SonoscaleError"
        assert "step 30" in message or "step 40" in message
        assert reported in message


@in_a_group
def test_lightning_in_two_processes(processes):
    found = of(processes, "lightning")
    if found == [None, None]:
        pytest.skip("Lightning is not installed")
    (first, weights), (second, _) = found
    assert [step for step, _ in first] == [0, 2, 4]
    assert first == second
    model = worker.network()
    check_reading([first[0][1], second[0][1]], RankMonitor(worker.probe())(model, 0))
    model.load_state_dict(weights)  # of process 0 after the last step
    check_reading([first[2][1], second[2][1]], RankMonitor(worker.probe())(model, 4))


@in_ray
@pytest.mark.parametrize("method", ["gram", "qr"])
def test_sketches_of_ray_tasks_merge_into_that_of_one_process(ray_cluster, method):
    ray = ray_cluster

    @ray.remote
    def sketched(rows, groups):
        from sonoscale.rank import SpectralSketch

        sketch = SpectralSketch(rows.shape[1], method=method)
        sketch.update(rows, groups)
        return os.getpid(), sketch

    rows, groups = worker.rows(), worker.recordings()
    shared = [ray.put(rows[start::3]) for start in range(3)]  # read-only in the tasks
    found = ray.get([sketched.remote(shared[i], groups[i::3]) for i in range(3)], timeout=60)
    assert os.getpid() not in {pid for pid, _ in found}
    merged = functools.reduce(SpectralSketch.merge, [sketch for _, sketch in found])
    check_same(worker.reported(merged), of_one_process(method))
    check_numpy(worker.reported(merged))


@in_ray
def test_sketches_streamed_in_two_ray_actors_merge_into_that_of_one_process(ray_cluster):
    ray = ray_cluster

    class Embedder:
        def __init__(self):
            from sonoscale.rank import SpectralSketch

            self.sketch = SpectralSketch(24)

        def embed(self, rows, groups):
            self.sketch.update(rows, groups)
            return self.sketch  # pickled with rows in its buffer

    actors = [ray.remote(Embedder).remote() for _ in range(2)]
    rows, groups = worker.rows(), worker.recordings()
    last = {}
    for i, batch in enumerate(np.array_split(np.arange(300), 7)):
        last[i % 2] = actors[i % 2].embed.remote(rows[batch], [groups[j] for j in batch])
    first, second = ray.get([last[0], last[1]], timeout=60)
    assert min(first.n, second.n) > 100
    check_same(worker.reported(first.merge(second)), of_one_process("gram"))
    check_same(worker.reported(second.merge(first)), of_one_process("gram"))
