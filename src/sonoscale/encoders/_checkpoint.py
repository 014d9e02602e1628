"""Checkpoints of our own encoders: read only if they are what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._config import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.files import check_zip, digest, read_json

__all__ = ["checkpoint_content", "checkpoint_encoder", "checkpoint_path", "run_title"]


def checkpoint_path(run: Path) -> Path:
    """The checkpoint of a run's last budget, of its folder; a file is itself.

    Raises:
        SonoscaleError: there is none.
    """
    path = run / "checkpoint.pt" if run.is_dir() else run
    if path.is_file():
        return path
    if (run / "config.json").is_file():
        raise SonoscaleError(f"{run}: no run folder, but one of transformers: write hf:{run}")
    raise SonoscaleError(f"{run}: no such run folder or checkpoint file")


def run_title(path: str | Path) -> str | None:
    """The name that a run of ours was given and that of its folder, as tables show it: `small (3f2a19c0)`.

    Arguments:
        path: of the run folder, or of a checkpoint in it.

    Returns:
        None where there is no such run, or it has no name.
    """
    run, part = Path(path), ""
    if run.suffix == ".pt":
        run, part = run.parent, "" if run.name == "checkpoint.pt" else f", {run.stem}"
    try:
        name = read_json(run / "record.json")["name"]
    except (SonoscaleError, KeyError, TypeError):
        return None
    return f"{name} ({run.absolute().name}{part})" if name and isinstance(name, str) else None


def checkpoint_content(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, on the CPU: `config` of the run, `step`, weights of the `encoder`.

    Its parts are compared with their checksums, and all of it with the digest in the record of its run, if that lies
    beside it.

    Raises:
        SonoscaleError: it is damaged, not the one that the run wrote, or no checkpoint.
    """
    check_zip(path)
    known = _recorded(path)
    if known is not None and digest(path) != known:
        raise SonoscaleError(f"{path}: damaged or replaced: it is not what the run beside it wrote")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not isinstance(content["config"], dict):
            raise TypeError
        if not isinstance(content["config"]["encoder"], dict):
            raise TypeError
        if not all(isinstance(each, Tensor) for each in content["encoder"].values()):
            raise TypeError
    except Exception as error:  # whatever a file of other content brings about
        raise SonoscaleError(f"{path}: not a Sonoscale checkpoint ({type(error).__name__})") from error
    return content


def checkpoint_encoder(path: Path, content: dict[str, Any] | None = None) -> AudioEncoder:
    """The encoder in a checkpoint file, in eval mode, on the CPU.

    Arguments:
        path: the file.
        content: of it, if it was read already.

    Raises:
        SonoscaleError: see `checkpoint_content`; or its weights do not fit its configuration.
    """
    content = checkpoint_content(path) if content is None else content
    try:
        encoder = AudioEncoder(EncoderConfig.model_validate(content["config"]["encoder"]))
        encoder.load_state_dict(content["encoder"])
    except Exception as error:
        raise SonoscaleError(f"{path}: not a Sonoscale checkpoint ({type(error).__name__})") from error
    return encoder.eval()


def _recorded(path: Path) -> str | None:
    """The digest of a checkpoint in the record of its run; None where there is none to be read."""
    record = path.with_name("record.json")
    if not record.is_file():
        return None
    content: Any = read_json(record, "the record of a run")
    for key in ("files", path.name, "sha256"):
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, str) else None
