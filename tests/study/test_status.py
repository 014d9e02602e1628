"""What is said of a study without a driver, and what is done to it: status, stop, retry, add."""

import json
import shutil
import time

import pytest
from tests.study.test_end_to_end import run_folders, table

import sonoscale as so
from sonoscale.claims import claim
from sonoscale.errors import SonoscaleError
from sonoscale.study import add, retry, status, stop
from sonoscale.study._failures import note_failure, read_failures
from sonoscale.study._plan_file import write_plan
from sonoscale.study._run import write_config


@pytest.fixture
def half_done(finished, tmp_path):
    """A study of five runs: two done, one of them in no ledger, one running, one failed, one queued."""
    out = tmp_path / "half"
    shutil.copytree(finished[0], out)
    (out / "ledger.parquet").unlink()
    done, other, running, failed, queued = (run.name for run in run_folders(out))
    for run in (running, failed, queued):
        shutil.rmtree(out / "runs" / run)
    note_failure(out, failed, "width=8", 0, "out of memory", MemoryError("9 GB"), retries=0)
    mine = claim(out / "runs", running)
    assert mine is not None
    mine.note(stage="train", done=6, total=12, rate=2.0, loss=0.25)
    mine.beat()
    yield out, {"done": {done, other}, "running": {running}, "failed": {failed}, "queued": {queued}}
    mine.release()


def test_the_state_of_every_run_is_told_from_files(half_done):
    out, expected = half_done
    found = status(out)
    assert found.counts == {"queued": 1, "running": 1, "done": 2, "failed": 1}
    for state, runs in expected.items():
        assert {run.run for run in found.runs if run.state == state} == runs, state
    (running,) = [run for run in found.runs if run.state == "running"]
    assert (running.stage, running.done, running.total, running.rate, running.seconds_left) == (
        "train",
        6,
        12,
        2.0,
        3.0,
    )
    (failed,) = [run for run in found.runs if run.state == "failed"]
    assert (failed.reason, failed.error) == ("out of memory", "MemoryError: 9 GB")
    assert found.headline.startswith(f"{out}: 2 of 5 runs done, 1 running (about ")
    assert found.flops == pytest.approx(sum(run.flops for run in found.runs if run.state == "done"))
    assert json.loads(found.to_json())["done"] == 2


def test_the_command_prints_the_same(half_done, sonoscale):
    out, _ = half_done
    printed = sonoscale("study", "status", out)
    assert "train 6/12" in printed
    assert "out of memory: MemoryError: 9 GB" in printed
    content = json.loads(sonoscale("study", "status", out, "--json"))
    assert {run["state"] for run in content["runs"]} == {"queued", "running", "done", "failed"}


def test_stop_ends_runs_and_a_later_driver_does_not_mind(half_done, in_process, tiny, cache):
    out, _ = half_done
    with pytest.raises(SonoscaleError, match=r"1 run\(s\) have not ended after 0.2 s, for example"):
        stop(out, wait=0.2)
    assert (out / ".stop").is_file()


def test_stopped_runs_keep_their_state(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    mine = claim(out / "runs", "some-run", stop_files=(out / ".stop",))
    assert mine is not None

    def let_go():
        while not mine.stopping:
            time.sleep(0.05)
        mine.release()

    import threading

    owner = threading.Thread(target=let_go)
    owner.start()
    assert stop(out, wait=20) == 1
    owner.join()


def test_retry_forgets_a_failure(half_done, sonoscale):
    out, expected = half_done
    with pytest.raises(SonoscaleError, match=r"run 'width=99' has not failed; those that have: .* \(width=8\)"):
        retry(out, ["width=99"])
    assert retry(out, ["width=8"]) == list(expected["failed"])
    assert read_failures(out) == {}
    assert status(out).counts["queued"] == 2
    assert "0 run(s) will be tried again" in sonoscale("study", "retry", out)


def test_there_is_nothing_to_say_of_a_study_that_was_not_begun(tmp_path):
    for verb in (status, stop, retry):
        with pytest.raises(SonoscaleError, match=r"runs.json is missing: this study was not begun; run it first"):
            verb(tmp_path)


def test_a_longer_budget_continues_and_ends_as_if_it_had_been_there_from_the_start(
    finished, in_process, cache, tiny, tmp_path
):
    """Also a value and a seed that are added by the way are trained, and nothing else."""
    out, anew = tmp_path / "out", tmp_path / "anew"
    shutil.copytree(finished[0], out)
    before = {run.name for run in run_folders(out)}
    found = add(out, budgets=[24], values={"encoder.width": [20]})
    assert (len(found.new), len(found.continued), found.kept) == (1, 5, 0)
    steps = 6  # of 24: 20 on the trunk and 4 of its decay, of which 6 are there; and the branches of 4 and 8
    run, saved = found.continued[0]
    cost = so.pretrain.training_cost(run.config).flops * run.config.train.batch_size
    assert saved == pytest.approx(cost * (steps + 1 + 2))
    assert "5 that continue a finished one, which saves" in found.headline
    so.study(out, cache=cache).run()
    overrides = {
        "train.budgets": [4, 8, 24],
        "sweep": {"encoder.width": [8, 12, 24, 20], "objective.mask_ratio": [0.5]},
    }
    so.study(tiny, out=anew, cache=cache, set=overrides).run()
    assert table(out) == table(anew)
    assert len({run.name for run in run_folders(out)} - before) == 6
    with pytest.raises(SonoscaleError, match="nothing to add: the study has all of it already"):
        add(out, budgets=[24])


def test_budgets_are_added_to_the_families_that_have_some_of_that_kind(tiny, tmp_path):
    families = [
        {"name": "plain"},
        {"name": "steps", "train": {"budgets": [4, 16]}},
        {"name": "counted", "train": {"flops": [1e9]}},
    ]
    out = tmp_path / "out"
    begun = so.study(tiny, out=out, set={"families": families, "sweep": {}})
    out.mkdir()
    write_config(begun.config, out)
    write_plan(out, [])
    added = {}
    for steps, flops in (([64], []), ([], [4e9])):
        add(out, budgets=steps, flops=flops)
        added |= {run.label: (run.config.train.budgets, run.config.train.flops) for run in so.study(out).planned()}
    assert added == {
        "plain base": ((4, 8, 64), None), "steps base": ((4, 16, 64), None),
        "counted base": ((100, 200, 400), (1e9, 4e9)),
    }  # fmt: skip
    counted = {"clip_seconds": 1.0, "batch_size": 16, "flops": [1e9], "warmup_steps": 2}
    alone = so.study(tiny, out=tmp_path / "alone", set={"sweep": {}, "train": counted})
    (tmp_path / "alone").mkdir()
    write_config(alone.config, alone.folder)
    with pytest.raises(SonoscaleError, match=r"budgets = \[64\]: this study has its budgets in FLOPs .*: add flops"):
        add(alone.folder, budgets=[64])


def test_what_is_added_must_be_valid(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    text = (out / "study.yaml").read_text()
    with pytest.raises(SonoscaleError, match="multiple of 4"):
        add(out, values={"encoder.width": [9]})
    with pytest.raises(SonoscaleError, match=r"encoder.widht"):
        add(out, values={"encoder.widht": [8]})
    assert (out / "study.yaml").read_text() == text


@pytest.mark.parametrize(
    "content",
    ["{", "[" * 5000, "[]", '{"attempts": ["lost"]}', '{"attempts": [{"reason": []}]}', '{"attempts": [{}]}',
     '{"failed": true, "attempts": [{"reason": "error"}], "seed": "a"}'],
)  # fmt: skip
def test_a_damaged_note_of_a_failure_is_as_if_there_were_none(tmp_path, content):
    assert note_failure(tmp_path, "0" * 12, "width=8", 0, "error", "it failed", retries=1)
    (file,) = tmp_path.glob("*/*.json")
    file.write_text(content)
    assert read_failures(tmp_path) == {}
    assert note_failure(tmp_path, "0" * 12, "width=8", 0, "error", "it failed", retries=1)  # may be tried again
