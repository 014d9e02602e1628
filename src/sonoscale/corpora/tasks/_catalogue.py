"""The catalogue of public tasks, and which of them are found on this machine."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml

from sonoscale.config import Config
from sonoscale.corpora._hear import HEAR_MARK
from sonoscale.corpora.tasks._kinds import KINDS, METRICS_OF
from sonoscale.corpora.tasks._labels import EventKeys, LabelRule
from sonoscale.corpora.tasks._shards import ShardTask
from sonoscale.errors import SonoscaleError

ROOTS = "SONOSCALE_TASKS"
"""Environment variable of folders to look for tasks in, separated as in PATH."""
_DEPTH = 5  # of folders below a root


class CatalogueEntry(Config):
    """A public task: what it is, and how its files are called."""

    name: str  # suite/task
    title: str
    kind: str  # one of KINDS, or captions or transcription, which are not probed here
    metric: str  # as its suite calls it
    scheme: Literal["folds", "split"]
    splits: tuple[str | int, ...]  # as they are published; without valid, a part of train is held out here
    classes: int | None
    clips: int | None
    sample_seconds: float | None  # None: it varies
    source: str
    licence: str  # of the audio
    citation: str
    folders: tuple[str, ...]  # names; several are parts whose mean score counts
    shards: str | dict[str, str] | None = None  # patterns of tar files, by split; {} is the split
    label: str = ""  # JSON pointer; empty for all of the JSON
    separator: str | None = None  # between labels in one text
    events: dict[str, str] | None = None  # see EventKeys
    class_names: tuple[str, ...] | None = None
    note: str = ""  # what else to know of it

    @property
    def suite(self) -> str:
        """hear or xares."""
        return self.name.partition("/")[0]

    @property
    def probed(self) -> bool:
        """Whether it can be opened as a `Task`."""
        return self.kind in KINDS

    def refusal(self) -> str:
        """Why it cannot be opened, if it is not probed."""
        return f"a {self.kind} task, which is not probed here" + (f": {self.note}" if self.note else "")

    def patterns(self) -> Mapping[str, str]:
        """Patterns of its shards by split; empty for a HEAR folder."""
        if isinstance(self.shards, str):
            return {str(split): self.shards.format(split) for split in self.splits}
        return self.shards or {}

    def is_at(self, folder: Path) -> bool:
        """Whether a folder holds it, by its name and what is in it."""
        if folder.name not in self.folders:
            return False
        if self.shards is None:
            return (folder / HEAR_MARK).is_file()
        return any(any(folder.glob(pattern)) for pattern in self.patterns().values())

    def shard_task(self) -> ShardTask:
        """How its tar shards are to be read."""
        events = EventKeys(**self.events) if self.events else EventKeys()
        known = self.metric in METRICS_OF[self.kind]
        notes = () if known else (f"{self.suite} scores this by {self.metric}, which is not known here",)
        return ShardTask(
            LabelRule(self.kind, None, self.separator, events), self.label, self.patterns(), self.scheme,
            classes=self.class_names, metric=self.metric if known else None, notes=notes,
        )  # fmt: skip


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """All entries, in the order of their suites.

    Example:
        >>> sorted({entry.suite for entry in catalogue()})
        ['hear', 'xares']
    """
    text = resources.files("sonoscale.corpora.tasks").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return tuple(CatalogueEntry(**entry) for entry in yaml.safe_load(text)["tasks"])


def entry_names() -> tuple[str, ...]:
    """Names of all entries.

    Example:
        >>> "hear/esc50" in entry_names()
        True
    """
    return tuple(entry.name for entry in catalogue())


def entry_of(name: str) -> CatalogueEntry:
    """The entry of a name such as `hear/esc50`; without its suite if only one suite has it.

    Raises:
        SonoscaleError: there is none, or several suites have one.

    Example:
        >>> entry_of("hear/esc50").metric
        'top1_acc'
    """
    matching = [entry for entry in catalogue() if name in (entry.name, entry.name.partition("/")[2])]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise SonoscaleError(f"task '{name}' is in several suites: {', '.join(entry.name for entry in matching)}")
    near = difflib.get_close_matches(name, [entry.name for entry in catalogue()], n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise SonoscaleError(f"no task '{name}' in the catalogue{hint} (sonoscale tasks lists them)")


def entry_at(folder: Path, name: str | None = None) -> CatalogueEntry | None:
    """The entry that a folder holds, if any.

    Arguments:
        folder: of a HEAR task or of tar shards.
        name: what the folder was called when it was made, if it says so.
    """
    called = folder if name is None else folder.parent / name
    is_hear = (folder / HEAR_MARK).is_file()
    for entry in catalogue():
        if is_hear and entry.shards is None and {folder.name, called.name} & set(entry.folders):
            return entry
        if not is_hear and entry.shards is not None and entry.is_at(folder):
            return entry
    return None


def task_roots(roots: Iterable[str | Path] | None = None) -> list[Path]:
    """The folders to look for tasks in: those given, or else those of SONOSCALE_TASKS.

    Raises:
        SonoscaleError: one is no folder.
    """
    given = list(roots) if roots is not None else [part for part in os.environ.get(ROOTS, "").split(os.pathsep) if part]
    found = [Path(root).expanduser() for root in given]
    for root in found:
        if not root.is_dir():
            raise SonoscaleError(f"{root}: no such folder of tasks" + (f" (from {ROOTS})" if roots is None else ""))
    return found


def locate_tasks(roots: Iterable[str | Path] | None = None) -> dict[str, list[Path]]:
    """Where the tasks of the catalogue are found below some folders.

    Arguments:
        roots: these folders; by default those of SONOSCALE_TASKS.

    Returns:
        folders by the entry's name, for those found; several where a task has parts.

    Example:
        >>> locate_tasks([])
        {}
    """
    by_folder: dict[str, list[CatalogueEntry]] = {}
    for entry in catalogue():
        for folder in entry.folders:
            by_folder.setdefault(folder, []).append(entry)
    found: dict[str, list[Path]] = {}
    for root in task_roots(roots):
        for folder in _folders(root, _DEPTH):
            for entry in by_folder.get(folder.name, []):
                if entry.is_at(folder) and folder.name not in {f.name for f in found.get(entry.name, [])}:
                    found.setdefault(entry.name, []).append(folder)
    return {name: sorted(folders) for name, folders in found.items()}


def folder_of(entry: CatalogueEntry, roots: Iterable[str | Path] | None = None, part: str | None = None) -> Path:
    """The folder of a task.

    Arguments:
        entry: of the catalogue.
        roots: where to look; by default SONOSCALE_TASKS.
        part: name of the folder, for a task with several.

    Raises:
        SonoscaleError: it is not found; it has several parts and none is chosen.
    """
    if part is not None and part not in entry.folders:
        raise SonoscaleError(f"task {entry.name}: no part '{part}'; there are {', '.join(entry.folders)}")
    if part is None and len(entry.folders) > 1:
        raise SonoscaleError(
            f"task {entry.name} is the mean of {len(entry.folders)} parts; open each, with part={entry.folders[0]!r} "
            "and so on"
        )
    looked = task_roots(roots)
    folders = [f for f in locate_tasks(looked).get(entry.name, []) if part in (None, f.name)]
    if not folders:
        where = ", ".join(map(str, looked)) or f"no folder (give roots, or set {ROOTS})"
        raise SonoscaleError(
            f"task {entry.name}: no folder {part or ', '.join(entry.folders)} with its files in {where}; get it from "
            f"{entry.source}"
        )
    return folders[0]


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it, in order; not those in a HEAR task, nor hidden ones."""
    yield root
    if depth == 0 or (root / HEAR_MARK).is_file():
        return
    try:
        with os.scandir(root) as files:
            below = sorted(Path(file.path) for file in files if file.is_dir() and not file.name.startswith("."))
    except OSError:
        return
    for folder in below:
        yield from _folders(folder, depth - 1)
