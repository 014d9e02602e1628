"""One of our own encoders, of its run or of what was exported of it, as the beginning of another training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._checkpoint import checkpoint_encoder, checkpoint_path
from sonoscale.encoders._config import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.files import read_json

__all__ = ["own_encoder"]


def own_encoder(source: str) -> AudioEncoder:
    """An encoder of Sonoscale with its weights, in eval mode, on the CPU.

    Arguments:
        source: a run folder, for its last checkpoint; a checkpoint file; or the folder of an export to `hf`, with or
            without `hf:` before it.

    Raises:
        SonoscaleError: there is none, it is damaged, or it is no encoder of ours.

    Example:
        >>> own_encoder("results/runs/none")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: results/runs/none: no such run folder, checkpoint or hf export
    """
    path = Path(source.removeprefix("hf:")).expanduser()
    if not path.exists():
        raise SonoscaleError(f"{source}: no such run folder, checkpoint or hf export")
    if (path / "config.json").is_file() and not (path / "checkpoint.pt").is_file():
        return _exported(path)
    if path.is_dir() and not (path / "checkpoint.pt").is_file():
        raise SonoscaleError(f"{source}: neither a finished run (no checkpoint.pt) nor an hf export (no config.json)")
    return checkpoint_encoder(checkpoint_path(path))


def _exported(folder: Path) -> AudioEncoder:
    from safetensors.torch import load_file

    content: Any = read_json(folder / "config.json", "the configuration of an exported encoder")
    if not isinstance(content, dict) or content.get("model_type") != "sonoscale" or "shape" not in content:
        raise SonoscaleError(f"{folder}: a model of another kind; a training begins with an encoder of Sonoscale only")
    try:
        encoder = AudioEncoder(EncoderConfig.model_validate(content["shape"]))
        weights = load_file(folder / "model.safetensors")
        encoder.load_state_dict({name.removeprefix("encoder."): each for name, each in weights.items()})
    except Exception as error:  # whatever files of other content bring about
        said = str(error).splitlines()[0]
        raise SonoscaleError(f"{folder}: not an hf export of Sonoscale ({type(error).__name__}: {said})") from error
    return encoder.eval()
