"""What there is to hear: folders of files, labelled tasks, the procedural world, and their log-mels on disk."""

from sonoscale.corpora._audio_corpus import AudioCorpus
from sonoscale.corpora._base import Corpus, Joined, Subset, Task, take
from sonoscale.corpora._config import (
    DataConfig,
    FolderData,
    FolderTaskConfig,
    ProceduralData,
    ProceduralTaskConfig,
    TaskConfig,
)
from sonoscale.corpora._features import FeatureStore, build_features, feature_pool
from sonoscale.corpora._folder import FileCorpus, read_task
from sonoscale.corpora._open import open_corpus

__all__ = [
    "AudioCorpus",
    "Corpus",
    "DataConfig",
    "FeatureStore",
    "FileCorpus",
    "FolderData",
    "FolderTaskConfig",
    "Joined",
    "ProceduralData",
    "ProceduralTaskConfig",
    "Subset",
    "Task",
    "TaskConfig",
    "build_features",
    "feature_pool",
    "open_corpus",
    "read_task",
    "take",
]
