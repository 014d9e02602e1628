"""Who made these numbers: versions, machine, command, time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sonoscale import __version__

__all__ = ["provenance", "versions"]


def versions(*packages: str) -> dict[str, str]:
    """Versions of Sonoscale, Python and these packages, by their names on PyPI; those not installed are left out."""
    found = {"sonoscale": __version__, "python": platform.python_version()}
    for name in packages:
        module = sys.modules.get(name)
        version = getattr(module, "__version__", None)  # says which build it is, as metadata may not
        try:
            found[name] = str(version or importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def provenance(*packages: str) -> dict[str, Any]:
    """What a reader needs to repeat a computation, as JSON can hold it."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **versions(*packages),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()
