"""Where a training runs: one process, or several that share the batches or hold parts of the model (FSDP2)."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from sonoscale.encoders import find_device
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._objective import Objective
from sonoscale.processes import keep_freed_memory

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy
    from torch.distributed.device_mesh import DeviceMesh

    from sonoscale.pretrain._config import RunConfig


T = TypeVar("T")


class OneProcess:
    """What `Fabric(accelerator="cpu", devices=1)` does, by the same names: nothing is sent or waited for.

    Arguments:
        precision: fp32 or bf16, of the forward pass; weights and the optimiser stay in float32.
    """

    world_size, global_rank = 1, 0
    device = torch.device("cpu")

    def __init__(self, precision: str = "fp32") -> None:
        self.strategy = SimpleNamespace(precision=SimpleNamespace(precision=FABRIC_NAMES[precision]))

    def setup_module(self, module: nn.Module) -> Callable[..., Any]:
        """The module itself, or its call in bf16: each weight is converted once a call, which is once a step."""
        if self.strategy.precision.precision == FABRIC_NAMES["fp32"]:
            return module
        return torch.autocast("cpu", torch.bfloat16)(module.__call__)

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


FABRIC_NAMES = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""Precisions, as Fabric names them."""

Runtime: TypeAlias = "Fabric | OneProcess"


PATIENCE = timedelta(days=2)
"""For which processes wait for one another: the first computes log-mels for all."""


def start_runtime(device: str, devices: int | None, strategy: str, precision: str) -> Runtime:
    """Device, precision and processes of a training, launched; under torchrun one of its processes.

    Arguments:
        device: see `find_device`.
        devices: processes on this machine; by default one, or those that torchrun started.
        strategy: auto, ddp or fsdp; `fsdp` gives each process a part of the model.
        precision: of the forward pass: see `find_precision`.

    Raises:
        SonoscaleError: there is no such device, or torchrun started another number of processes.
    """
    device = find_device(device)
    precision = find_precision(precision, device)
    here, nodes = processes(devices)
    if device == "cpu" and here * nodes == 1 and strategy == "auto":
        return OneProcess(precision)
    kind, _, index = device.partition(":")
    if index and here * nodes > 1:
        raise SonoscaleError(f"device = {device!r}: is one GPU for {here * nodes} processes; use cuda")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    how: Any = "auto"
    if strategy == "fsdp":
        how = cutting_strategy(here * nodes)
    elif strategy == "ddp" or here * nodes > 1:
        how = DDPStrategy(timeout=PATIENCE)
    fabric = Fabric(
        accelerator=kind, devices=[int(index)] if index else here, num_nodes=nodes, strategy=how,
        precision=FABRIC_NAMES[precision],  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    fabric.launch()
    return fabric


def find_precision(precision: str, device: str) -> str:
    """The precision of the forward pass of a training.

    Arguments:
        precision: `fp32`, `bf16`, or `auto`: bf16 on a GPU, and on a CPU that multiplies it faster than float32.
        device: `cpu` or `cuda`.

    Returns:
        `fp32` or `bf16`.

    Example:
        >>> find_precision("auto", "cuda"), find_precision("fp32", "cpu")
        ('bf16', 'fp32')
    """
    if precision != "auto":
        return precision
    return "bf16" if device.startswith("cuda") or cpu_multiplies_bf16() else "fp32"


def in_precision(config: RunConfig, device: str = "auto", precision: str = "auto") -> RunConfig:
    """The run with `train.precision` resolved for a device of this machine: see `find_device`, `find_precision`.

    Arguments:
        config: the run.
        device: that it is trained on.
        precision: instead of `train.precision`; auto for that.
    """
    precision = find_precision(config.train.precision if precision == "auto" else precision, find_device(device))
    train = config.train.model_copy(update={"precision": precision})
    return config.model_copy(update={"train": train})


def runtime_of(fabric: Runtime | None, precision: str) -> Runtime:
    """What a run is trained in: one process on the CPU, in the run's own precision, or what was launched for it.

    Arguments:
        fabric: launched; None for one process.
        precision: `train.precision` of the run; auto for that of `fabric`.

    Raises:
        SonoscaleError: it was launched in another precision.
    """
    if fabric is None or isinstance(fabric, OneProcess):
        keep_freed_memory()
        return (fabric or OneProcess()) if precision == "auto" else OneProcess(precision)
    if precision != "auto" and str(fabric.strategy.precision.precision) != FABRIC_NAMES[precision]:
        raise SonoscaleError(f"train.precision = {precision}: but it would be {fabric.strategy.precision.precision}")
    return fabric


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has instructions for products in bfloat16 (AVX512-BF16, AMX) and PyTorch uses them."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return torch.backends.mkldnn.is_available() and any(getattr(torch.cpu, each, bool)() for each in asked)


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
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, entry in moments["state"].items():
        check_moments(entry, parameters[index])
    now = objective.state_dict()
    objective.load_state_dict({name: _cut(each, now.get(name)) for name, each in weights.items()})
    state = {
        index: {name: _cut(each, parameters[index]) for name, each in entry.items()}
        for index, entry in moments["state"].items()
    }
    groups = optimiser.state_dict()["param_groups"]  # as the run's configuration has them, not as the file says
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def check_moments(entry: Any, parameter: Tensor) -> None:
    """Whether what is kept of a parameter is what the optimiser keeps: it writes into these without a look.

    Raises:
        ValueError: it is not.
    """
    fits = isinstance(entry, dict) and entry.keys() == {"step", "exp_avg", "exp_avg_sq"}
    for name in ("exp_avg", "exp_avg_sq", "step") if fits else ():
        each, shape = entry[name], () if name == "step" else parameter.shape
        fits = fits and isinstance(each, Tensor) and each.shape == shape and each.dtype == torch.float32
        fits = fits and each.layout == torch.strided
    if not fits:
        raise ValueError("the moments of a parameter are none")


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
