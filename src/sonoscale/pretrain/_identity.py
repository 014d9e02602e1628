"""What a run is: all that decides its outcome, and the folder named after it."""

from __future__ import annotations

from typing import Any

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, DataConfig
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig

FORMAT = 1
"""Raised when a change in the code makes finished runs incomparable."""


def all_clips(data: DataConfig) -> DataConfig:
    """The data without its volume: runs that share it train on nested subsets."""
    default = type(data).model_fields["clips"].default
    return data.model_copy(update={"clips": default, "hours": None})


def enough(config: RunConfig, clips: int) -> None:
    """Whether so many training clips are enough for a run.

    Raises:
        SonoscaleError: they are fewer than a batch.
    """
    try:
        config.check_clips(clips)
    except ValueError as error:
        raise SonoscaleError(str(error)) from None


def run_identity(config: RunConfig, *, training: Corpus, clips: int, heldout: str) -> dict[str, Any]:
    """JSON-able; its `config_hash` names the run's folder.

    Arguments:
        config: the run.
        training: all that there is to train on, whatever the volume.
        clips: how many of its clips the run is trained on.
        heldout: digest of the clips on which the rank is read.

    Raises:
        SonoscaleError: the clips are fewer than a batch.
    """
    enough(config, clips)
    return {
        "format": FORMAT,
        "run": config.outcome(),
        "train": config_hash(training.identity, 16),
        "clips": clips,
        "heldout": heldout,
    }
