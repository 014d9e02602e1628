"""Attention of many short sequences, as training on a CPU needs it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = {torch.float32: 128, torch.bfloat16: 256}
"""Tokens up to which `attend` in training on a CPU keeps the weights, by type; the fused kernel wins beyond."""


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Softmax attention of every token to all tokens of its example, scaled by 1 / sqrt(dimensions of a head).

    Arguments:
        qkv: queries, keys and values side by side, `[batch, tokens, 3 * width]`.
        heads: number of heads, which divides the width.

    Returns:
        `[batch, tokens, width]`.
    """
    b, n, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    trains = qkv.device.type == "cpu" and qkv.requires_grad and torch.is_grad_enabled()
    if trains and not torch.compiler.is_compiling():
        if n <= LONGEST.get(qkv.dtype, 0):
            return _ShortAttention.apply(qkv, heads)
        kind, qkv = qkv.dtype, qkv.float()  # PyTorch's kernel for bfloat16 takes five times as long backward
    else:
        kind = qkv.dtype
    q, k, v = qkv.view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)  # each [B, H, N, d / H]
    return F.scaled_dot_product_attention(q, k, v).to(kind).transpose(1, 2).reshape(b, n, d)


class _ShortAttention(torch.autograd.Function):
    """Batched products and a softmax over the rows of the transposed weights.

    That softmax works on all queries at once; over the last axis PyTorch's takes four times as long on 12 tokens. Of
    the gradient nothing is computed again, and queries, keys and values are copied once each way.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        b, n, d = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3 // heads
        parts = qkv.view(b, n, 3, heads, d).permute(2, 0, 3, 1, 4).reshape(3, b * heads, n, d)
        q, k, v = parts
        nothing = qkv.new_empty(())
        weights = torch.baddbmm(nothing, k, q.mT, beta=0, alpha=d**-0.5).softmax(dim=1)  # [B * H, keys, queries]
        ctx.save_for_backward(parts, weights)
        return torch.bmm(weights.mT, v).view(b, heads, n, d).transpose(1, 2).reshape(b, n, heads * d)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts, weights = ctx.saved_tensors
        q, k, v = parts
        b, n, d = gradient.shape[0], q.shape[1], q.shape[2]
        gradient = gradient.view(b, n, -1, d).transpose(1, 2).reshape(-1, n, d)  # [B * H, N, d]
        inner = torch.ops.aten._softmax_backward_data(torch.bmm(v, gradient.mT), weights, 1, weights.dtype)
        found = torch.empty_like(parts)  # of queries, keys and values
        torch.baddbmm(found[0], inner.mT, k, beta=0, alpha=d**-0.5, out=found[0])
        torch.baddbmm(found[1], inner, q, beta=0, alpha=d**-0.5, out=found[1])
        torch.bmm(weights, gradient, out=found[2])
        return found.view(3, b, -1, n, d).permute(1, 3, 0, 2, 4).reshape(b, n, -1), None
