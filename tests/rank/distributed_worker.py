"""One of two processes of a gloo group, started by test_distributed.py: python distributed_worker.py FOLDER RANK.

Runs every function below whose name starts with `run_` and keeps what it returned, or the error it raised.
"""

import os
import pickle
import random
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sonoscale.rank import RankMonitor, SpectralSketch, measure_rank

WORLD = 2
ESTIMATORS = ("rankme", "rankme_centred", "rankme_standardised")


def rows(n=300, dim=24):
    """Rows with a mean, exact in float32."""
    rng = np.random.default_rng(5)
    spread = rng.standard_normal((n, dim)) * np.linspace(1, 0.2, dim) @ rng.standard_normal((dim, dim))
    return (spread + rng.standard_normal(dim)).astype(np.float32)


def recordings(n=300):
    return [f"recording {i // 3}" for i in range(n)]


def reported(sketch):
    """Everything that a sketch reports."""
    return {
        "spectra": {
            "uncentred": sketch.spectrum(),
            "centred": sketch.spectrum(centred=True),
            "standardised": sketch.spectrum(standardised=True),
        },
        "records": {name: measure_rank(sketch, name) for name in ESTIMATORS},
        "counts": [part.count for part in sketch.parts()],
        "mean": sketch.mean_row(),
    }


def shard(rank, method, *, empty=False):
    """What a process has seen; the last of two perhaps nothing, and none of the batches of one size."""
    sketch = SpectralSketch(24, method=method)
    if not empty or rank == 0:
        mine = range(300) if empty else range(rank, 300, WORLD)
        dtype = np.float64 if rank else np.float32
        for batch in np.array_split(mine, 4 + rank):
            sketch.update(rows()[batch].astype(dtype), [recordings()[i] for i in batch])
    return sketch


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Linear(12, 24), nn.BatchNorm1d(24), nn.Dropout(0.3), nn.Linear(24, 10), nn.BatchNorm1d(10)
    return nn.Sequential(*layers).double()  # what float32 rounds depends on the number of threads


def probe():
    """Five batches of several sizes, an odd number."""
    clips = torch.randn(151, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return list(clips.split([32, 7, 64, 47, 1]))


def noisy(model, batch):
    drawn = torch.randn(len(batch), 10) + random.random() + torch.from_numpy(np.random.rand(len(batch), 10))  # noqa: NPY002
    return model(batch) + 0.1 * drawn


def train(rank, monitor=None):
    """DDP with different data in each process: losses, readings, and what process 0 had at the last of them."""
    torch.manual_seed(rank)
    model = DistributedDataParallel(network())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(10 + rank)
    losses = []
    for step in range(4):
        loss = model(torch.randn(16, 12).double() * (1 + 9 * rank)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if monitor:
            monitor(model, step)
    return losses, model.module.state_dict(), monitor.history if monitor else []


def reduced(rank, method, **about):
    sketch = shard(rank, method, **about)
    sketch.all_reduce()
    return reported(sketch)


def run_gram(rank):
    return reduced(rank, "gram")


def run_qr(rank):
    return reduced(rank, "qr")


def run_gram_empty(rank):
    return reduced(rank, "gram", empty=True)


def run_qr_empty(rank):
    return reduced(rank, "qr", empty=True)


def run_goes_on_after(rank):
    """More rows, and a second sum, after the first."""
    sketch = shard(rank, "gram")
    sketch.all_reduce()
    if rank:
        sketch = SpectralSketch(24)
    sketch.update(rows()[:10], recordings()[:10])
    sketch.all_reduce()
    return reported(sketch)


def run_omitted(rank):
    sketch = SpectralSketch(24, nan_policy="omit")
    some = rows(40)
    some[: 3 + rank, 0] = np.nan
    sketch.update(some)
    sketch.all_reduce()
    return sketch.n, sketch.omitted, sketch.seen


def run_other_dim(rank):
    SpectralSketch(24 + rank).all_reduce()


def run_other_blocks(rank):
    SpectralSketch(24, blocks=8 * (1 + rank)).all_reduce()


def run_other_method(rank):
    SpectralSketch(24, method="qr" if rank else "gram").all_reduce()


def run_monitor(rank):
    return RankMonitor(probe(), embed=noisy, blocks=4)(network(), 3)


def run_monitor_of_one_batch(rank):
    return RankMonitor(probe()[0])(network(), 3)


def run_monitor_of_statistics_of_each_process(rank):
    model = network()
    model(torch.randn(64, 12).double() * (1 + 9 * rank))
    return RankMonitor(probe())(model, 3), model.state_dict()


def run_train_plain(rank):
    return train(rank)


def run_train_monitored(rank):
    return train(rank, RankMonitor(probe(), embed=noisy))


def run_fails_in_one(rank):
    def fails(model, batch):
        if rank == 1:
            raise ZeroDivisionError("by\ndesign")
        return model(batch)

    RankMonitor(probe(), embed=fails)(network(), 30)


def run_nan_in_one(rank):
    batches = probe()
    batches[3][5] = torch.nan  # which is for process 1
    RankMonitor(batches)(network(), 30)


def run_magnitude_in_one(rank):
    batches = probe()
    batches[3] *= 1e200
    RankMonitor(batches)(nn.Identity(), 30)


def run_widths_of_each(rank):
    RankMonitor(probe(), embed=lambda model, batch: batch[:, : 3 + rank])(network(), 30)


def run_steps_of_each(rank):
    RankMonitor(probe())(network(), 30 + 10 * rank)


def run_group_of_one(rank):
    """Works for the member, and refuses the other."""
    group: Any = dist.new_group([0])
    return RankMonitor(probe(), embed=noisy, group=group)(network(), 3)


def run_sharded(rank):
    """A model whose forward pass is a collective, which must not wait for a call that never comes."""
    from torch.distributed.fsdp import fully_shard

    model: Any = network()[:4]
    for part in (model[0], model[3], model):
        fully_shard(part)
    return RankMonitor(probe())(model, 3)


def run_lightning(rank):
    try:
        import lightning.pytorch as pl
    except ImportError:
        return None
    from sonoscale.rank.lightning import RankMonitorCallback

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, batch):
            return self.network(batch)

        def training_step(self, batch, batch_idx):
            return self(batch * (1 + 9 * rank)).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    os.environ["LOCAL_RANK"] = str(rank)  # Lightning then starts no processes, and takes the group there is
    data = torch.utils.data.DataLoader(list(torch.cat(probe())), batch_size=8)  # type: ignore[arg-type]
    module, callback = Module(), RankMonitorCallback(probe(), every_n_steps=2)
    pl.Trainer(
        accelerator="cpu", strategy="ddp", devices=WORLD, max_steps=4, callbacks=[callback], logger=False,
        use_distributed_sampler=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, data)  # fmt: skip
    return callback.history, module.network.state_dict()


def main(folder, rank):
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD, timeout=timedelta(seconds=30)
    )
    results = {}
    for name, run in [(name, value) for name, value in globals().items() if name.startswith("run_")]:
        started = time.perf_counter()
        try:
            results[name.removeprefix("run_")] = run(rank)
        except Exception as error:
            results[name.removeprefix("run_")] = (type(error).__name__, str(error))
        print(f"{name}: {time.perf_counter() - started:.2f} s", flush=True)
        (folder / f"{rank}.pickle").write_bytes(pickle.dumps(results))  # each time: the next may hang
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
