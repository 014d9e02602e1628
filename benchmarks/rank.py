"""Speed and memory of the effective-rank engine: `python benchmarks/rank.py`.

Everything is on one core but where a GPU is named; ratios are of rounds side by side. Needs 2 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.linalg import get_blas_funcs

from sonoscale.processes import single_threaded
from sonoscale.provenance import provenance
from sonoscale.rank import SpectralSketch, open_embeddings
from sonoscale.rank._formulas import spectrum_rankme
from sonoscale.rank._sources import sketch_file

DIM, ROWS, SVD_ROWS, CHUNK = 768, 200_000, 100_000, 4096
ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_embeddings(path: Path, rows: int) -> Path:
    """Float32 rows whose singular values fall as a power, about a mean."""
    rng, scale = np.random.default_rng(0), np.arange(1, DIM + 1, dtype=np.float32) ** -0.7
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, DIM))
    for start in range(0, rows, 10_000):
        array[start : start + 10_000] = rng.standard_normal((10_000, DIM), dtype=np.float32) * scale + 0.05
    return path


def against_syrk(path: Path) -> dict[str, str]:
    """The sketch of a file, and the same chunks through nothing but a symmetric product."""
    syrk: Any = get_blas_funcs("syrk", dtype=np.float64)
    file = open_embeddings(path)

    def bare() -> None:
        gram = np.zeros((DIM, DIM), order="F")
        for chunk in file.chunks(CHUNK):
            syrk(1.0, chunk.astype(np.float64).T, beta=1.0, c=gram, lower=1, overwrite_c=1)

    def sketch() -> None:
        sketch_file(file).sketch.parts()

    bare()
    sketch()
    pairs = [(seconds(bare), seconds(sketch)) for _ in range(ROUNDS)]
    ratio = statistics.median(b / a for a, b in pairs)
    return {
        f"sketch of {file.n:,} x {DIM} float32 from disk": f"{statistics.median(b for _, b in pairs):.2f} s",
        "the same over a bare float64 syrk loop": f"{ratio:.2f} times (target: at most 1.3)",
    }


def against_svd(path: Path) -> dict[str, str]:
    """RankMe by the sketch and by NumPy's singular value decomposition of the rows that fit."""
    rows = np.load(path, mmap_mode="r")[:SVD_ROWS]
    found: dict[str, float] = {}

    def svd() -> None:
        found["svd"] = spectrum_rankme(np.linalg.svd(rows.astype(np.float64), compute_uv=False))

    def sketch() -> None:
        made = SpectralSketch(DIM)
        made.update(rows)
        found["sketch"] = spectrum_rankme(made.spectrum())

    sketch()
    pairs = [(seconds(svd), seconds(sketch)) for _ in range(3)]
    ratio = statistics.median(a / b for a, b in pairs)
    return {
        f"numpy.linalg.svd of {SVD_ROWS:,} rows over the sketch": f"{ratio:.1f} times (target: at least 8)",
        "relative difference in RankMe": f"{abs(found['sketch'] / found['svd'] - 1):.1e} (target: 1e-9)",
    }


def peak_memory(path: Path) -> str:
    """Of `sonoscale measure --embeddings`, in a process of its own."""
    code = (
        "import sys; from sonoscale.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "measure", "--embeddings", str(path)], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return f"{int(found.stdout.split()[-1]) // 1024} MiB (target: under 400)"


def single_steps() -> dict[str, str]:
    rng = np.random.default_rng(0)
    sketch, rows = SpectralSketch(DIM), rng.standard_normal((CHUNK, DIM), dtype=np.float32)
    wide = rng.standard_normal((4096, 2048))
    gram = wide.T @ wide
    sketch.update(rows)
    np.linalg.eigvalsh(gram)
    update = statistics.median(seconds(lambda: sketch.update(rows)) for _ in range(9))
    eigenvalues = statistics.median(seconds(lambda: np.linalg.eigvalsh(gram)) for _ in range(3))
    return {
        f"update of {CHUNK} x {DIM} float32": f"{1e3 * update:.0f} ms",
        "eigvalsh of 2048 dimensions": f"{eigenvalues:.2f} s",
    }


def on_gpu() -> dict[str, str]:
    """Updates against a plain product in float64, and the value against the CPU's."""
    if not torch.cuda.is_available():
        return {"GPU": "none here: not measured"}
    rows = torch.randn(65_536, DIM, device="cuda") * torch.arange(1, DIM + 1, device="cuda") ** -0.7
    double = rows.double()
    sketch = SpectralSketch(DIM)

    def synchronised(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    product, update = synchronised(lambda: double.T @ double), synchronised(lambda: sketch.update(rows))
    product()
    update()
    share = statistics.median(seconds(product) / seconds(update) for _ in range(9))
    on_cpu, on_cuda = SpectralSketch(DIM), SpectralSketch(DIM)
    on_cpu.update(rows.cpu())
    on_cuda.update(rows)
    off = abs(spectrum_rankme(on_cuda.spectrum()) / spectrum_rankme(on_cpu.spectrum()) - 1)
    return {
        f"{torch.cuda.get_device_name()}: update over a float64 product": f"{share:.0%} of its speed (target: 60%)",
        "relative difference in RankMe to the CPU": f"{off:.1e} (target: 1e-6)",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="where to write 2 GB for a while")
    folder = parser.parse_args().folder
    single_threaded()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = write_embeddings(Path(temporary) / "a.npy", ROWS)
        found = against_syrk(path) | against_svd(path) | single_steps()
        for rows in (50_000, 400_000):
            path = write_embeddings(Path(temporary) / "a.npy", rows)
            found[f"peak memory of the command, n = {rows:,}"] = peak_memory(path)
    found |= on_gpu()
    table = Table(title="Effective-rank engine, one core, medians", title_justify="left")
    table.add_column("what")
    table.add_column("measured")
    for what, measured in found.items():
        table.add_row(what, measured)
    console = Console(width=130)
    console.print(table)
    facts = provenance("torch", "numpy", "scipy")
    console.print(", ".join(f"{k} {facts[k]}" for k in ("sonoscale", "python", "torch", "numpy", "cpu", "cores")))


if __name__ == "__main__":
    main()
