"""Audio: folders of files, labelled tasks, the procedural world, and their log-mels on disk."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.corpora._base import AudioCorpus, Corpus, take
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
    from sonoscale.corpora._verbs import check, describe, fetch, pack
    from sonoscale.corpora.tasks import Event, Task, find_task, folds_by_group, open_task, read_task

__all__ = [
    "Corpus",
    "CorpusData",
    "Event",
    "FileCorpus",
    "FolderData",
    "FolderTaskConfig",
    "OpenTaskConfig",
    "ProceduralData",
    "ProceduralTaskConfig",
    "Task",
    "check",
    "describe",
    "fetch",
    "find_task",
    "folds_by_group",
    "open_corpus",
    "open_task",
    "pack",
    "preview",
    "read_task",
    "take",
]

__getattr__ = lazy(__name__)
