"""Two processes with half of a batch each learn what one process learns from all of it."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, make_objective

BACKBONES = ("vit", "conv", "cnn")


def model_and_example(backbone):
    config = validate(
        RunConfig,
        {
            "encoder": {"backbone": backbone, "width": 16, "depth": 1},
            "objective": {"kind": "contrastive", "projection_width": 8},
            "train": {"batch_size": 8},
        },
    )
    torch.manual_seed(0)
    model = make_objective(config, mean=-8.0, std=3.0)
    generator = torch.Generator().manual_seed(1)
    return model, torch.randn(8, config.frames, 64, generator=generator) * 3 - 8, model.draw(8, generator)


def one_of_two(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mine, result = slice(4 * rank, 4 * rank + 4), {}
    for backbone in BACKBONES:
        model, frames, draw = model_and_example(backbone)
        frames, draw = frames[mine], {name: rows[mine] for name, rows in draw.items()}
        distributed = DistributedDataParallel(model)
        loss = distributed(frames, draw)
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        result[backbone] = {"loss": loss.detach(), "gradients": gradients}
        if rank == 0:  # no gathering outside of training: the other process is not waited for
            result[backbone]["alone"] = model.eval()(frames, draw).detach()
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_loss_and_the_gradient_of_one(tmp_path):
    spawn(one_of_two, (str(tmp_path),), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for backbone in BACKBONES:
        first, second = (result[backbone] for result in results)
        model, frames, draw = model_and_example(backbone)
        loss = model(frames, draw)
        loss.backward()
        torch.testing.assert_close((first["loss"] + second["loss"]) / 2, loss.detach())
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(first["gradients"][name], second["gradients"][name])
                torch.testing.assert_close(first["gradients"][name], parameter.grad, rtol=1e-4, atol=1e-5)
        half = model.eval()(frames[:4], {name: rows[:4] for name, rows in draw.items()})
        torch.testing.assert_close(first["alone"], half.detach())
