"""The files of a run: written beside their place, then moved there in one step."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._flops import Cost
from sonoscale.pretrain._mae import MaskedAutoencoder
from sonoscale.pretrain._monitor import RankReading
from sonoscale.processes import unfinished_folder

_METRICS = pa.schema(
    [("step", pa.int64()), ("phase", pa.string())]
    + [
        (name, pa.float64())
        for name in (
            "loss", "lr", "rankme", "rankme_centred", "clips_seen", "hours_seen", "flops_encoder", "flops_total",
            "seconds",
        )
    ]
)  # fmt: skip


class RunWriter:
    """Collects what a run produces and lets it appear at once, complete."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        identity: dict[str, Any],
        cost: Cost,
        clips: int,
        train_seconds: float,
    ) -> None:
        self.config = config
        self.folder = folder
        self._partial = unfinished_folder(folder)
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._rows: list[dict[str, Any]] = []
        self._spectra: dict[str, np.ndarray] = {}
        self._record: dict[str, Any] = {
            "identity": identity,
            "clips": clips,
            "hours": train_seconds / 3600,
            "params_encoder": cost.params_encoder,
            "params_decoder": cost.params_decoder,
            "versions": {"sonoscale": __version__, "torch": torch.__version__, "numpy": np.__version__},
            "budgets": [],
        }
        content = config.model_dump(mode="json")
        (self._partial / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def log(self, **row: Any) -> None:
        """One training step."""
        self._rows.append(row)

    def log_rank(self, phase: str, step: int, reading: RankReading, seen: dict[str, float]) -> None:
        """One rank measurement; the first and the last spectrum are kept."""
        ranks = {"rankme": reading.uncentred.value, "rankme_centred": reading.centred.value}
        self._rows.append({"phase": phase, **seen, **ranks})
        if step == 0 or (phase != "trunk" and step == self.config.train.budgets[-1]):
            self._spectra[f"step_{step}"] = reading.spectrum
            self._spectra[f"step_{step}_centred"] = reading.spectrum_centred

    def finish_budget(
        self, step: int, model: MaskedAutoencoder, reading: RankReading, loss: float, seen: dict[str, float]
    ) -> None:
        """A budget is trained to its end: keep the model and its measurements."""
        result = {
            **seen,
            "step": step,
            "loss": loss,
            "rank": reading.uncentred.as_dict(),
            "rank_centred": reading.centred.as_dict(),
        }
        self._record["budgets"].append(result)
        content = {
            "config": self.config.model_dump(mode="json"),
            "step": step,
            "encoder": model.encoder.state_dict(),
            "decoder": model.decoder.state_dict(),
        }
        final = step == self.config.train.budgets[-1]
        name = "checkpoint.pt" if final else f"checkpoint-{step:06d}.pt"
        buffer = io.BytesIO()  # through memory: on a full disk torch.save itself raises no OSError
        torch.save(content, buffer)
        (self._partial / name).write_bytes(buffer.getbuffer())

    def close(self) -> None:
        """Write what is left and move the folder to its place."""
        columns = {f.name: [row.get(f.name) for row in self._rows] for f in _METRICS}
        table = pa.table(columns, schema=_METRICS)
        pq.write_table(table, self._partial / "metrics.parquet", compression="zstd")
        np.savez_compressed(self._partial / "spectra.npz", **self._spectra)  # pyright: ignore[reportArgumentType]
        (self._partial / "record.json").write_text(json.dumps(self._record, indent=1))
        if (self.folder / "record.json").is_file():  # another process was faster
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self._partial.replace(self.folder)

    def discard(self) -> None:
        """Remove what an interrupted run has left (nothing after `close`)."""
        shutil.rmtree(self._partial, ignore_errors=True)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a finished run, or None where there is none.

    Raises:
        SonoscaleError: the record is there but cannot be read.
    """
    file = folder / "record.json"
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SonoscaleError(f"{file}: not a readable record ({error}); delete {folder} to train it again") from error


def checkpoint_file(folder: Path, step: int, last: int) -> Path:
    """The checkpoint of one budget of a run."""
    return folder / ("checkpoint.pt" if step == last else f"checkpoint-{step:06d}.pt")
