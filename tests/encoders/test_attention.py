"""Attention in training on the CPU is that of PyTorch's kernel, to rounding."""

import pytest
import torch
import torch.nn.functional as F

from sonoscale.encoders._attention import attend


def gradient_of(leaf):
    assert leaf.grad is not None
    return leaf.grad


def fused(qkv, heads):
    b, n, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.double().view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize(("tokens", "heads"), [(1, 1), (12, 3), (49, 2), (300, 1)])
def test_it_is_that_of_pytorch_forward_and_backward(dtype, close, tokens, heads):
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(5, tokens, 3 * 8 * heads, generator=generator).to(dtype)
    weights = torch.randn(5, tokens, 8 * heads, generator=generator)
    found = []
    for function in (attend, fused):
        leaf = qkv.detach().clone().requires_grad_()
        out = function(leaf, heads)
        (out.double() * weights).sum().backward()
        found.append((out.double(), gradient_of(leaf).double()))
    (out, gradient), (expected, expected_gradient) = found
    assert (out - expected).abs().max() < close
    assert (gradient - expected_gradient).abs().max() < close * expected_gradient.abs().max()


def test_large_scores_do_not_overflow():
    qkv = torch.full((2, 3, 24), 60.0, requires_grad=True)  # scores of 60 * 60 * sqrt(8)
    out = attend(qkv, 1)
    out.sum().backward()
    assert torch.equal(out, torch.full((2, 3, 8), 60.0))
    assert gradient_of(qkv).isfinite().all()


def test_without_gradients_it_is_pytorchs_kernel():
    qkv = torch.randn(2, 7, 24)
    with torch.no_grad():
        assert torch.equal(attend(qkv, 1), attend(qkv.clone(), 1))
        assert torch.allclose(attend(qkv, 1).double(), fused(qkv, 1), atol=1e-6)
