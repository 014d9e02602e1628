"""Rank of the procedural stratum on the held-out clips of the pool, as registered of all runs.

`python studies/unify/ranks_on_pool.py VARIABLES PROCEDURAL` writes `ledgers/ranks-on-pool.parquet`, a row per run and
checkpoint. The folders are those of the two studies: the first says which clips, the second has the encoders, whose own
ledger has their ranks on synthesised clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.progress import track

from sonoscale.config import load_config
from sonoscale.encoders import load_encoder
from sonoscale.encoders._readout import with_readouts
from sonoscale.files import replacing
from sonoscale.pretrain import RunConfig
from sonoscale.rank import rankme

READOUT = "frequency+std"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variables", type=Path)
    parser.add_argument("procedural", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ledgers" / "ranks-on-pool.parquet")
    options = parser.parse_args()
    one = next(iter(sorted(options.variables.glob("runs/*/config.yaml"))))
    heldout = load_config(RunConfig, one).data.heldout()
    waves = [torch.from_numpy(heldout.wave(i)) for i in range(len(heldout))]
    rows: list[dict[str, Any]] = []
    for record in track(sorted(options.procedural.glob("runs/*/record.json"))):
        for step, file in checkpoints(record):
            rows.append({"run": record.parent.name, "step": step} | ranks(str(file), waves))
        with replacing(options.out) as partial:
            pq.write_table(pa.Table.from_pylist(rows), partial)


def checkpoints(record: Path) -> list[tuple[int, Path]]:
    """Step and file of each budget of a run."""
    steps = [budget["step"] for budget in json.loads(record.read_text())["budgets"]]
    return [
        (step, record.parent / ("checkpoint.pt" if step == max(steps) else f"checkpoint-{step:06d}.pt"))
        for step in steps
    ]


@torch.inference_mode()
def ranks(spec: str, waves: list[torch.Tensor]) -> dict[str, float]:
    """Of the token mean and of the readout, as the ledger of a study has them."""
    encoder = load_encoder(spec)
    reader = with_readouts(encoder, ["mean", READOUT])
    found = torch.cat([reader.embed(wave[None]) for wave in waves]).float()
    parts = {"": found[:, : encoder.dim], "_readout": found[:, encoder.dim :]}
    return {
        f"rankme{centred}{name}": rankme(part.numpy(), estimator=f"rankme{centred}", interval=False).value
        for name, part in parts.items() for centred in ("", "_centred")
    }  # fmt: skip


if __name__ == "__main__":
    main()
