"""From a run's configuration to its log-mels and its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonoscale.config import config_hash
from sonoscale.corpora import FeatureStore, build_features, feature_pool
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._identity import all_clips, run_identity


@dataclass(frozen=True)
class PreparedRun:
    """What `pretrain` takes.

    Attributes:
        train, heldout: log-mels.
        identity: all that decides the outcome.
        name: its hash, which names the run's folder.
    """

    train: FeatureStore
    heldout: FeatureStore
    identity: dict[str, Any]
    name: str


def prepare_run(
    config: RunConfig, cache: Path, *, workers: int, report: Callable[[str, int, int], None]
) -> PreparedRun:
    """Find the audio of a run and compute the log-mels that are missing.

    Arguments:
        config: the run.
        cache: folder of computed log-mels.
        workers: processes.
        report: told what is being computed, how many clips are done with, and of how many.

    Raises:
        SonoscaleError: the audio is not there, cannot be read, or is less than the run needs.
    """
    training, heldout = config.data.training(), config.data.heldout()
    stores = []
    with feature_pool(workers) as pool:
        for what, corpus, dtype in (("training audio", training, "float16"), ("held-out audio", heldout, "float32")):
            stores.append(
                build_features(
                    corpus, config.encoder.front_end, cache, dtype=dtype, pool=pool,
                    progress=lambda done, total, what=what: report(what, done, total),
                )
            )  # fmt: skip
    train, held = stores
    everything = all_clips(config.data).training()
    identity = run_identity(config, training=everything, clips=len(training), heldout=held.corpus)
    return PreparedRun(train, held, identity, config_hash(identity))
