"""Two real processes (gloo, by torchrun) against one, with the same batch in all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from sonoscale.cli import main

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("torch.distributed")]

# Adam divides by the size of a gradient: where that is near zero, as it is in many places of the steep contrastive
# loss, it enlarges what the order of a sum does to it.
TOLERANCES = {"mae": 1e-5, "latent": 1e-5, "contrastive": 1e-4}
CONFIG = {
    "data": {"kind": "procedural", "clips": 64, "heldout_clips": 72, "domains": ["music", "environment"]},
    "encoder": {"width": 16, "depth": 2},
    "train": {"batch_size": 16, "budgets": [20], "warmup_steps": 4},
}


def command(folder, objective, processes):
    """20 steps of one batch of 16, in however many processes."""
    return [
        "pretrain", str(folder / "run.yaml"), "--set", f"objective.kind={objective}", "--workers", "1",
        "--out", str(folder / f"{objective}-{processes}"), "--cache", str(folder / "cache"), "--logger", "none",
        *(["--devices", str(processes), "--strategy", "ddp"] if processes > 1 else []),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of all objectives by one process and by two."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "run.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        for objective in TOLERANCES:
            patch.setattr(sys, "argv", ["sonoscale", *command(folder, objective, 1)])
            with pytest.raises(SystemExit) as done:
                main.run()
            assert not done.value.code
    (folder / "commands").write_text("\n".join("\t".join(command(folder, each, 2)) for each in TOLERANCES))
    told = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
            Path(__file__).with_name("pretrain_worker.py"), folder / "commands",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert told.returncode == 0, (told.stdout[-2000:], told.stderr[-4000:])
    return folder


def weights(folder, objective, processes):
    (checkpoint,) = (folder / f"{objective}-{processes}").glob("*/checkpoint.pt")
    assert f'"processes": {processes}' in (checkpoint.parent / "record.json").read_text()
    return torch.load(checkpoint, weights_only=True)["objective"]


def without_key_biases(name, value):
    """Biases of keys add the same to all scores of a query, so they change nothing and their gradient is rounding,
    which Adam turns into steps as large as any."""
    if name.endswith("qkv.bias"):
        queries, _, values = value.chunk(3)
        return torch.cat([queries, values])
    return value


@pytest.mark.parametrize("objective", TOLERANCES)
def test_two_processes_train_what_one_trains(folder, objective):
    one, two = weights(folder, objective, 1), weights(folder, objective, 2)
    assert list(one) == list(two)
    for name in one:
        ours, theirs = (without_key_biases(name, each[name]) for each in (two, one))
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=TOLERANCES[objective], msg=lambda told, name=name: f"{name}: {told}"
        )
