"""Labelled tasks: clips, labels, and the folds or split to score on, from tables, HEAR, X-ARES and Hugging Face."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.corpora.tasks._catalogue import CatalogueEntry, catalogue, entry_names, entry_of, locate_tasks
    from sonoscale.corpora.tasks._folds import folds_by_group
    from sonoscale.corpora.tasks._kinds import KINDS, METRICS_OF, Event, Kind
    from sonoscale.corpora.tasks._open import find_task, open_task
    from sonoscale.corpora.tasks._table import read_task
    from sonoscale.corpora.tasks._task import Task

__all__ = [
    "KINDS",
    "METRICS_OF",
    "CatalogueEntry",
    "Event",
    "Kind",
    "Task",
    "catalogue",
    "entry_names",
    "entry_of",
    "find_task",
    "folds_by_group",
    "locate_tasks",
    "open_task",
    "read_task",
]

__getattr__ = lazy(__name__)
