"""A trained encoder, and what its run recorded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sonoscale.encoders import AudioEncoder, checkpoint_content, checkpoint_encoder, checkpoint_path, pool_dim
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import read_record, unfinished_run


@dataclass(frozen=True)
class TrainedEncoder:
    """What is exported.

    Attributes:
        encoder: in eval mode, on the CPU.
        run: the run folder or checkpoint file.
        config: of the run.
        step: that the checkpoint was taken at.
        record: of the run, None for a checkpoint that lies alone.
        hash: 12 hexadecimal digits, of weights and shape.
        readout: what a clip's embedding is in the export, a name of `READOUTS`.
    """

    encoder: AudioEncoder
    run: Path
    config: dict[str, Any]
    step: int | None
    record: dict[str, Any] | None
    hash: str
    readout: str = "mean"

    @property
    def dim(self) -> int:
        """Width of a clip's embedding, as it is read out."""
        return pool_dim(self.encoder.dim, self.encoder.frequency_patches, self.readout)

    @property
    def shape(self) -> dict[str, Any]:
        """The encoder's configuration as a plain dictionary."""
        return self.encoder.config.model_dump(mode="json")

    @property
    def budget(self) -> dict[str, Any]:
        """What the record holds of the checkpoint's budget; empty if it is not known."""
        budgets = (self.record or {}).get("budgets", [])
        return next((each for each in budgets if each.get("step") == self.step), {})

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """The weights, each in memory of its own."""
        return {name: value.detach().clone().contiguous() for name, value in self.encoder.state_dict().items()}


def read_trained(run: str | os.PathLike[str], readout: str = "mean") -> TrainedEncoder:
    """Read a finished run.

    Arguments:
        run: its folder, for its last checkpoint, or one of its checkpoint files.
        readout: what its export gives for a clip.

    Raises:
        SonoscaleError: there is no such run, it is not finished, or it is no run of Sonoscale.
    """
    run = Path(run).expanduser()
    hidden = unfinished_run(run.absolute())
    if not run.exists() and hidden.is_dir():
        raise SonoscaleError(f"{run}: this run is not finished ({hidden}); run the same pretrain again to finish it")
    if run.is_dir() and not (run / "record.json").is_file():
        if (run / "state.pt").is_file() or any(run.glob("checkpoint*.pt")):
            raise SonoscaleError(f"{run}: this run is not finished (no record.json); name a checkpoint file in it")
        raise SonoscaleError(f"{run}: no run folder: it has no record.json")
    file = checkpoint_path(run)
    content = checkpoint_content(file)
    encoder = checkpoint_encoder(file, content)
    digits = encoder.identity.rpartition(":")[2]
    return TrainedEncoder(
        encoder, run, content["config"], content.get("step"), read_record(file.parent), digits[:12], readout
    )  # fmt: skip
