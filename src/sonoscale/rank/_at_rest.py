"""Running a model without leaving a trace in its training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, device


@contextmanager
def own_randomness() -> Iterator[None]:
    """Put back the random states of Python, NumPy and torch, of CUDA if it is in use."""
    import torch

    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what training may draw from
    try:
        with torch.random.fork_rng(cuda, device_type="cuda"):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def seed_all(seed: int) -> None:
    """Seed all of them; CUDA only if it is in use, as else it would keep the seed for the training."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def at_rest(model: Any, share: Callable[[list[Tensor]], None] | None) -> Iterator[None]:
    """Eval mode, no gradients, no autocast; afterwards all as before.

    Arguments:
        share: gives the floating-point buffers of one process to all, as those of a BatchNorm differ; None if alone.
    """
    import torch

    module = isinstance(model, torch.nn.Module)
    # Flag by flag: `eval` and `train` may be overridden, to keep a part frozen or to merge weights.
    flags = [(each, each.training) for each in model.modules()] if module else []
    buffers = [b for b in model.buffers() if b.is_floating_point()] if module and share else []
    target = device_of(model)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())  # not inference mode: what is cached in it can never be trained on
        for kind in {"cpu", target.type if target else "cpu"}:
            if torch.amp.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        own = [b.clone() for b in buffers]
        try:
            for each, _ in flags:
                each.training = False
            if share:
                share(buffers)
            yield
        finally:
            for each, flag in flags:
                each.training = flag
            for b, before in zip(buffers, own, strict=True):
                b.copy_(before)


def device_of(model: Any) -> device | None:
    """Where the model takes its inputs, None if it does not say."""
    import torch

    if not isinstance(model, torch.nn.Module):
        return None
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), None)
