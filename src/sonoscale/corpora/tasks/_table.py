"""A task in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonoscale.corpora._folder import FileCorpus
from sonoscale.corpora.tasks._check import check_kind
from sonoscale.corpora.tasks._folds import divide, usual_names
from sonoscale.corpora.tasks._kinds import ROLES
from sonoscale.corpora.tasks._labels import LabelRule
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError

LABEL_COLUMNS = {"label": "multiclass", "labels": "multilabel", "value": "regression", "work": "retrieval"}
"""Columns of labels, and the kind of task where nothing else says it."""
GROUP_COLUMNS = ("group", "speaker", "recording")
ROLE_COLUMN = "role"


def read_task(
    name: str,
    metadata: str | Path,
    *,
    audio_root: str | Path,
    label: str | None = "label",
    fold: str | None = None,
    kind: str | None = None,
    group: str | None = None,
    role: str | None = None,
    metric: str | None = None,
    separator: str | None = None,
    label_map: Mapping[str, str] | None = None,
    make_folds: int | None = None,
    seed: int = 0,
    sample_rate: int = 16_000,
) -> Task:
    """A labelled task from a CSV file with a column `path`, a label column, and a column `fold` or `split`.

    A `split` column must hold train, valid and test (or training, validation, val, dev, in any case); a `fold`
    column may hold any names, at least three.

    In a retrieval task clips that have a label (or, in a column `labels`, any label) in common are to be found by each
    other. A column `role` then says which rows are a query and which the gallery that is searched; without one all are
    both. A table with such a column is one of retrieval. Nothing is trained, so folds and split may be missing: all
    clips are tested.

    Arguments:
        name: of the task, for tables and messages.
        metadata: the CSV file.
        audio_root: the folder that its paths are relative to.
        label: the column of labels; None for `label`, or else `labels`, `value` or `work` (what covers are of).
        fold: the column of folds; by default `fold`, or else `split`.
        kind: multiclass, multilabel (names with ; or | between them, or nothing), regression (numbers) or retrieval;
            by default multilabel for a column `labels`, regression for `value`, retrieval for `work` or where a column
            `role` holds query or gallery, and else multiclass.
        group: the column of speakers or recordings; by default `group`, or else `speaker` or `recording`, if there.
            A clip without a value is a group of its own.
        role: the column of query and gallery; by default `role`, if there and the kind is retrieval.
        metric: name of the score; None for the usual one.
        separator: what stands between the labels of a clip, instead of ; or |.
        label_map: from what is written to classes.
        make_folds: how many folds to make if there is no column of them; a split without a validation part then gets
            one too. None: either is an error.
        seed: of what is made.
        sample_rate: of the waves, in Hz.

    Returns:
        The task.

    Raises:
        SonoscaleError: the file, a column, a value or an audio file is missing; folds that cannot be used.

    Example:
        >>> import tempfile, wave
        >>> folder = tempfile.TemporaryDirectory()
        >>> def silence(name):
        ...     with wave.open(f"{folder.name}/{name}", "wb") as file:
        ...         file.setparams((1, 2, 16_000, 0, "NONE", ""))
        ...         file.writeframes(bytes(3200))
        >>> names = [f"{i}.wav" for i in range(6)]
        >>> for name in names:
        ...     silence(name)
        >>> rows = [f"{name},{'ab'[i % 2]},{i // 2}" for i, name in enumerate(names)]
        >>> table = Path(folder.name, "metadata.csv")
        >>> _ = table.write_text("\\n".join(["path,label,fold", *rows]))
        >>> task = read_task("sounds", table, audio_root=folder.name)
        >>> task.labels, task.folds, task.scheme
        (('a', 'b', 'a', 'b', 'a', 'b'), ('0', '0', '1', '1', '2', '2'), 'folds')
        >>> folder.cleanup()
    """
    metadata, audio_root = Path(metadata), Path(audio_root)
    check_kind(kind, metric, f"task {name}")
    if kind == "events":
        raise SonoscaleError(f"task {name}: {metadata}: a table has no times of events; make it a HEAR task folder")
    columns, rows = _read(name, metadata)
    if label is None:
        label = next((column for column in LABEL_COLUMNS if column in columns), "label")
    kind = kind or ("retrieval" if role or _has_roles(rows) else LABEL_COLUMNS.get(label, "multiclass"))
    check_kind(kind, metric, f"task {name}")
    if role is not None and kind != "retrieval":
        raise SonoscaleError(f"task {name}: role is for retrieval tasks, and this one is {kind}")
    if role is None and kind == "retrieval" and ROLE_COLUMN in columns:
        role = ROLE_COLUMN
    folds_needed = make_folds is None and kind != "retrieval"
    if fold is None and (folds_needed or {"fold", "split"} & set(columns)):
        fold = next((c for c in ("fold", "split") if c in columns), "fold")
    needed = ["path", label, *(column for column in (fold, group, role) if column is not None)]
    for column in needed:
        if column not in columns:
            hint = "; or have folds made (make_folds)" if column == fold and make_folds is None else ""
            raise SonoscaleError(f"{metadata}: no column '{column}'; its columns are {', '.join(columns)}{hint}")
    if not rows:
        raise SonoscaleError(f"{metadata}: no rows")
    several = kind == "multilabel" or (kind == "retrieval" and label == "labels")
    filled = ["path", *([] if several else [label]), *([fold] if fold is not None else [])]
    _check_rows(metadata, audio_root, rows, filled)

    rule = LabelRule("multilabel" if several else kind, label_map, separator)
    labels = tuple(
        rule.read((row[label] or "").strip(), f"{metadata}: line {line}: column '{label}'")
        for line, row in enumerate(rows, start=2)
    )
    group = group or next((column for column in GROUP_COLUMNS if column in columns), None)
    roles = None if role is None else _roles(metadata, rows, role)
    groups = None if group is None else tuple((row[group] or "").strip() or row["path"] for row in rows)
    folds, scheme = (None, "folds") if fold is None else usual_names([row[fold].strip() for row in rows], fold)
    divided = divide(f"{metadata}", folds, scheme, labels, kind=kind, groups=groups, make_folds=make_folds, seed=seed)
    corpus = FileCorpus(audio_root, tuple(row["path"] for row in rows), sample_rate)
    return Task(
        name, corpus, labels, divided.folds, divided.scheme, kind=kind, metric=metric, groups=groups,
        roles=roles, own_folds=divided.own, source=str(metadata), notes=divided.notes,
    )  # fmt: skip


def _read(name: str, metadata: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows."""
    if not metadata.is_file():
        raise SonoscaleError(f"task {name}: {metadata}: no such file")
    try:
        with metadata.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            return list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SonoscaleError(f"{metadata}: not a CSV file in UTF-8 ({error})") from error


def _has_roles(rows: Sequence[dict[str, Any]]) -> bool:
    return any((row.get(ROLE_COLUMN) or "").strip().lower() in ROLES for row in rows)


def _roles(metadata: Path, rows: Sequence[dict[str, Any]], column: str) -> tuple[str, ...]:
    found = tuple((row[column] or "").strip().lower() for row in rows)
    for line, role in enumerate(found, start=2):
        if role not in ROLES:
            raise SonoscaleError(f"{metadata}: line {line}: column '{column}': '{role}' is neither query nor gallery")
    return found


def _check_rows(metadata: Path, audio_root: Path, rows: Sequence[dict[str, Any]], filled: Sequence[str]) -> None:
    first_line: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        for column in filled:
            if not (row[column] or "").strip():
                raise SonoscaleError(f"{metadata}: line {line}: no value in column '{column}'")
        if not (audio_root / row["path"]).is_file():
            raise SonoscaleError(f"{metadata}: line {line}: no such audio file {audio_root / row['path']}")
        if row["path"] in first_line:
            raise SonoscaleError(
                f"{metadata}: line {line}: {row['path']} is in line {first_line[row['path']]} already; a clip that "
                "is in two folds would be tested on what was trained on"
            )
        first_line[row["path"]] = line
