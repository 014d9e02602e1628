"""One sketch out of one per process, by `torch.distributed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.rank._moments import Gram, Triangle

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from sonoscale.rank._sketch import SpectralSketch


def all_reduce(sketch: SpectralSketch, group: ProcessGroup | None) -> None:
    """See `SpectralSketch.all_reduce`."""
    import torch
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        raise SonoscaleError("all_reduce needs a process group: call torch.distributed.init_process_group first")
    world = dist.get_world_size(group)
    device = torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")

    def gather(array: np.ndarray) -> np.ndarray:
        """`[world, ...]`."""
        mine = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        all_of = [torch.empty_like(mine) for _ in range(world)]
        dist.all_gather(all_of, mine, group=group)
        return np.stack([each.cpu().numpy() for each in all_of])

    shapes = gather(np.array([sketch.dim, sketch.blocks, sketch.method == "qr"], dtype=np.int64))
    if (shapes != shapes[0]).any():
        each = "; ".join(
            f"process {i}: dim {d}, {b} blocks, {'qr' if q else 'gram'}" for i, (d, b, q) in enumerate(shapes)
        )
        raise SonoscaleError(f"the processes hold sketches that cannot be merged ({each})")
    numbers = gather(np.array([sketch.seen, sketch.omitted, sketch.omitted_rows, sketch.zeros], dtype=np.int64))
    seen, omitted = numbers[:, :2].sum(axis=0).tolist()
    omitted_rows = int(np.bitwise_xor.reduce(numbers[:, 2]))
    zeros = int(numbers[:, 3].sum())
    names: list[Any] = [None] * world
    dist.all_gather_object(names, sketch.dtypes, group=group)

    parts = sketch.parts()
    counts = gather(np.array([part.count for part in parts], dtype=np.int64))  # [world, blocks]
    means = gather(np.stack([part.mean for part in parts]))  # [world, blocks, dim]
    merged = []
    for i, part in enumerate(parts):
        if isinstance(part, Gram):
            new = _merged_gram(part, counts[:, i], means[:, i], group, device)
        else:
            padded = np.zeros((sketch.dim, sketch.dim))
            padded[: len(part.factor)] = part.factor
            new = _merged_triangle(counts[:, i], means[:, i], gather(padded))
        merged.append(new)
    about = {"seen": seen, "omitted": omitted, "omitted_rows": omitted_rows, "zeros": zeros}
    sketch.adopt(merged, **about, dtypes=set().union(*names))


def _merged_gram(mine: Gram, counts: np.ndarray, means: np.ndarray, group: Any, device: Any) -> Gram:
    """Each process moves its scatter to the common mean; then they add up."""
    import torch
    import torch.distributed as dist

    count = int(counts.sum())
    mean = (counts / max(count, 1)) @ means
    gap = mine.mean - mean
    moved = torch.from_numpy(mine.factor + mine.count * np.outer(gap, gap)).to(device)
    dist.all_reduce(moved, op=dist.ReduceOp.SUM, group=group)
    return Gram(count, mean, moved.cpu().numpy())


def _merged_triangle(counts: np.ndarray, means: np.ndarray, factors: np.ndarray) -> Triangle:
    new = Triangle.empty(means.shape[-1])
    for count, mean, factor in zip(counts.tolist(), means, factors, strict=True):
        if count:
            new.merge(Triangle(count, mean, factor))
    return new
