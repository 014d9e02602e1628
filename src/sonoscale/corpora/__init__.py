"""Audio: folders of files, labelled tasks, the procedural world, and their log-mels on disk."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.corpora._audio_corpus import AudioCorpus
    from sonoscale.corpora._base import Corpus, Joined, Subset, take
    from sonoscale.corpora._config import (
        CorpusData,
        DataConfig,
        FolderData,
        FolderTaskConfig,
        OpenTaskConfig,
        ProceduralData,
        ProceduralTaskConfig,
        TaskConfig,
    )
    from sonoscale.corpora._features import FeatureStore, build_features, feature_pool
    from sonoscale.corpora._folder import FileCorpus
    from sonoscale.corpora._open import open_corpus
    from sonoscale.corpora._preview import preview
    from sonoscale.corpora._recipes import load_recipes
    from sonoscale.corpora._verbs import Described, Packed, check, describe, fetch, pack
    from sonoscale.corpora.tasks import Event, Task, find_task, open_task, read_task

__all__ = [
    "AudioCorpus",
    "Corpus",
    "CorpusData",
    "DataConfig",
    "Described",
    "Event",
    "FeatureStore",
    "FileCorpus",
    "FolderData",
    "FolderTaskConfig",
    "Joined",
    "OpenTaskConfig",
    "Packed",
    "ProceduralData",
    "ProceduralTaskConfig",
    "Subset",
    "Task",
    "TaskConfig",
    "build_features",
    "check",
    "describe",
    "feature_pool",
    "fetch",
    "find_task",
    "load_recipes",
    "open_corpus",
    "open_task",
    "pack",
    "preview",
    "read_task",
    "take",
]

__getattr__ = lazy(__name__)
