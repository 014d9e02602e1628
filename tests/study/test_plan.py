"""What a study would cost and what it could say, before anything is trained."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import sonoscale as so
from sonoscale.config import validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import read_record
from sonoscale.study import StudyConfig, plan, study
from sonoscale.study._identify import identify
from sonoscale.study._work import Scan, work_of

BASE = {
    "name": "planned",
    "data": {"kind": "procedural", "clips": 512, "heldout_clips": 64},
    "encoder": {"backbone": "vit", "width": 32, "depth": 2},
    "objective": {"kind": "mae"},
    "train": {"batch_size": 16, "budgets": [50, 100], "warmup_steps": 10},
    "tasks": [{"kind": "procedural", "name": "event", "train_clips": 52, "valid_clips": 26, "test_clips": 26}],
}


@pytest.fixture
def make():
    return lambda **changes: validate(StudyConfig, BASE | changes)


def test_costs_are_those_that_training_counts(finished, cache):
    """The tiny study was trained: parameters, FLOPs, examples and clips of its records are those of the plan."""
    done = study(finished[0], cache=cache)
    planned = plan(done, speed=1e9)
    records = {}
    for folder in (finished[0] / "runs").iterdir():
        record = read_record(folder)
        assert record is not None
        records[record["params_encoder"], record["budgets"][-1]["flops"]] = record
    assert len(records) == len(planned.runs) == 5
    for run in planned.runs:
        record = records[run.params, run.flops]
        assert run.examples == record["budgets"][-1]["step"] * 16
        assert run.epochs == pytest.approx(record["budgets"][-1]["clips_seen"] / record["clips"])
    assert planned.seconds == pytest.approx(planned.flops / 1e9 / min(5, os.cpu_count() or 1), rel=0.5)


def test_a_plan_builds_no_model_and_reads_no_audio(tmp_path):
    """With a speed that is given."""
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(BASE | {"sweep": {"encoder.width": [16, 64]}}))
    code = (
        "import torch\nfrom sonoscale.corpora.procedural import ProceduralCorpus\n"
        "def never(*_): raise AssertionError('audio was read, or a model built')\n"
        "ProceduralCorpus.wave = torch.nn.Module.__init__ = never\nfrom sonoscale.study import plan\n"
        f"print(len(plan({str(file)!r}, speed=1e9, device='cpu').runs))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["6"]


def test_seconds_and_memory_are_measured_here(make, tmp_path):
    """The speed is kept, taken again without measuring, and what is larger takes longer."""
    config = make(sweep={"encoder.width": [16, 96]}, seeds=1, protocols=["linear"])
    said = []
    first = plan(config, workers=1, device="cpu", cache=tmp_path, progress=lambda *what: said.append(what))
    assert said[-1][1] == said[-1][2] == 3  # the shapes, and the task at two dimensions
    assert first.seconds is not None
    assert first.memory is not None
    by_width = sorted(first.runs, key=lambda run: run.params)
    seconds = [run.seconds or 0.0 for run in by_width]
    assert seconds == sorted(seconds)
    assert all(0 < (run.probing or 0.0) < (run.seconds or 0.0) for run in first.runs)
    assert all(100 < (run.memory or 0.0) / 2**20 < 4000 for run in first.runs)
    again = plan(config, workers=1, device="cpu", cache=tmp_path, progress=lambda *what: said.append("again"))
    assert again == first
    assert "again" not in said
    other = make(sweep={"encoder.depth": [1, 4]}, name="other", protocols=["linear", "knn"])
    kept = plan(other, workers=1, device="cpu", cache=tmp_path, calibrate=False)
    assert kept.speed == first.speed
    assert kept.seconds is not None
    assert "not of event by knn" in kept.headline
    nothing = plan(other, workers=1, device="cpu", cache=tmp_path / "empty", calibrate=False)
    assert (nothing.seconds, nothing.memory) == (None, None)
    assert "no speed was measured" in nothing.headline


def identified(config, noise=0.1):
    runs = study(config).planned()
    works = [work_of(run.config, Scan(run.config.data.clips or 0, 2.0)) for run in runs]
    return works, identify(
        works, [r.config_id for r in runs], [r.family for r in runs], axes={}, noise=noise, level=0.9
    )


def test_the_interval_of_an_exponent_is_as_wide_as_it_turns_out(make):
    """Against simulation: ordinary least squares of log y on log x, over and over, of one budget and one seed."""
    widths, clips = [16, 24, 32, 64, 96], [64, 128, 256, 512]
    sweep = {"encoder.width": widths, "data.clips": clips}
    train = BASE["train"] | {"budgets": [50]}
    works, found = identified(make(design="grid", sweep=sweep, train=train, seeds=1))
    assert [one.name for one in found.exponents] == ["params", "train_clips"]
    assert found.degrees == 20 - 3
    assert found.condition < 1.01
    params, clips = [w.cost.params_encoder for w in works], [w.config.data.clips or 0 for w in works]
    X = np.column_stack([np.ones(20), np.log(params), np.log(clips)])
    rng, covered = np.random.default_rng(0), np.zeros(2)
    estimates = []
    for _ in range(2000):
        beta = np.linalg.lstsq(X, X @ [0.1, 0.2, 0.05] + 0.1 * rng.standard_normal(20), rcond=None)[0]
        estimates.append(beta[1:])
        covered += np.abs(beta[1:] - [0.2, 0.05]) <= [one.half_width for one in found.exponents]
    ratio = np.array([one.half_width for one in found.exponents]) / np.std(estimates, axis=0)
    np.testing.assert_allclose(ratio, 1.74, rtol=0.05)  # Student's t of 17 degrees of freedom at 0.90
    assert (covered / 2000 > 0.9).all()


def test_more_seeds_and_a_wider_range_narrow_the_interval(make):
    def width(**changes):
        return identified(make(**changes))[1].exponents[0].half_width

    sweep = {"encoder.width": [16, 64, 96, 128]}
    one = width(sweep=sweep, seeds=1)
    assert width(sweep=sweep, seeds=4) == pytest.approx(one / 2)
    assert width(sweep={"encoder.width": [24, 28, 36, 40]}, seeds=1) > 2 * one


def test_aliased_and_constant_axes_are_named(make):
    linked = {"size": {"encoder.width": [16, 32, 64, 128], "data.clips": [64, 128, 256, 512]}}
    planned = plan(make(sweep=linked, design="grid"), speed=1e9)
    found = {one.name: one for one in planned.identified.exponents}
    assert found["params"].aliased == "train_clips"
    assert found["train_clips"].aliased == "params"
    assert "aliased    params" in planned.headline
    assert planned.identified.condition > 10
    grid = {"encoder.width": [16, 32, 64], "objective.mask_ratio": [0.75], "encoder.depth": [2, 4]}
    planned = plan(make(sweep=grid, design="grid"), speed=1e9)
    assert set(planned.identified.constant) == {"train_clips", "objective.mask_ratio"}
    families = [{"name": "a"}, {"name": "b", "encoder": {"depth": 4}}]
    both = plan(make(sweep={"encoder.width": [16, 64]}, families=families), speed=1e9)
    assert "family=b" in {one.name for one in both.identified.exponents}


def test_a_plan_is_a_result(make, tmp_path):
    planned = so.study.plan(make(sweep={"encoder.width": [16, 64]}), speed=1e9, workers=2)
    assert len(planned.rows()) == 6
    assert json.loads(planned.to_json())["power"]["n"] == 3
    assert "nothing is trained yet" in repr(planned)
    assert [more.runs for more in planned.more] == [3, 6]
    assert planned.more[1].power.n == 6
    assert dataclasses.replace(planned) == planned


def test_the_noise_of_an_earlier_study(make, tmp_path):
    rows = ["run,config,step,seed,task,protocol,score"]
    rng = np.random.default_rng(0)
    for config in range(40):
        for seed in range(2):
            rows.append(
                f"{config}-{seed},{config},10,{seed},event,linear/2,{0.5 * np.exp(0.03 * rng.standard_normal())}"
            )
    ledger = tmp_path / "ledger.csv"
    ledger.write_text("\n".join(rows))
    planned = plan(make(), speed=1e9, ledger=ledger)
    assert planned.identified.noise == pytest.approx(0.03, rel=0.3)
    ledger.write_text("\n".join(row for row in rows if "-1," not in row))
    with pytest.raises(SonoscaleError, match="no configuration was trained with several seeds; give noise"):
        plan(make(), speed=1e9, ledger=ledger)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"workers": 0}, "workers = 0"),
        ({"speed": -1.0}, r"speed = -1\.0"),
        ({"noise": 0.0}, r"noise = 0\.0"),
        ({"level": 1.0}, r"level = 1\.0"),
        ({"device": "tpu"}, "device = 'tpu': must be one of auto, cpu, cuda"),
    ],
)
def test_options_out_of_range(make, options, expected):
    with pytest.raises(SonoscaleError, match=expected):
        plan(make(), **{"speed": 1e9, **options})


def test_the_command(sonoscale, tiny, tmp_path):
    out = tmp_path / "plan.json"
    printed = sonoscale("study", "plan", tiny, "--speed", "1e9", "--noise", "0.02", "--json", out)
    assert "5 runs of 5 configurations" in printed
    assert "width=24" in printed
    assert json.loads(out.read_text())["identified"]["noise"] == 0.02
