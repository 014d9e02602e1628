"""Memory: what a run is expected to need, and what there is."""

from __future__ import annotations

import os
from pathlib import Path

from sonoscale.pretrain import RunConfig, training_cost

__all__ = ["available_memory", "run_memory"]

PROCESS = 500 * 2**20
"""Bytes of a process with its libraries."""

COPIES = 12
"""Of the weights: gradients, two moments, the trunk while a branch is trained, and a checkpoint on its way to disk."""

PER_TOKEN = 68
"""Bytes that a block keeps of a token for the backward pass, by dimension of the width (Korthikanti et al., 2022,
equation 2, in float32)."""


def run_memory(config: RunConfig) -> int:
    """Bytes that the training of a run takes, roughly and rather too many."""
    cost = training_cost(config)
    params = cost.params_encoder + cost.params_decoder + cost.params_head + cost.params_teacher
    examples = config.train.batch_size // config.train.accumulate
    tokens = examples * config.patches
    blocks = config.encoder.depth + (config.objective.decoder_depth if config.objective.kind != "contrastive" else 0)
    return PROCESS + 4 * COPIES * params + PER_TOKEN * tokens * config.encoder.width * blocks


def available_memory() -> int:
    """Bytes that may still be taken on this machine, within the limit that a container or a scheduler has set."""
    found = [limit for limit in (_machine(), *_control_groups()) if limit is not None]
    return min(found) if found else 2**62


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _control_groups() -> list[int]:
    """What limits of control groups leave, of both versions."""
    found = []
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            found.append(int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return [max(0, one) for one in found]
