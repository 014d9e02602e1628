"""Where a training runs: one process, or several that share the batches or hold parts of the model (FSDP2)."""

from __future__ import annotations

import copy
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._objective import Objective

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy
    from torch.distributed.device_mesh import DeviceMesh


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


PATIENCE = timedelta(days=2)
"""For which processes wait for one another: the first computes log-mels for all."""


def start_runtime(device: str, devices: int | None, strategy: str, precision: str) -> Runtime:
    """Device, precision and processes of a training, launched; under torchrun one of its processes.

    Arguments:
        device: auto, cpu or cuda.
        devices: processes on this machine; by default one, or those that torchrun started.
        strategy: auto, ddp or fsdp; `fsdp` gives each process a part of the model.
        precision: auto, fp32 or bf16, of the forward pass.

    Raises:
        SonoscaleError: there is no such device, or torchrun started another number of processes.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise SonoscaleError("device = 'cuda': PyTorch finds no GPU here; use cpu")
    on_gpu = gpu and device != "cpu"
    if precision == "auto":
        precision = "bf16" if on_gpu else "fp32"
    here, nodes = processes(devices)
    if not on_gpu and here * nodes == 1 and precision == "fp32" and strategy == "auto":
        return OneProcess()
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    how: Any = "auto"
    if strategy == "fsdp":
        how = cutting_strategy(here * nodes)
    elif strategy == "ddp" or here * nodes > 1:
        how = DDPStrategy(timeout=PATIENCE)
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu", devices=here, num_nodes=nodes, strategy=how,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )  # fmt: skip
    fabric.launch()
    return fabric


def processes(devices: int | None) -> tuple[int, int]:
    """Processes on this machine, and machines: of torchrun, where that started this process.

    Raises:
        SonoscaleError: below 1, or torchrun started another number than was asked for.
    """
    if devices is not None and devices < 1:
        raise SonoscaleError(f"devices = {devices}: must be at least 1")
    if not torch.distributed.is_torchelastic_launched():
        return devices or 1, 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if devices not in (None, here):
        raise SonoscaleError(
            f"devices = {devices}: torchrun has started {here} process(es) on this machine; leave devices out"
        )
    return here, everywhere // here


def shard(objective: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Cut every parameter among the processes, in place; each block is put together when it is needed.

    Arguments:
        objective: a model whose blocks are `Block` or those of a backbone.
        mesh: of all processes, with an axis `data_parallel`.
    """
    from torch.distributed.fsdp import fully_shard

    axis = mesh["data_parallel"]
    for module in list(objective.modules()):
        blocks = getattr(module, "blocks", None)
        for block in blocks if isinstance(blocks, nn.ModuleList) else ():
            fully_shard(block, mesh=axis)
    fully_shard(objective, mesh=axis)
    return objective


def cutting_strategy(processes: int) -> Strategy:
    """For a Fabric of so many processes, each of which holds a part of the model."""
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1, timeout=PATIENCE)


def cuts_models(fabric: Runtime) -> bool:
    """Whether `cutting_strategy` is at work."""
    if isinstance(fabric, OneProcess):
        return False
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return isinstance(fabric.strategy, ModelParallelStrategy)


def whole(state: Any) -> Any:
    """Mappings and lists of tensors with every tensor put together, in all processes, which call this together."""
    if is_cut(state):
        return state.full_tensor()
    if isinstance(state, dict):
        return {key: whole(each) for key, each in state.items()}
    return [whole(each) for each in state] if isinstance(state, list) else state


def load_whole(objective: nn.Module, optimiser: torch.optim.Optimizer, weights: Any, moments: Any) -> None:
    """Put whole tensors back into a model and its optimiser, cut as these are.

    Arguments:
        objective, optimiser: sharded or not.
        weights, moments: their `state_dict`, after `whole`.
    """
    now = objective.state_dict()
    objective.load_state_dict({name: _cut(each, now.get(name)) for name, each in weights.items()})
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state = {
        index: {name: _cut(each, parameters[index]) for name, each in entry.items()}
        for index, entry in moments["state"].items()
    }
    optimiser.load_state_dict({**moments, "state": state})


def is_cut(value: Any) -> bool:
    """Whether this is a DTensor, whose module is not imported for it."""
    return isinstance(value, Tensor) and hasattr(value, "full_tensor")


def _cut(value: Any, like: Any) -> Any:
    """A tensor, distributed as another of its shape is."""
    if not is_cut(like) or is_cut(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


class WholeModel:
    """A model to measure and to keep: the one that is trained or, where that is sharded, a copy of all of it.

    Arguments:
        objective: not sharded yet.
        sharded: whether it will be.
    """

    def __init__(self, objective: Objective, *, sharded: bool) -> None:
        self._trained = objective
        self._copy = copy.deepcopy(objective) if sharded else None

    def now(self) -> Objective:
        """The model as it is; called by all processes together."""
        if self._copy is None:
            return self._trained
        self._copy.load_state_dict(whole(self._trained.state_dict()))
        return self._copy.to(next(self._trained.parameters()).device)
