"""Models of which each process holds a part (FSDP2)."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sonoscale.pretrain._objective import Objective
from sonoscale.pretrain._one_process import OneProcess, Runtime

if TYPE_CHECKING:
    from lightning_fabric.strategies.strategy import Strategy
    from torch.distributed.device_mesh import DeviceMesh


PATIENCE = timedelta(days=2)
"""For which processes wait for one another: the first computes log-mels for all."""


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
