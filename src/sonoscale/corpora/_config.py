"""What to pre-train on and what to be tested on, as configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from sonoscale.config import Config
from sonoscale.corpora._base import Corpus, Joined, Task, take
from sonoscale.corpora._folder import FileCorpus, read_task
from sonoscale.corpora.procedural import TASKS, ProceduralCorpus
from sonoscale.errors import SonoscaleError

Domain = Literal["speech", "music", "environment"]


class ProceduralData(Config):
    """Synthesised clips: unlimited, labelled, and the same for everybody with the same seed."""

    kind: Literal["procedural"] = "procedural"
    clips: int = Field(default=3072, ge=8)  # unique training clips; the first n, so smaller sets are nested
    heldout_clips: int = Field(default=1024, ge=32)  # never trained on: for the rank and the held-out loss
    seconds: float = Field(default=2.0, ge=0.5, le=30)  # length of a clip
    seed: int = Field(default=0, ge=0)  # of the corpus, not of a run
    domains: tuple[Domain, ...] = ("speech", "music", "environment")

    def training(self, clips: int | None = None) -> Corpus:
        """The training clips."""
        return ProceduralCorpus("train", clips or self.clips, self.seed, self.seconds, self.domains)

    def heldout(self) -> Corpus:
        """Clips from the same distribution that are never trained on."""
        return ProceduralCorpus("heldout", self.heldout_clips, self.seed, self.seconds, self.domains)


class FolderData(Config):
    """Audio files in a folder."""

    kind: Literal["folder"]
    root: Path | None = None  # base folder of the data
    audio: Path = Path()  # folder of unlabelled audio, relative to root
    clips: int | None = Field(default=None, ge=8)  # training clips after shuffling; by default all
    heldout_clips: int = Field(default=1024, ge=32)  # never trained on: for the rank and the held-out loss
    seed: int = Field(default=0, ge=0)  # of the shuffle that picks held-out clips and nested subsets
    mixture: tuple[tuple[str, float], ...] = ()  # domain (first folder below audio): its share; by default as they come

    @field_validator("mixture", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        pairs = tuple(value.items()) if isinstance(value, dict) else value
        if isinstance(value, dict) and not all(
            isinstance(share, int | float) and share > 0 for share in value.values()
        ):
            raise ValueError("each share must be a number above 0; leave out the domains that are not wanted")
        return pairs

    def base(self) -> Path:
        """The data folder.

        Raises:
            SonoscaleError: `root` is not set or not there.
        """
        if self.root is None:
            raise SonoscaleError("data.root is not set: give the folder of the audio with --set data.root=PATH")
        if not self.root.is_dir():
            raise SonoscaleError(f"data.root = {self.root}: no such folder")
        return self.root

    def training(self, clips: int | None = None) -> Corpus:
        """The training clips, in shuffled order."""
        corpus, order = self._shuffled()
        left = order[self.heldout_clips :]
        mixed = self._mixed(corpus, left) if self.mixture else left
        clips = clips or self.clips or len(mixed)
        if clips > len(mixed):
            short = "" if len(mixed) == len(left) else " in the proportions of data.mixture"
            raise SonoscaleError(
                f"data.clips = {clips}: {corpus.root} has {len(corpus)} clips, of which {self.heldout_clips} are "
                f"held out; at most {len(mixed)} are left to train on{short}"
            )
        return take(corpus, mixed[:clips].tolist())

    def heldout(self) -> Corpus:
        """The first clips of the shuffled order."""
        corpus, order = self._shuffled()
        return take(corpus, order[: self.heldout_clips].tolist())

    def _mixed(self, corpus: FileCorpus, order: np.ndarray) -> np.ndarray:
        """Clips in an order of which every beginning has the shares asked for, until a domain has run out."""
        domains = np.array([path.partition("/")[0] if "/" in path else "" for path in corpus.paths])[order]
        for name, _ in self.mixture:
            if name not in domains:
                there = ", ".join(sorted(set(domains) - {""})) or "none"
                raise SonoscaleError(f"data.mixture: there is no folder '{name}' in {corpus.root}; there are {there}")
        shares = np.array([share for _, share in self.mixture])
        shares = shares / shares.sum()
        waiting = [order[domains == name] for name, _ in self.mixture]
        taken = np.zeros(len(shares), dtype=np.int64)
        mixed = []
        while True:
            most = int(np.argmax(shares * (len(mixed) + 1) - taken))  # the domain that is furthest behind
            if taken[most] == len(waiting[most]):
                return np.array(mixed, dtype=np.int64)
            mixed.append(waiting[most][taken[most]])
            taken[most] += 1

    def _shuffled(self) -> tuple[FileCorpus, np.ndarray]:
        corpus = FileCorpus.from_folder(self.base() / self.audio)
        if len(corpus) < self.heldout_clips + 8:
            raise SonoscaleError(
                f"{corpus.root}: {len(corpus)} audio files; data.heldout_clips = {self.heldout_clips} leaves "
                "fewer than 8 to train on"
            )
        return corpus, np.random.default_rng(self.seed).permutation(len(corpus))


DataConfig = Annotated[ProceduralData | FolderData, Field(discriminator="kind")]


class ProceduralTaskConfig(Config):
    """A task of the procedural corpus: train and valid from the training ranges, test from held-out ranges."""

    kind: Literal["procedural"] = "procedural"
    name: str  # one of the procedural tasks: word, language, instrument, pitch, event, domain
    train_clips: int = Field(default=256, ge=8)
    valid_clips: int = Field(default=96, ge=8)
    test_clips: int = Field(default=192, ge=8)
    seed: int = Field(default=0, ge=0)

    def load(self, base: Path | None) -> Task:
        """Build the task."""
        if self.name not in TASKS:
            raise SonoscaleError(f"no procedural task '{self.name}'; there are {', '.join(sorted(TASKS))}")
        spec = TASKS[self.name]
        sizes = (self.train_clips, self.valid_clips, self.test_clips)
        splits = ("train", "heldout", "test")  # the generator's streams: valid never overlaps pre-training
        # Pre-training draws from stream `seed` of "train"; tasks use another, so no clip is in both.
        parts = tuple(
            spec.corpus(split, size, self.seed + 1_000_003) for split, size in zip(splits, sizes, strict=True)
        )
        labels = tuple(part.labels(i)[spec.label] for part in parts for i in range(len(part)))
        folds = ("train",) * sizes[0] + ("valid",) * sizes[1] + ("test",) * sizes[2]
        return Task(self.name, Joined(parts), labels, folds, "split")


class FolderTaskConfig(Config):
    """A task of real audio: a metadata table and its audio."""

    kind: Literal["folder"]
    name: str  # for tables and figures
    metadata: Path  # CSV with path, label, and fold or split; relative to data.root
    audio_root: Path = Path()  # what its paths are relative to, itself relative to data.root
    label: str = "label"  # column of labels
    fold: str | None = None  # column of folds; by default fold, or else split

    def load(self, base: Path | None) -> Task:
        """Read and check the task."""
        base = base or Path()
        return read_task(
            self.name,
            base / self.metadata,
            audio_root=base / self.audio_root,
            label=self.label,
            fold=self.fold,
        )


TaskConfig = Annotated[ProceduralTaskConfig | FolderTaskConfig, Field(discriminator="kind")]
