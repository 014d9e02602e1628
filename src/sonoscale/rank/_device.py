"""Scatter matrices of all blocks on a device, float64, by batched matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.rank._moments import Gram

if TYPE_CHECKING:
    from torch import Tensor


class DeviceGrams:
    """The blocks of a sketch held on one torch device; `pull` gives them as NumPy.

    Every row of a call is taken in by one batched product `[blocks, dim, rows] @ [blocks, rows, dim]`, so large calls
    are cheapest: each call reads and writes `blocks * dim**2` numbers besides.

    Arguments:
        parts: what each block holds so far.
        device: a torch device.
    """

    def __init__(self, parts: Sequence[Gram], device: Any) -> None:
        import torch

        self.count = np.array([part.count for part in parts], dtype=np.int64)
        self.mean = torch.from_numpy(np.stack([part.mean for part in parts])).to(device)
        self.factor = torch.from_numpy(np.stack([part.factor for part in parts])).to(device)

    def add(self, rows: Tensor, assigned: np.ndarray) -> None:
        """Take in rows `[k, dim]`, each to its block."""
        import torch

        blocks, dim = self.mean.shape
        device = self.mean.device
        new = np.bincount(assigned, minlength=blocks)
        order = np.argsort(assigned, kind="stable")
        place = np.arange(len(order)) - np.repeat(np.cumsum(new) - new, new)  # within its block
        padded = torch.zeros(blocks, int(new.max()) + 1, dim, dtype=torch.float64, device=device)
        at = torch.from_numpy(assigned[order]).to(device), torch.from_numpy(place).to(device)
        padded[at] = rows.to(device)[torch.from_numpy(order).to(device)].double()

        added = torch.from_numpy(new).to(device)[:, None].double()
        before = torch.from_numpy(self.count).to(device)[:, None].double()
        mean = padded.sum(dim=1) / added.clamp(min=1)
        padded[at] -= mean[at[0]]
        together = (before + added).clamp(min=1)
        gap = torch.where(added > 0, mean - self.mean, 0.0)
        padded[:, -1] = gap * (before * added / together).sqrt()
        self.factor.baddbmm_(padded.transpose(1, 2), padded)
        self.mean += gap * (added / together)
        self.count += new

    def pull(self) -> list[Gram]:
        """The blocks on the CPU."""
        mean, factor = self.mean.cpu().numpy(), self.factor.cpu().numpy()
        each = zip(self.count.tolist(), mean, factor, strict=True)
        return [Gram(count, m.copy(), f.copy()) for count, m, f in each]
