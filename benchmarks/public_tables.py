"""Where the public tables lie that some benchmarks need, and who made a page: shared by these benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

from sonoscale.provenance import provenance

__all__ = ["find_table", "made_by"]

DOCS = Path(__file__).parent.parent / "docs"


def find_table(given: Path | None, name: str, source: str) -> Path:
    """The file that was given, or this one in the folder `SONOSCALE_DATA`, or its folder `laws`.

    Raises:
        SystemExit: There is none, with where it comes from.
    """
    folder = os.environ.get("SONOSCALE_DATA")
    tried = [given] if given is not None else [] if not folder else [Path(folder) / name, Path(folder) / "laws" / name]
    for path in tried:
        if path.is_file():
            return path
    where = ", ".join(map(str, tried)) or "nothing: no path was given and SONOSCALE_DATA is not set"
    raise SystemExit(f"no table {name} (tried {where}). It is not part of the project. {source}")


def made_by(script: str, seed: int, data: Path | None = None) -> str:
    """The line under a page: command, seed, versions, machine, load."""
    about = provenance("numpy", "scipy")
    made = ", ".join(f"{name} {about[name]}" for name in ("sonoscale", "python", "numpy", "scipy") if name in about)
    table = f" on `{data.name}`" if data else ""
    return (
        f"`python benchmarks/{script}`{table}, seed {seed}, {about['created']}; {made}; {about['cpu']}, "
        f"{about['cores']} cores, load average {os.getloadavg()[0]:.1f}."
    )
