"""The depthwise convolution of training on the CPU is PyTorch's, to rounding."""

import pytest
import torch

from sonoscale.encoders._conv import convolve_depthwise


@pytest.mark.parametrize(("time", "mel", "size"), [(12, 4, 7), (49, 1, 7), (2, 3, 5), (5, 5, 1), (3, 9, 7)])
def test_value_and_gradients_are_those_of_pytorch(time, mel, size):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(6, 6, size, padding=size // 2, groups=6)
    x = torch.randn(4, time, mel, 6).permute(0, 3, 1, 2)
    weights = torch.randn(4, 6, time, mel)
    found = []
    for call in (lambda x: convolve_depthwise(x, conv), lambda x: conv.double()(x.double())):
        leaf = x.detach().clone().requires_grad_()
        conv.zero_grad()
        out = call(leaf)
        (out * weights).sum().backward()
        found.append([each.double() for each in (out, leaf.grad, conv.weight.grad, conv.bias.grad)])  # pyright: ignore[reportOptionalMemberAccess]
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_frozen_kernel_is_left_alone():
    conv = torch.nn.Conv2d(6, 6, 3, padding=1, groups=6).requires_grad_(False)
    x = torch.randn(2, 6, 4, 4, requires_grad=True)
    convolve_depthwise(x, conv).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is None
