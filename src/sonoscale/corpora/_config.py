"""What to pre-train on and what to be tested on, as configuration; what opens audio is imported when it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from sonoscale.config import Config
from sonoscale.corpora._pool import PoolData
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.audio._read import AudioHeader
    from sonoscale.corpora._base import AudioCorpus, Corpus
    from sonoscale.corpora._folder import FileCorpus
    from sonoscale.corpora.tasks import Task

Domain = Literal["speech", "music", "environment"]


class ProceduralData(Config):
    """Synthesised clips: unlimited, labelled, and the same for everybody with the same seed."""

    kind: Literal["procedural"] = "procedural"
    clips: int = Field(default=3072, ge=8)  # unique training clips; the first n, so smaller sets are nested
    hours: float | None = Field(default=None, gt=0, le=1e9)  # of training audio, instead of clips; cut to whole clips
    heldout_clips: int = Field(default=1024, ge=32)  # never trained on: for the rank and the held-out loss
    seconds: float = Field(default=2.0, ge=0.5, le=30)  # length of a clip
    seed: int = Field(default=0, ge=0)  # of the corpus, not of a run
    domains: tuple[Domain, ...] = ("speech", "music", "environment")

    @model_validator(mode="after")
    def _enough(self) -> ProceduralData:
        if self.hours is not None and self.clips != type(self).model_fields["clips"].default:
            raise ValueError(f"clips = {self.clips} and hours = {self.hours}: give one of them")
        if self.clips_asked < 8:
            raise ValueError(f"hours = {self.hours} is {self.clips_asked} clips, and 8 are needed; raise it")
        return self

    @property
    def clips_asked(self) -> int:
        """Training clips, however their number is given."""
        return self.clips if self.hours is None else round(self.hours * 3600 / self.seconds)

    def training(self) -> Corpus:
        """The training clips."""
        from sonoscale.corpora.procedural import ProceduralCorpus

        return ProceduralCorpus("train", self.clips_asked, self.seed, self.seconds, self.domains)

    def heldout(self) -> Corpus:
        """Clips from the same distribution that are never trained on."""
        from sonoscale.corpora.procedural import ProceduralCorpus

        return ProceduralCorpus("heldout", self.heldout_clips, self.seed, self.seconds, self.domains)


class FolderData(PoolData):
    """Audio files in a folder, each a clip. Domains are the folders right below it."""

    kind: Literal["folder"]
    root: Path | None = None  # base folder of the data
    audio: Path = Path()  # folder of unlabelled audio, relative to root

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

    def _place(self) -> str:
        return str(self.base() / self.audio)

    def _called(self, domain: str) -> str:
        return f"folder '{domain}' in {self._place()}"

    def _corpus(self) -> FileCorpus:
        from sonoscale.corpora._folder import FileCorpus

        return FileCorpus.from_folder(self.base() / self.audio)

    def _groups(self, corpus: FileCorpus) -> Sequence[str]:
        return corpus.paths

    def _domains(self, corpus: FileCorpus) -> Sequence[str]:
        return [path.partition("/")[0] if "/" in path else "" for path in corpus.paths]

    def _seconds(self, corpus: FileCorpus, indices: Sequence[int]) -> Sequence[float]:
        from sonoscale.corpora._files_corpus import headers

        read = headers(Path(corpus.name(i)) for i in indices)
        return [_known(corpus.name(i), _length(header)) for i, header in zip(indices, read, strict=True)]


class CorpusData(PoolData):
    """Audio in whatever `open_corpus` opens: packed shards, tar shards, a manifest, a Hugging Face data set.

    Domains are the column `domain` of its description, or the first folder of a clip's path.
    """

    kind: Literal["corpus"]
    source: str | None = None  # see `open_corpus`
    max_seconds: float | None = Field(default=30.0, gt=0)  # longer recordings are cut into clips of this length
    path_column: str | None = None  # of a manifest
    audio_root: Path | None = None  # what the paths of a manifest are relative to
    key: str | None = None  # extension of the audio in tar samples, or column of a Hugging Face data set

    def _place(self) -> str:
        return self.source or ""

    def _called(self, domain: str) -> str:
        return f"domain '{domain}' (column domain, or first folder of a path) in {self.source}"

    def _corpus(self) -> AudioCorpus:
        from sonoscale.corpora._open import open_corpus

        if self.source is None:
            raise SonoscaleError("data.source is not set: give what holds the audio with --set data.source=PATH")
        return open_corpus(
            self.source, max_seconds=self.max_seconds, path_column=self.path_column, audio_root=self.audio_root,
            key=self.key,
        )  # fmt: skip

    def _groups(self, corpus: AudioCorpus) -> Sequence[str]:
        return [corpus.group(i) for i in range(len(corpus))]

    def _domains(self, corpus: AudioCorpus) -> Sequence[str]:
        rows = (corpus.row(i) for i in range(len(corpus)))
        return [str(row.get("domain") or _first_folder(str(row.get("path", "")))) for row in rows]

    def _seconds(self, corpus: AudioCorpus, indices: Sequence[int]) -> Sequence[float]:
        return [_known(corpus.name(i), corpus.seconds(i)) for i in indices]


def _first_folder(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def _length(header: AudioHeader | str) -> float | None:
    return None if isinstance(header, str) or header.frames is None else header.frames / header.rate


def _known(name: str, seconds: float | None) -> float:
    if seconds is None:
        raise SonoscaleError(f"{name}: its header does not give its length, which data.hours needs; give data.clips")
    return seconds


DataConfig = Annotated[ProceduralData | FolderData | CorpusData, Field(discriminator="kind")]


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
        from sonoscale.corpora._base import Joined
        from sonoscale.corpora.procedural import TASKS
        from sonoscale.corpora.tasks import Task

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
    metadata: Path  # CSV with path, label, and fold or split; relative to data.root, else to the current folder
    audio_root: Path = Path()  # what its paths are relative to, itself relative as metadata is
    label: str = "label"  # column of labels
    fold: str | None = None  # column of folds; by default fold, or else split

    def load(self, base: Path | None) -> Task:
        """Read and check the task."""
        from sonoscale.corpora.tasks import read_task

        base = base or Path()
        return read_task(
            self.name,
            base / self.metadata,
            audio_root=base / self.audio_root,
            label=self.label,
            fold=self.fold,
        )


class OpenTaskConfig(Config):
    """A task of whatever `open_task` opens, or of the catalogue."""

    kind: Literal["open"]
    name: str  # for tables and figures
    source: str  # see `open_task`; a path is relative to data.root. Or a name of the catalogue, such as hear/esc50
    target: Literal["multiclass", "multilabel", "regression", "retrieval", "events"] | None = (
        None  # by default what the data say
    )
    label: str | None = None  # column of labels, or JSON pointer
    fold: str | None = None  # column of folds
    group: str | None = None  # column of speakers or recordings, or JSON pointer
    metric: str | None = None  # name of the score
    splits: dict[str, str] | None = None  # which shards, or splits of a data set, are train, valid and test
    part: str | None = None  # folder of a task of the catalogue that has several

    def load(self, base: Path | None) -> Task:
        """Open and check the task."""
        from sonoscale.corpora.tasks import entry_names, find_task, open_task

        options: dict[str, Any] = self.model_dump(exclude={"kind", "target", "source", "part"}) | {"kind": self.target}
        place = (base or Path()) / Path(self.source).expanduser()
        if self.source in entry_names() and not place.exists():
            return find_task(self.source, part=self.part, **options)
        return open_task(self.source if self.source.startswith("hf:") else place, **options)


TaskConfig = Annotated[ProceduralTaskConfig | FolderTaskConfig | OpenTaskConfig, Field(discriminator="kind")]
