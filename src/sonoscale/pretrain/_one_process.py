"""The part of Lightning Fabric that training uses, for one process on the CPU, without the seconds of its import."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class OneProcess:
    """What `Fabric(accelerator="cpu", devices=1)` does, by the same names: nothing is wrapped, sent or waited for."""

    world_size, global_rank = 1, 0
    device = torch.device("cpu")
    strategy = SimpleNamespace(precision=SimpleNamespace(precision="32-true"))

    def setup_module(self, module: nn.Module) -> nn.Module:
        """The module itself."""
        return module

    def setup_optimizers(self, optimiser: T) -> T:
        """The optimiser itself."""
        return optimiser

    def to_device(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss."""
        loss.backward()

    def no_backward_sync(self, module: Any, enabled: bool = True) -> AbstractContextManager[None]:
        """There is nothing to hold back."""
        return nullcontext()

    def all_reduce(self, value: T, reduce_op: str = "mean") -> T:
        """Of one."""
        return value

    def broadcast(self, value: T) -> T:
        """To nobody."""
        return value

    def barrier(self) -> None:
        """For nobody."""


Runtime: TypeAlias = "Fabric | OneProcess"
