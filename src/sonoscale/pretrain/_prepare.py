"""From a run's configuration to its log-mels and its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sonoscale.config import config_hash
from sonoscale.corpora import Corpus, FeatureStore, build_features, feature_pool
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._identity import all_clips, enough, run_identity
from sonoscale.pretrain._waves import WaveStore


@dataclass(frozen=True)
class PreparedRun:
    """What `pretrain` takes.

    Attributes:
        train: log-mels, or the waveforms of which they are computed in every step.
        heldout: log-mels.
        identity: all that decides the outcome.
        name: its hash, which names the run's folder.
    """

    train: FeatureStore | WaveStore
    heldout: FeatureStore
    identity: dict[str, Any]
    name: str


def prepare_run(
    config: RunConfig, cache: Path, *, workers: int, report: Callable[[str, int, int], None]
) -> PreparedRun:
    """Find the audio of a run and compute the log-mels that are missing; of training clips only if they are cached.

    Arguments:
        config: the run.
        cache: folder of computed log-mels and their statistics.
        workers: processes.
        report: told what is being computed, how many clips are done with, and of how many.

    Raises:
        SonoscaleError: the audio is not there, cannot be read, or is less than the run needs.
    """
    training, heldout = config.data.training(), config.data.heldout()
    enough(config, len(training))
    front_end, on_device = config.encoder.front_end, config.train.log_mels == "on_device"
    with feature_pool(workers) as pool:

        def features(what: str, corpus: Corpus, dtype: str) -> FeatureStore:
            progress = partial(report, what)
            return build_features(corpus, front_end, cache, dtype=dtype, pool=pool, progress=progress)

        if on_device:
            train = WaveStore(training, front_end, cache=cache)
            train.statistics(progress=partial(report, "mean and deviation"))  # once, for all processes of the run
        else:
            train = features("training audio", training, "float16")
        held = features("held-out audio", heldout, "float32")
    check_lengths("held-out audio", held, heldout, config)
    everything = all_clips(config.data).training()
    identity = run_identity(config, training=everything, clips=len(training), heldout=held.corpus)
    return PreparedRun(train, held, identity, config_hash(identity))


def check_lengths(what: str, store: FeatureStore, corpus: Corpus, config: RunConfig) -> None:
    """Whether every clip that is embedded whole has one patch at least.

    Arguments:
        what: the clips are, for messages.
        store: their log-mels.
        corpus: which they are of.
        config: of the encoder.

    Raises:
        SonoscaleError: one is too short (named).
    """
    patch, lengths = config.encoder.patch_frames, store.lengths()
    short = int((lengths < patch).sum())
    if short:
        index = int(lengths.argmin())
        need = config.encoder.front_end.samples(patch) / corpus.sample_rate
        raise SonoscaleError(
            f"{what}: {corpus.name(index)} is shorter than one patch of {patch} frames ({need:.3f} s), as are "
            f"{short - 1} other clips; leave them out or lower encoder.patch_frames"
        )
