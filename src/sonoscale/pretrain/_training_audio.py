"""The audio that a finished run was trained on."""

from __future__ import annotations

from pathlib import Path

import torch

from sonoscale.config import validate
from sonoscale.corpora import Corpus, CorpusData, DataConfig, ProceduralData
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig


def training_audio(run: Path) -> Corpus | None:
    """All recordings that it had at hand, also those it held out, opened again where they were, whole.

    None for a run on synthesised clips.

    Arguments:
        run: a run folder or a checkpoint file.

    Raises:
        SonoscaleError: no run, or its audio is no longer there.
    """
    file = run / "checkpoint.pt" if run.is_dir() else run
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        raw = content["config"]
    except Exception as error:
        raise SonoscaleError(f"{file}: not a Sonoscale checkpoint ({type(error).__name__})") from error
    data: DataConfig = validate(RunConfig, raw, source=str(file)).data
    if isinstance(data, CorpusData):
        data = data.model_copy(update={"max_seconds": None})
    return None if isinstance(data, ProceduralData) else data.everything()
