"""From a run's configuration to its audio, its log-mels, and the folder named after all that decides its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sonoscale.audio import LogMelConfig
from sonoscale.config import config_hash, validate
from sonoscale.corpora import Corpus, CorpusData, DataConfig, FeatureStore, ProceduralData, build_features, feature_pool
from sonoscale.corpora._base import Joined
from sonoscale.encoders import checkpoint_content, checkpoint_path
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._initial import check_initial, initial_identity, initial_place
from sonoscale.pretrain._runtime import in_precision
from sonoscale.pretrain._waves import WaveStore
from sonoscale.processes import WorkerPool


@dataclass(frozen=True)
class PreparedRun:
    """What `train_run` takes.

    Attributes:
        train: log-mels, or the waveforms of which they are computed in every step.
        heldout: log-mels.
        config: the run, its precision resolved.
        identity: all that decides the outcome.
        name: its hash, which names the run's folder.
        initial: where the weights lie that it begins with, None where they are drawn.
    """

    train: FeatureStore | WaveStore
    heldout: FeatureStore
    config: RunConfig
    identity: dict[str, Any]
    name: str
    initial: str | None = None


def prepare_run(
    config: RunConfig, cache: Path, *, workers: int, report: Callable[[str, int, int], None]
) -> PreparedRun:
    """Find the audio of a run and compute the log-mels that are missing; of training clips only if they are cached.

    Arguments:
        config: the run.
        cache: folder of computed log-mels and their statistics.
        workers: processes.
        report: called with what is being computed, how many clips are done, and how many there are.

    Raises:
        SonoscaleError: the audio is not there, cannot be read, or is less than the run needs.
    """
    sources = Sources()
    check_initial(config)
    check_clips(config, len(sources.training(config.data)))
    with feature_pool(workers) as pool:
        prepared = Inputs(sources, cache, pool, report).of_run(config)
        if isinstance(prepared.train, WaveStore):
            prepared.train.statistics(progress=partial(report, "mean and deviation"))  # once, for all processes
    return prepared


class Sources:
    """Training and held-out corpora by configuration, each opened once for however many runs."""

    def __init__(self) -> None:
        self._corpora: dict[tuple[str, DataConfig], Corpus] = {}

    def training(self, data: DataConfig) -> Corpus:
        """The clips to train on."""
        return self._get("training", data)

    def heldout(self, data: DataConfig) -> Corpus:
        """The clips to measure the rank on, which do not depend on how many there are to train on."""
        return self._get("heldout", all_clips(data))

    def _get(self, which: str, data: DataConfig) -> Corpus:
        key = (which, data)
        if key not in self._corpora:
            self._corpora[key] = getattr(data, which)()
        return self._corpora[key]


class Inputs:
    """Log-mels or waveforms by content, each made once for however many runs.

    Arguments:
        sources: the corpora.
        cache: folder of computed log-mels and their statistics.
        pool: processes that compute them; None for this one.
        report: called with what is being computed, how many clips are done, and how many there are.
        threads: that decode a batch of waveforms; by default as many as `WaveStore` takes.
    """

    def __init__(
        self, sources: Sources, cache: Path, pool: WorkerPool | None, report: Callable[[str, int, int], None],
        *, threads: int | None = None,
    ) -> None:  # fmt: skip
        self.sources, self.cache, self.pool, self.report, self.threads = sources, cache, pool, report, threads
        self._stores: dict[tuple[int, LogMelConfig, str], tuple[Corpus, FeatureStore]] = {}
        self._waves: dict[tuple[int, LogMelConfig], WaveStore] = {}

    def of_run(self, config: RunConfig, *, shared: DataConfig | None = None) -> PreparedRun:
        """What a run takes.

        Arguments:
            config: the run.
            shared: data whose first clips are the training clips of this run, and of others: one store for all. By
                default the run's own.

        Raises:
            SonoscaleError: the audio is not there, cannot be read, or is less than the run needs.
        """
        config = in_precision(config)
        front_end, data = config.encoder.front_end, config.data
        training, heldout = self.sources.training(shared or data), self.sources.heldout(data)
        if config.train.log_mels == "on_device":
            train: FeatureStore | WaveStore = self.waves(training, front_end)
        else:
            train = self.features("training audio", training, front_end, "float16")
        held = self.features("held-out audio", heldout, front_end, "float32")
        check_lengths("held-out audio", held, heldout, config)
        identity = run_identity(
            config, training=self.sources.training(all_clips(data)), clips=len(self.sources.training(data)),
            heldout=held.corpus,
        )  # fmt: skip
        return PreparedRun(train, held, config, identity, config_hash(identity), initial_place(config))

    def features(self, what: str, corpus: Corpus, front_end: LogMelConfig, dtype: str) -> FeatureStore:
        """Log-mels of a corpus; those that are missing are computed."""
        key = (id(corpus), front_end, dtype)
        if key not in self._stores:
            store = build_features(
                corpus, front_end, self.cache, dtype=dtype, pool=self.pool, progress=partial(self.report, what)
            )
            self._stores[key] = (corpus, store)  # the corpus too, so that its id stays taken
        return self._stores[key][1]

    def waves(self, corpus: Corpus, front_end: LogMelConfig) -> WaveStore:
        """A corpus as waveforms."""
        key = (id(corpus), front_end)
        if key not in self._waves:
            self._waves[key] = WaveStore(corpus, front_end, cache=self.cache, threads=self.threads)
        return self._waves[key]


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


FORMAT = 1
"""Raised when a change in the code makes finished runs incomparable."""


def all_clips(data: DataConfig) -> DataConfig:
    """The data without its volume: runs that share it train on nested subsets."""
    default = type(data).model_fields["clips"].default
    return data.model_copy(update={"clips": default, "hours": None})


def check_clips(config: RunConfig, clips: int) -> None:
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
        SonoscaleError: the clips are fewer than a batch; the encoder that it begins with is not there.
    """
    check_clips(config, clips)
    begun = initial_identity(config)
    return {
        "format": FORMAT,
        "run": config.outcome(),
        "train": config_hash(training.identity, 16),
        "clips": clips,
        "heldout": heldout,
        **({} if begun is None else {"init": begun}),
    }


def training_audio(run: Path) -> Corpus | None:
    """All recordings that it had at hand, also those it held out, opened again where they were, whole.

    With those of the run whose weights it began with. None for a run on synthesised clips.

    Arguments:
        run: a run folder or a checkpoint file.

    Raises:
        SonoscaleError: no run, or its audio, or the run that it began with, is no longer there.
    """
    file = checkpoint_path(run)
    config = validate(RunConfig, checkpoint_content(file)["config"], source=str(file))
    data: DataConfig = config.data
    if isinstance(data, CorpusData):
        data = data.model_copy(update={"max_seconds": None})
    parts = [] if isinstance(data, ProceduralData) else [data.everything()]
    if config.train.init is not None:
        try:
            earlier = training_audio(Path(config.train.init.removeprefix("hf:")).expanduser())
        except SonoscaleError as error:
            raise SonoscaleError(f"it began with {config.train.init}, whose own is not known ({error})") from error
        parts += [] if earlier is None else [earlier]
    return None if not parts else parts[0] if len(parts) == 1 else Joined(tuple(parts))
