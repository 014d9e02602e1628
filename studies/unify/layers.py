"""Rank of every layer of the trained encoders: `python studies/unify/layers.py FOLDER` writes `ledgers/layers.parquet`.

FOLDER is that of `variables.yaml` after a run: weights are read, and the held-out clips of the pool. A row per run and
layer, with the rank of the token mean; a run that is in the file already is not measured again. Not registered.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.progress import track

from sonoscale.config import load_config
from sonoscale.encoders import Encoder, load_encoder
from sonoscale.files import replacing
from sonoscale.pretrain import RunConfig
from sonoscale.rank import rankme


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the study")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ledgers" / "layers.parquet")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = pq.read_table(options.out).to_pylist() if options.out.is_file() else []
    done = {row["run"] for row in rows}
    waves: list[torch.Tensor] = []
    for run in track(
        [p.parent for p in sorted(options.folder.glob("runs/*/record.json")) if p.parent.name not in done]
    ):
        if not waves:
            heldout = load_config(RunConfig, run / "config.yaml").data.heldout()
            waves = [torch.from_numpy(heldout.wave(i)) for i in range(len(heldout))]
        for layer, embeddings in enumerate(by_layer(load_encoder(run), waves)):
            found = rankme(embeddings)
            rows.append({"run": run.name, "layer": layer, "rankme": found.value, "n": found.n, "dim": found.dim})
        with replacing(options.out) as file:
            pq.write_table(pa.Table.from_pylist(rows), file)


@torch.inference_mode()
def by_layer(encoder: Encoder, waves: list[torch.Tensor]) -> torch.Tensor:
    """Token means of all layers [layers, clips, dim], the first of the patches; clips of one length go together."""
    lengths: dict[int, list[int]] = {}
    for i, wave in enumerate(waves):
        lengths.setdefault(len(wave), []).append(i)
    parts, order = [], []
    for alike in lengths.values():
        for start in range(0, len(alike), 32):
            batch = alike[start : start + 32]
            parts.append(encoder.embed_layers(torch.stack([waves[i] for i in batch])).float())
            order += batch
    return torch.cat(parts, dim=1)[:, torch.tensor(order).argsort()]


if __name__ == "__main__":
    main()
