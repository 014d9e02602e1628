"""Memory: what there is, what this process has had, and refusing what there is not enough for."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from sonoscale.errors import SonoscaleError

__all__ = ["available_memory", "check_memory", "peak_memory"]

CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Limit, use, and what of the use could be given up: of control groups of the second and the first version."""


def available_memory() -> int | None:
    """Bytes that may still be taken without swapping, within the limit that a container or a scheduler has set.

    None where that is not known.
    """
    found = [
        there for there in (_machine(), *(_control_group(*files) for files in CONTROL_GROUPS)) if there is not None
    ]
    return min(found, default=None)


def check_memory(needed: int, what: str) -> None:
    """Refuse what there is no memory for, before it is begun.

    Raises:
        SonoscaleError: `needed` bytes are more than there are to be had.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise SonoscaleError(f"{what} need {needed / 2**30:,.1f} GiB of memory, and {there / 2**30:,.1f} GiB are free")


def peak_memory() -> int:
    """The most memory that this process has had, bytes.

    Not that of the process that started it: `ru_maxrss` of a child of a large process is as large on Linux.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _control_group(limit: str, used: str, parts: str) -> int | None:
    try:
        left = int(Path(limit).read_text()) - int(Path(used).read_text())
    except (OSError, ValueError):  # none, or "max"
        return None
    try:
        for line in Path(parts).read_text().splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):  # cached files, given up when needed
                left += int(line.split()[1])
                break
    except (OSError, ValueError, IndexError):
        pass
    return max(0, left)
