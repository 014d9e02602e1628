"""Where a training runs, and in which precision."""

import pytest
import torch

from sonoscale.config import validate
from sonoscale.encoders import find_device
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig, unfinished_run
from sonoscale.pretrain._runtime import OneProcess, find_precision, in_precision


def config(precision):
    return validate(RunConfig, {"train": {"precision": precision}})


def test_a_run_in_bf16_is_another_run_and_one_in_fp32_keeps_its_name():
    assert config("fp32").outcome() == config("auto").outcome()
    assert config("bf16").outcome() != config("fp32").outcome()


def test_auto_is_resolved_once_and_what_is_asked_for_stays():
    assert in_precision(config("fp32"), "cpu").train.precision == "fp32"
    assert in_precision(config("fp32"), "cpu", "bf16").train.precision == "bf16"
    assert in_precision(config("auto"), "cpu").train.precision == find_precision("auto", "cpu") in ("fp32", "bf16")
    assert find_precision("auto", "cuda:1") == "bf16"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "cuda:99", ""])
def test_devices_that_are_not_there_are_named(device):
    with pytest.raises(SonoscaleError, match=f"device = '{device}'"):
        find_device(device)


def test_products_are_in_bf16_and_the_loss_and_the_weights_in_float32():
    layer = torch.nn.Linear(8, 4)
    call = OneProcess("bf16").setup_module(layer)
    out = call(torch.ones(2, 8))
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert [each.grad is not None and each.grad.dtype for each in layer.parameters()] == [torch.float32] * 2
    assert not torch.is_autocast_enabled("cpu")
    assert OneProcess("fp32").setup_module(layer) is layer


def test_a_run_in_bf16_resumes_bit_by_bit(train_tiny, killed, tmp_path):
    def weights(folder):
        return torch.load(folder / "checkpoint.pt", weights_only=True)["objective"]

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_tiny(whole, precision="bf16")
    with pytest.raises(killed):
        train_tiny(stopped, until=3, precision="bf16")
    state = torch.load(unfinished_run(stopped) / "state.pt", weights_only=True)
    assert state["precision"] == "bf16-mixed"
    assert train_tiny(stopped, precision="bf16") == [3, 4, 5, 6]
    ours, theirs = weights(whole), weights(stopped)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    plain = tmp_path / "plain"
    train_tiny(plain, precision="fp32")
    name = "encoder.backbone.blocks.0.fc1.weight"
    assert not torch.equal(weights(plain)[name], theirs[name])
    assert (weights(plain)[name] - theirs[name]).abs().mean() < 1e-3  # 6 steps of up to 2e-3 moved them by 4e-3
