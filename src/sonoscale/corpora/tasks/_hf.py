"""A task in a data set of Hugging Face `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sonoscale.corpora._base import Joined
from sonoscale.corpora._files_corpus import Skipped
from sonoscale.corpora._hf import HfSegments, load_splits, rows_of
from sonoscale.corpora.tasks._check import check_kind
from sonoscale.corpora.tasks._folds import PARTS, usual_names
from sonoscale.corpora.tasks._found import Options, task_of, without_broken
from sonoscale.corpora.tasks._labels import LabelRule
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError

_LABEL_COLUMNS = ("label", "labels", "value")


def open_hf_task(
    spec: str,
    options: Options,
    *,
    kind: str | None = None,
    label: str | None = None,
    fold: str | None = None,
    group: str | None = None,
    key: str | None = None,
    splits: Mapping[str, str] | None = None,
    separator: str | None = None,
    label_map: Mapping[str, str] | None = None,
) -> Task:
    """The task of a data set: by a column of folds, by its splits, or with folds made here.

    Arguments:
        spec: as of `open_corpus`.
        options: see `open_task`.
        kind: by default that of the label column: multiclass for ClassLabel, integers and text, multilabel for lists
            of these, regression for decimal numbers.
        label: the column of labels; by default `label`, `labels` or `value`.
        fold: a column of folds, over all splits.
        group: a column of speakers or recordings.
        key: the column of audio.
        splits: which of its splits is train, valid and test; by default those of these names.
        separator: between labels in one text.
        label_map: from what is written to classes.

    Raises:
        SonoscaleError: it cannot be loaded; a column or split is missing.
    """
    spec = spec.removeprefix("hf:")
    found, chosen = load_splits(spec)
    named: dict[str, Any] = dict(found) if isinstance(found, Mapping) else {"": found}
    if chosen is not None and isinstance(found, Mapping):
        if chosen not in named:
            raise SonoscaleError(f"{spec}: no split '{chosen}'; there are {', '.join(named)}")
        named = {"": named[chosen]}
    parts, scheme, notes = ({split: split for split in named}, "folds", ()) if fold else _parts(spec, named, splits)

    corpora: list[HfSegments] = []
    columns: dict[str, list[Any]] = {"label": [], "fold": [], "group": []}
    skipped: list[Skipped] = []
    classes: tuple[str, ...] | None = None
    for part, split in parts.items():
        where = f"{spec}: split '{split}'" if split else spec
        dataset = named[split]
        column = label or next((c for c in _LABEL_COLUMNS if c in dataset.features), "label")
        for needed in (column, fold, group):
            if needed is not None and needed not in dataset.features:
                raise SonoscaleError(f"{where}: no column '{needed}'; its columns are {', '.join(dataset.features)}")
        corpus = rows_of(
            dataset, f"{spec}[{split}]" if split else spec,
            sample_rate=options.sample_rate, max_seconds=None, key=key,
        )  # fmt: skip
        skipped += corpus.skipped
        kind = kind or _kind(dataset.features[column])
        check_kind(kind, options.metric, where)
        if kind == "events":
            raise SonoscaleError(f"{where}: events are read from HEAR task folders and tar shards only")
        names = _class_names(dataset.features[column])
        classes = tuple(names) if names and label_map is None else None
        rows = [_row(clip.recording.source) for clip in corpus.clips]
        rule = LabelRule(kind, label_map, separator)
        for row, value in _values(corpus, column, rows):
            columns["label"].append(rule.read(_named(value, names, f"{where}, row {row}"), f"{where}, row {row}"))
        columns["fold"] += (
            [_text(v, where, r, fold) for r, v in _values(corpus, fold, rows)] if fold else [part] * len(rows)
        )
        if group is not None:
            columns["group"] += [_text(value, where, row, group) for row, value in _values(corpus, group, rows)]
        corpora.append(corpus)
    notes = (*notes, *without_broken(spec, skipped, options))
    folds: tuple[str, ...] | None = tuple(columns["fold"])
    if fold:
        folds, scheme = usual_names(folds, fold)
    elif set(folds) == {""}:
        folds = None
    assert kind is not None
    return task_of(
        spec, corpora[0] if len(corpora) == 1 else Joined(tuple(corpora)), columns["label"], folds, scheme, options,
        kind=kind, classes=classes, groups=tuple(columns["group"]) if group else None, notes=notes,
    )  # fmt: skip


def _parts(
    spec: str, named: dict[str, Any], splits: Mapping[str, str] | None
) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """Fold or part -> split of the data set, the scheme, and what is left out."""
    if splits is not None:
        for part, split in splits.items():
            if split not in named:
                raise SonoscaleError(f"{spec}: no split '{split}' for {part}; there are {', '.join(named)}")
        if len(set(splits.values())) < len(splits):
            raise SonoscaleError(f"{spec}: splits names one of its splits twice; parts must not share clips")
        return dict(splits), "split" if set(splits) <= {"train", "valid", "test"} else "folds", ()
    if len(named) == 1:
        return {"": next(iter(named))}, "folds", ()
    parts: dict[str, str] = {}
    for split in named:
        if (part := PARTS.get(split.lower())) is not None:
            if part in parts:
                raise SonoscaleError(
                    f"{spec}: splits '{parts[part]}' and '{split}' are both {part}; choose with splits"
                )
            parts[part] = split
    if not parts and len(named) >= 3:
        return {split: split for split in named}, "folds", ()
    if not {"train", "test"} <= set(parts):
        raise SonoscaleError(
            f"{spec}: its splits are {', '.join(named)}; train and test are needed: say which they are, such as "
            f"splits={{'train': '{next(iter(named))}', 'test': '{list(named)[-1]}'}}"
        )
    left_out = [split for split in named if split not in parts.values()]
    return parts, "split", (f"splits left out: {', '.join(left_out)}",) if left_out else ()


def _inner(feature: Any) -> Any:
    """The feature of a list's elements, or the feature itself."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", feature)


def _class_names(feature: Any) -> list[str] | None:
    return list(getattr(_inner(feature), "names", None) or []) or None


def _kind(feature: Any) -> str:
    inner = _inner(feature)
    if inner is not feature:
        return "multilabel"
    return "regression" if str(getattr(inner, "dtype", "")).startswith("float") else "multiclass"


def _row(source: Any) -> int:
    assert isinstance(source, int)
    return source


def _values(corpus: HfSegments, column: str, rows: list[int]) -> list[tuple[int, Any]]:
    """What a column holds in some rows. No other column is read, so no audio is."""
    values = corpus.dataset.data.column(column).to_pylist()
    return [(row, values[row]) for row in rows]


def _named(value: Any, names: list[str] | None, where: str) -> Any:
    """Class numbers as names."""
    if names is None or value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_named(each, names, where) for each in value]
    if not 0 <= value < len(names):
        raise SonoscaleError(f"{where}: label {value} is no class of its {len(names)}; has this split labels at all?")
    return names[value]


def _text(value: Any, where: str, row: int, column: str | None) -> str:
    if value is None or not str(value).strip():
        raise SonoscaleError(f"{where}, row {row}: no value in column '{column}'")
    return str(value).strip()
