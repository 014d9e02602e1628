"""Load an encoder from one string."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._config import EncoderConfig
from sonoscale.errors import SonoscaleError


def load_encoder(spec: str | Path) -> AudioEncoder:
    """Load a trained encoder, in eval mode.

    Arguments:
        spec: a run folder (its `checkpoint.pt` is read) or a checkpoint file.

    Raises:
        SonoscaleError: nothing there, or not a Sonoscale checkpoint.
    """
    path = Path(spec)
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.is_file():
        raise SonoscaleError(f"{spec}: no such run folder or checkpoint file")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        config = EncoderConfig.model_validate(content["config"]["encoder"])
        encoder = AudioEncoder(config)
        encoder.load_state_dict(content["encoder"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise SonoscaleError(f"{path}: not a Sonoscale checkpoint ({type(error).__name__})") from error
    return encoder.eval()
