"""Trains a model that is cut among two processes, keeps its state, and resumes from it."""

import copy
from pathlib import Path

import torch
from lightning_fabric import Fabric

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, build_objective, cutting_strategy, make_optimiser
from sonoscale.pretrain._runtime import WholeModel, load_whole, whole

CONFIG = {
    "data": {"kind": "procedural", "clips": 64},
    "encoder": {"backbone": "vit", "width": 16, "depth": 2},
    "objective": {"kind": "latent"},
    "train": {"batch_size": 8, "budgets": [20], "warmup_steps": 0, "lr": 0.01},
}


class Trained:
    """A new model; `whole_model` is to be measured."""

    def __init__(self, fabric):
        self.config = validate(RunConfig, CONFIG)
        self.objective, base = build_objective(self.config, mean=0.0, std=1.0)
        self.whole_model = WholeModel(self.objective, sharded=fabric.world_size > 1)
        self.fabric, self.model = fabric, fabric.setup_module(self.objective)
        self.optimiser = make_optimiser(self.objective, base, self.config.train)
        self.wrapped = fabric.setup_optimizers(self.optimiser)

    def train(self, steps):
        """Each process has its half of every batch."""
        generator = torch.Generator().manual_seed(steps.start)
        for step in steps:
            frames = torch.randn(8, self.config.frames, self.config.encoder.n_mels, generator=generator)
            draw = self.objective.draw(8, generator)
            rows = slice(self.fabric.global_rank, None, self.fabric.world_size)
            self.wrapped.zero_grad(set_to_none=True)
            self.fabric.backward(self.model(frames[rows], {name: each[rows] for name, each in draw.items()}))
            self.wrapped.step()
            self.objective.after_step(step)

    def state(self):
        """Weights and moments, whole."""
        return copy.deepcopy((whole(self.objective.state_dict()), whole(self.optimiser.state_dict())))


def held(module):
    """Numbers that this process holds."""
    return sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in module.parameters())


def run(file: Path) -> None:
    """Write what came of it; in each of two processes that torchrun has started."""
    fabric = Fabric(accelerator="cpu", devices=2, strategy=cutting_strategy(2))
    fabric.launch()
    trained = Trained(fabric)
    shares = [held(trained.objective), sum(p.numel() for p in trained.objective.parameters())]
    trained.train(range(3))
    weights, moments = trained.state()
    trained.train(range(3, 5))

    resumed = Trained(fabric)
    load_whole(resumed.objective, resumed.optimiser, weights, moments)
    resumed.train(range(3, 5))
    results = {
        "shares": shares,
        "undisturbed": trained.state()[0],
        "resumed": resumed.state()[0],
        "measured": {name: value.clone() for name, value in trained.whole_model.now().state_dict().items()},
        "at_3": weights,
        "moments_at_3": moments,
    }
    if fabric.global_rank == 0:
        torch.save(results, file)
    fabric.barrier()
