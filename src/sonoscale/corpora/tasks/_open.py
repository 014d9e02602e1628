"""From one string to a task."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from sonoscale.arguments import check_arguments
from sonoscale.corpora._hear import HEAR_MARK
from sonoscale.corpora._hf import is_saved
from sonoscale.corpora._manifest import MANIFEST_SUFFIXES, has_bytes
from sonoscale.corpora.tasks._catalogue import CatalogueEntry, catalogue, entry_at, entry_of, folder_of
from sonoscale.corpora.tasks._check import check_kind, names_of
from sonoscale.corpora.tasks._found import Options
from sonoscale.corpora.tasks._hear import open_hear_task, versioned_name
from sonoscale.corpora.tasks._hf import open_hf_task
from sonoscale.corpora.tasks._labels import LabelRule
from sonoscale.corpora.tasks._shards import ShardTask, open_shard_task
from sonoscale.corpora.tasks._table import read_task
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError, in_one_line

FORMS = ("table", "hear", "shards", "hf")
TABLE = "metadata.csv"


@in_one_line
def open_task(
    spec: str | Path,
    *,
    name: str | None = None,
    form: str | None = None,
    kind: str | None = None,
    label: str | None = None,
    fold: str | None = None,
    group: str | None = None,
    role: str | None = None,
    metric: str | None = None,
    splits: Mapping[str, str] | None = None,
    separator: str | None = None,
    label_map: Mapping[str, str] | None = None,
    audio_root: str | Path | None = None,
    key: str | None = None,
    rate: int | None = None,
    sample_rate: int = 16_000,
    make_folds: int = 5,
    seed: int = 0,
    skip_broken: bool = False,
) -> Task:
    """Open a labelled task of any kind without decoding its audio.

    What `spec` can be, and the form that is found:

    - a table (CSV, TSV, JSON lines) with the columns path, label, and fold or split (`table`; see `read_task`), or a
      folder with such a metadata.csv, which names the task;
    - a HEAR task folder (`hear`);
    - a folder of tar shards of audio and JSON, as X-ARES publishes them (`shards`). One that is called and made like a
      task of the catalogue is read as that says, other than where an option says otherwise;
    - `hf:owner/name[:config][:split]`, or a folder that `datasets` saved or of Parquet files (`hf`);
    - a name of the catalogue, such as `hear/esc50`, where no file or folder is called so; see `find_task`.

    Folds and splits are those of the data. Folds that are missing altogether, or the validation part of a split, are
    made here: by speaker or recording if these are known; `own_folds` and `notes` then say so.

    Arguments:
        spec: see above.
        name: of the task, for tables and messages; by default that of its file or folder.
        form: one of the forms, instead of the one found.
        kind: multiclass, multilabel, regression, events or retrieval; by default what the data say, or else
            multiclass.
        label: the column of labels, or a JSON pointer (`/genre`) or key for shards.
        fold: the column of folds or parts.
        group: the column, or for shards JSON pointer, of speakers or recordings.
        role: the column of a table that says which rows are a query and which the gallery of a retrieval task.
        metric: name of the score; by default what the task says, or else the usual one of its kind.
        splits: of shards, patterns of files by fold or part; of `hf`, its splits by part:
            {'train': 'train', 'test': 'validation'}.
        separator: between labels in one text, instead of ; or |.
        label_map: from what is written to classes.
        audio_root: what the paths of a table are relative to; by default its folder.
        key: extension of the audio in tar samples with several, or column of audio of a Hugging Face data set.
        rate: of a HEAR folder, which of its rates to read, in Hz; by default the lowest not below `sample_rate`.
        sample_rate: of the waves, in Hz.
        make_folds: how many folds to make where there are none.
        seed: of what is made.
        skip_broken: leave out clips whose audio is missing or broken, and say so; otherwise they are an error.

    Returns:
        The task.

    Raises:
        SonoscaleError: there is no task at `spec`, it cannot be used (see `Task`), or an option is not for its form.

    Example:
        >>> task = open_task("hear/esc50")  # doctest: +SKIP
        >>> open_task("sounds.mp3")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: sounds.mp3: no such file or folder; a task is ...
    """
    check_arguments(open_task, locals())
    text = os.path.expanduser(spec)  # noqa: PTH111 (a Path would change hf:)
    path = Path(text)
    if form is None and not path.exists() and _in_catalogue(text):
        options_given = {
            "name": name, "kind": kind, "label": label, "fold": fold, "group": group, "role": role, "metric": metric,
            "splits": splits, "separator": separator, "label_map": label_map, "audio_root": audio_root, "key": key,
            "rate": rate,
        }  # fmt: skip
        given = {option: value for option, value in options_given.items() if value is not None}
        return find_task(
            text, sample_rate=sample_rate, make_folds=make_folds, seed=seed, skip_broken=skip_broken, **given
        )
    if form in (None, "table") and (path / TABLE).is_file():
        path = path / TABLE
        text = str(path)
    if path.name == TABLE and path.parent.name:
        name = name or path.parent.name
    if form is not None and form not in FORMS:
        raise SonoscaleError(f"no form of task '{form}'; there are {', '.join(FORMS)}")
    form = form or _form(text)
    name = name or text.removeprefix("hf:").rstrip("/").rpartition("/")[2]
    name = name.removesuffix(Path(name).suffix) if Path(name).suffix.lower() in MANIFEST_SUFFIXES else name
    check_kind(kind, metric, f"task {name}")
    if sample_rate < 1:
        raise SonoscaleError(f"sample_rate = {sample_rate}: a rate in Hz is needed, such as 16000")
    if make_folds < 3:
        raise SonoscaleError(f"make_folds = {make_folds}: at least 3 are needed, to train, to choose and to test")
    if seed < 0:
        raise SonoscaleError(f"seed = {seed}: must not be negative")
    _check_used(
        text, form, kind=kind, label=label, fold=fold, group=group, role=role, splits=splits, separator=separator,
        label_map=label_map, audio_root=audio_root, key=key, rate=rate, skip_broken=skip_broken or None,
    )  # fmt: skip
    options = Options(name, metric, make_folds, seed, sample_rate, skip_broken)
    if form == "table":
        return read_task(
            name, path, audio_root=path.parent if audio_root is None else audio_root, label=label, fold=fold,
            kind=kind, group=group, role=role, metric=metric, separator=separator, label_map=label_map,
            make_folds=make_folds, seed=seed, sample_rate=sample_rate,
        )  # fmt: skip
    if form == "hf":
        return open_hf_task(
            text, options, kind=kind, label=label, fold=fold, group=group, key=key, splits=splits,
            separator=separator, label_map=label_map,
        )  # fmt: skip
    if form == "hear":
        task = open_hear_task(path, options, rate=rate)
        return _described(task, entry_at(path, versioned_name(path)))
    if not path.is_dir():
        raise SonoscaleError(f"{path}: no such folder of tar shards")
    entry = entry_at(path)
    source = _shard_task(entry, label, options)
    if kind is not None and kind != source.rule.kind:
        source = replace(source, rule=replace(source.rule, kind=kind), metric=None, classes=None)
    if label_map is not None:
        source = replace(source, rule=replace(source.rule, mapping=label_map), classes=None)
    if separator is not None:
        source = replace(source, rule=replace(source.rule, separator=separator))
    if splits is not None:
        source = replace(source, splits=splits, scheme=None)
    task = open_shard_task(path, replace(source, group=group, key=key), options)
    return _described(task, entry if label is None else None)


def _shard_task(entry: CatalogueEntry | None, label: str | None, options: Options) -> ShardTask:
    """What the catalogue says of a folder of shards; only their splits, if another label is asked for."""
    if label is None and entry is None:
        return ShardTask(LabelRule("multiclass"))
    if label is None:
        assert entry is not None
        if not entry.probed:
            raise SonoscaleError(f"task {options.name}: {entry.refusal()}; give label for another task of its audio")
        return entry.shard_task()
    if entry is None:
        return ShardTask(LabelRule("multiclass"), label)
    return ShardTask(LabelRule("multiclass"), label, entry.patterns(), entry.scheme)


def find_task(
    name: str, /, roots: Iterable[str | Path] | None = None, *, part: str | None = None, **options: Any
) -> Task:
    """Open a task of the catalogue.

    Arguments:
        name: such as `hear/esc50`; without its suite if only one suite has it. See `catalogue`.
        roots: folders to look for it in; by default those of the environment variable SONOSCALE_TASKS.
        part: name of the folder, for a task that is the mean of several.
        options: as of `open_task`.

    Returns:
        The task.

    Raises:
        SonoscaleError: there is no such task, it is not found, or as `open_task` does.

    Example:
        >>> find_task("hear/esc50", ["/data/hear"], sample_rate=32_000)  # doctest: +SKIP
        >>> find_task("hear/esc51")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: no task 'hear/esc51' in the catalogue; did you mean 'hear/esc50'? ...
    """
    entry = entry_of(name)
    if not entry.probed:
        raise SonoscaleError(f"task {entry.name}: {entry.refusal()}")
    folder = folder_of(entry, roots, part)
    called = entry.name if part is None else f"{entry.name}/{part}"
    return open_task(folder, **{"name": called, "form": "hear" if entry.shards is None else "shards", **options})


_ONLY_FOR = {
    "kind": ("table", "shards", "hf"), "label": ("table", "shards", "hf"), "fold": ("table", "hf"),
    "group": ("table", "shards", "hf"), "role": ("table",), "splits": ("shards", "hf"),
    "separator": ("table", "shards", "hf"), "label_map": ("table", "shards", "hf"), "audio_root": ("table",),
    "key": ("shards", "hf"), "rate": ("hear",), "skip_broken": ("hear", "shards", "hf"),
}  # fmt: skip


def _check_used(spec: str, form: str, **options: Any) -> None:
    for option, value in options.items():
        if value is not None and form not in _ONLY_FOR[option]:
            raise SonoscaleError(f"{spec}: is of form {form}; {option} is for {' and '.join(_ONLY_FOR[option])} only")


def _in_catalogue(text: str) -> bool:
    """Whether this can only be meant as a name of the catalogue: its suite, a slash and a name."""
    suite, slash, rest = text.partition("/")
    return (
        bool(slash) and suite in {entry.suite for entry in catalogue()} and re.fullmatch(r"[\w.-]+", rest) is not None
    )


def _form(spec: str) -> str:
    """What form of task `spec` is."""
    path = Path(spec)
    if spec.startswith("hf:"):
        return "hf"
    if path.is_dir():
        if (path / HEAR_MARK).is_file():
            return "hear"
        if is_saved(path):
            return "hf"
        if any(path.glob("*.tar")):
            return "shards"
        if any(path.rglob("*.parquet")):
            return "hf"
        raise SonoscaleError(
            f"{path}: holds no task: neither {HEAR_MARK} (HEAR), nor *.tar (X-ARES), nor a Hugging Face data set; of "
            "a table give the CSV file itself"
        )
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return "hf" if has_bytes(path) else "table"
    if path.is_file():
        _refuse(path)
    raise SonoscaleError(
        f"{spec}: no such file or folder; a task is a table, a HEAR task folder, a folder of tar shards, or "
        "hf:owner/name, or is called as in the catalogue: hear/esc50"
    )


def _refuse(path: Path) -> NoReturn:
    what = path.suffix or "this"
    raise SonoscaleError(
        f"{path}: a task in a file is CSV, TSV, JSON lines or Parquet, not {what}; of tar shards, give the folder"
    )


def _described(task: Task, entry: CatalogueEntry | None) -> Task:
    """The task with what the catalogue knows of it."""
    if entry is None:
        return task
    notes = [*task.notes]
    if len(entry.folders) > 1:
        notes.append(f"{entry.suite} takes the mean over {' and '.join(entry.folders)}")
    there = len({name for label in task.labels for name in names_of(label, task.kind)})
    if entry.classes is not None and task.kind != "events" and there != entry.classes:
        notes.append(f"{there} classes occur; {entry.name} has {entry.classes}")
    if entry.clips is not None and len(entry.folders) == 1 and len(task.labels) != entry.clips:
        notes.append(f"{len(task.labels)} clips; {entry.name} has {entry.clips}")
    return replace(task, source=entry.source, licence=entry.licence, citation=entry.citation, notes=tuple(notes))
