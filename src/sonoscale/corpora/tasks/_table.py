"""A task in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonoscale.corpora._files_corpus import Clip, Recording, Segments, cut, headers
from sonoscale.corpora._folder import FileCorpus
from sonoscale.corpora._manifest import Row, path_column_of, read_rows, span_of
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
    """A labelled task from a table with a column `path`, a label column, and a column `fold` or `split`.

    The table is read as that of a corpus: CSV, TSV, JSON lines or Parquet, its column of paths called as there, and
    its clips cut from their files by `start` and `end`, or `offset` and `duration`, in seconds (see `open_manifest`).
    Clips of one file are then of one group, unless a column says otherwise.

    A `split` column must hold train, valid and test (or training, validation, val, dev, in any case); a `fold`
    column may hold any names, at least three.

    In a retrieval task clips that have a label (or, in a column `labels`, any label) in common are to be found by each
    other. A column `role` then says which rows are a query and which the gallery that is searched; without one all are
    both. A table with such a column is one of retrieval. Nothing is trained, so folds and split may be missing: all
    clips are tested.

    Arguments:
        name: of the task, for tables and messages.
        metadata: the table.
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
        SonoscaleError: the file, a column, a value or an audio file is missing; a clip that lies outside its file;
            folds that cannot be used.

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
    if not metadata.is_file():
        raise SonoscaleError(f"task {name}: {metadata}: no such file")
    columns, rows = read_rows(metadata)
    path = path_column_of(metadata, columns, None)
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
    needed = [label, *(column for column in (fold, group, role) if column is not None)]
    for column in needed:
        if column not in columns:
            hint = "; or have folds made (make_folds)" if column == fold and make_folds is None else ""
            raise SonoscaleError(f"{metadata}: no column '{column}'; its columns are {', '.join(columns)}{hint}")
    if not rows:
        raise SonoscaleError(f"{metadata}: no rows")
    several = kind == "multilabel" or (kind == "retrieval" and label == "labels")
    filled = [path, *([] if several else [label]), *([fold] if fold is not None else [])]
    clips = _clips(metadata, audio_root, rows, path, filled)

    rule = LabelRule("multilabel" if several else kind, label_map, separator)
    labels = tuple(
        rule.read(_value(values.get(label)), f"{metadata}: {place}: column '{label}'") for place, values in rows
    )
    group = group or next((column for column in GROUP_COLUMNS if column in columns), None)
    roles = None if role is None else _roles(metadata, rows, role)
    paths = [_text(values.get(path)) for _, values in rows]
    groups = None if group is None else [_text(values.get(group)) for _, values in rows]
    if groups is not None or len(set(paths)) < len(paths):
        groups = [named or file for named, file in zip(groups or [""] * len(paths), paths, strict=True)]
    folds, scheme = (None, "folds") if fold is None else usual_names([_text(row.get(fold)) for _, row in rows], fold)
    divided = divide(f"{metadata}", folds, scheme, labels, kind=kind, groups=groups, make_folds=make_folds, seed=seed)
    if clips is None:
        corpus = FileCorpus(audio_root, tuple(paths), sample_rate)
    else:
        corpus = Segments("manifest", str(audio_root), clips, sample_rate, None, ())
    return Task(
        name, corpus, labels, divided.folds, divided.scheme, kind=kind, metric=metric,
        groups=None if groups is None else tuple(groups), roles=roles, own_folds=divided.own, source=str(metadata),
        notes=divided.notes,
    )  # fmt: skip


def _value(value: Any) -> Any:
    """A cell without what surrounds its text."""
    return "" if value is None else value.strip() if isinstance(value, str) else value


def _text(value: Any) -> str:
    return str(_value(value))


def _has_roles(rows: Sequence[Row]) -> bool:
    return any(_text(values.get(ROLE_COLUMN)).lower() in ROLES for _, values in rows)


def _roles(metadata: Path, rows: Sequence[Row], column: str) -> tuple[str, ...]:
    found = [(place, _text(values.get(column)).lower()) for place, values in rows]
    for place, role in found:
        if role not in ROLES:
            raise SonoscaleError(f"{metadata}: {place}: column '{column}': '{role}' is neither query nor gallery")
    return tuple(role for _, role in found)


def _clips(
    metadata: Path, audio_root: Path, rows: Sequence[Row], path: str, filled: Sequence[str]
) -> tuple[Clip, ...] | None:
    """The clip of each row, or None where all are whole files, whose headers then need not be read.

    Raises:
        SonoscaleError: a value or file is missing, or a clip lies outside its file or is there twice.
    """
    spans: list[tuple[float, float | None]] = []
    first: dict[tuple[str, float, float | None], str] = {}
    for place, values in rows:
        for column in filled:
            if _text(values.get(column)) == "":
                raise SonoscaleError(f"{metadata}: {place}: no value in column '{column}'")
        file = _text(values[path])
        if not (audio_root / file).is_file():
            raise SonoscaleError(f"{metadata}: {place}: no such audio file {audio_root / file}")
        try:
            span = span_of(values)
        except SonoscaleError as error:
            raise SonoscaleError(f"{metadata}: {place}: {error}") from None
        if (file, *span) in first:
            raise SonoscaleError(
                f"{metadata}: {place}: {file} is in {first[file, *span]} already; a clip that is in two folds would be "
                "tested on what was trained on"
            )
        first[file, *span] = place
        spans.append(span)
    if set(spans) == {(0.0, None)}:
        return None
    files = list(dict.fromkeys(_text(values[path]) for _, values in rows))
    read = dict(zip(files, headers(audio_root / file for file in files), strict=True))
    clips: list[Clip] = []
    for (place, values), (start, stop) in zip(rows, spans, strict=True):
        file = _text(values[path])
        header = read[file]
        if isinstance(header, str):
            raise SonoscaleError(f"{metadata}: {place}: {audio_root / file}: {header}")
        try:
            clips += cut(Recording(file, audio_root / file, header), {}, None, start, stop)
        except SonoscaleError as error:
            raise SonoscaleError(f"{metadata}: {place}: {file}: {error}") from None
    return tuple(clips)
