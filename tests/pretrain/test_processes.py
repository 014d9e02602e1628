"""Two real processes (gloo, by torchrun) against one, with the same batch in all."""

import os
import subprocess
import sys

import pytest
import torch
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("torch.distributed")]

DATA = {"kind": "procedural", "clips": 64, "heldout_clips": 72, "domains": ["music", "environment"]}


def trained(folder, objective, processes):
    """The weights after 20 steps of one batch of 16, from however many processes."""
    file = folder / f"{objective}.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "data": DATA,
                "encoder": {"width": 16, "depth": 2},
                "objective": {"kind": objective},
                "train": {"batch_size": 16, "budgets": [20], "warmup_steps": 4},
            }
        )
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    out = folder / f"{objective}-{processes}"
    command = [
        *(launcher if processes > 1 else [sys.executable]), "-m", "sonoscale", "pretrain", file, "--out", out,
        "--cache", folder / "cache", "--logger", "none", "--workers", "1", "--devices", str(processes),
    ]  # fmt: skip
    if processes > 1:
        command += ["--strategy", "ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    told = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert told.returncode == 0, (told.stdout[-2000:], told.stderr[-4000:])
    (checkpoint,) = out.glob("*/checkpoint.pt")
    (record,) = out.glob("*/record.json")
    assert f'"processes": {processes}' in record.read_text()
    return torch.load(checkpoint, weights_only=True)["objective"]


def without_key_biases(name, value):
    """Biases of keys add the same to all scores of a query, so they change nothing and their gradient is rounding,
    which Adam turns into steps as large as any."""
    if name.endswith("qkv.bias"):
        queries, _, values = value.chunk(3)
        return torch.cat([queries, values])
    return value


@pytest.mark.parametrize(
    # Adam divides by the size of a gradient: where that is near zero, as it is in many places of the steep contrastive
    # loss, it enlarges what the order of a sum does to it.
    ("objective", "tolerance"),
    [("mae", 1e-5), ("latent", 1e-5), ("contrastive", 1e-4)],
)
def test_two_processes_train_what_one_trains(tmp_path, objective, tolerance):
    one, two = trained(tmp_path, objective, 1), trained(tmp_path, objective, 2)
    assert list(one) == list(two)
    for name in one:
        ours, theirs = (without_key_biases(name, each[name]) for each in (two, one))
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=tolerance, msg=lambda told, name=name: f"{name}: {told}"
        )
