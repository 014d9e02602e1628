"""Two real processes (gloo, by torchrun) against one, with the same batch in all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from sonoscale.claims import claimed
from sonoscale.cli import main
from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, build_for_training, unfinished_run

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("torch.distributed")]

# Adam divides by the size of a gradient: where that is near zero, as it is in many places of the steep contrastive
# loss, it enlarges what the order of a sum does to it.
TOLERANCES = {"mae": 1e-5, "latent": 1e-5, "contrastive": 1e-4}
CONFIG = {
    "data": {"kind": "procedural", "clips": 64, "heldout_clips": 72, "domains": ["music", "environment"]},
    "encoder": {"backbone": "vit", "width": 16, "depth": 2},
    "train": {"batch_size": 16, "budgets": [8], "warmup_steps": 2, "precision": "fp32"},
}


STRATEGIES = ("ddp", "fsdp")


def command(folder, objective, processes, strategy="ddp"):
    """8 steps of one batch of 16, in however many processes; torchrun knows how many, so it need not be given."""
    return [
        "pretrain", str(folder / "run.yaml"), "--set", f"objective.kind={objective}", "--workers", "1",
        "--out", str(folder / f"{objective}-{strategy if processes > 1 else 1}"),
        "--cache", str(folder / "cache"), "--logger", "none",
        *(["--strategy", strategy] if processes > 1 else []), *(["--devices", "2"] if strategy == "fsdp" else []),
    ]  # fmt: skip


def refused(folder):
    """Commands that only the first process knows to be wrong, and what is to be said."""
    name = only_run(folder / "mae-1").name
    common = ["pretrain", str(folder / "run.yaml"), "--cache", str(folder / "cache"), "--logger", "none"]
    common += ["--set", "objective.kind=mae", "--out"]
    nowhere = f"data={{kind: folder, root: {folder / 'nowhere'}}}"
    return {
        "\t".join([*common, str(folder / "none"), "--set", nowhere]): "nowhere: no such folder",
        "\t".join([*common, str(folder / "thesis")]): f"{folder / 'thesis' / name}: is no run folder",
        "\t".join([*common, str(folder / "held")]): "trains it; wait for it to end",
    }


def only_run(out):
    (run,) = out.glob("[!.]*")
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of all objectives by one process and by two, and how two processes ended that were refused."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "run.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        for objective in TOLERANCES:
            patch.setattr(sys, "argv", ["sonoscale", *command(folder, objective, 1)])
            with pytest.raises(SystemExit) as done:
                main.run()
            assert not done.value.code
    trained = ["\t".join(command(folder, each, 2, strategy)) for each in TOLERANCES for strategy in STRATEGIES]
    (folder / "commands").write_text("\n".join([*trained, *refused(folder)]))
    name = only_run(folder / "mae-1").name
    (folder / "thesis" / name).mkdir(parents=True)
    (folder / "thesis" / name / "chapter-1.txt").touch()
    held = unfinished_run(folder / "held" / name)
    held.mkdir(parents=True)
    with claimed(folder / "held", name, "trains"):
        reported = subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                Path(__file__).with_name("pretrain_worker.py"), folder / "commands",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert reported.returncode == 0, (reported.stdout[-2000:], reported.stderr[-4000:])
    return folder


@pytest.fixture(scope="module")
def sharded(folder):
    """What `sharding_worker` wrote."""
    return torch.load(folder / "sharding.pt", weights_only=True)


def weights(folder, objective, which):
    (checkpoint,) = (folder / f"{objective}-{which}").glob("*/checkpoint.pt")
    assert f'"processes": {1 if which == "1" else 2}' in (checkpoint.parent / "record.json").read_text()
    return torch.load(checkpoint, weights_only=True)["objective"]


def without_key_biases(name, value):
    """Biases of keys add the same to all scores of a query, so they change nothing and their gradient is rounding,
    which Adam turns into steps as large as any."""
    if name.endswith("qkv.bias"):
        queries, _, values = value.chunk(3)
        return torch.cat([queries, values])
    return value


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("objective", TOLERANCES)
def test_two_processes_train_what_one_trains(folder, objective, strategy):
    one, two = weights(folder, objective, "1"), weights(folder, objective, strategy)
    assert list(one) == list(two)
    for name in one:
        ours, theirs = (without_key_biases(name, each[name]) for each in (two, one))
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=TOLERANCES[objective], msg=lambda reported, name=name: f"{name}: {reported}"
        )


def test_each_process_holds_its_part(sharded):
    here, everywhere = sharded["shares"]
    assert 0.4 * everywhere < here < 0.6 * everywhere


def test_what_is_kept_is_whole_and_goes_on_as_if_nothing_had_been(sharded):
    undisturbed, resumed = sharded["undisturbed"], sharded["resumed"]
    assert list(undisturbed) == list(resumed)
    for name, value in undisturbed.items():
        assert torch.equal(value, resumed[name]), name
        assert torch.equal(value, sharded["measured"][name]), name
    changed = [name for name, value in undisturbed.items() if not torch.equal(value, sharded["at_3"][name])]
    assert {name.partition(".")[0] for name in changed} == {"encoder", "decoder", "teacher"}


def test_one_process_can_go_on_from_it(sharded):
    config = {
        "data": {"kind": "procedural", "clips": 64}, "encoder": {"backbone": "vit", "width": 16, "depth": 2},
        "objective": {"kind": "latent"}, "train": {"batch_size": 8, "budgets": [20], "warmup_steps": 0},
    }  # fmt: skip
    objective, optimiser = build_for_training(validate(RunConfig, config), mean=0.0, std=1.0)
    objective.load_state_dict(sharded["at_3"])
    optimiser.load_state_dict(sharded["moments_at_3"])
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            assert optimiser.state[parameter]["exp_avg"].shape == parameter.shape


def test_what_one_process_is_refused_for_all_say_and_end(folder):
    expected = [""] * len(TOLERANCES) * len(STRATEGIES) + list(refused(folder).values())
    for rank in (0, 1):
        ends = json.loads((folder / f"ends-{rank}.json").read_text())
        for (code, said), words in zip(ends, expected, strict=True):
            assert code == (1 if words else 0), said
            assert words in said
            assert "Traceback" not in said
            assert said.count("error: ") == code
    assert [file.name for file in folder.glob("thesis/*/*")] == ["chapter-1.txt"]
    assert not (folder / "none").exists()
