"""A task in a data set of Hugging Face `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sonoscale.corpora._base import Joined
from sonoscale.corpora._hf import HfSegments, load_splits, rows_of
from sonoscale.corpora.tasks._check import check_kind
from sonoscale.corpora.tasks._folds import PARTS, usual_names
from sonoscale.corpora.tasks._found import Options, task_of, without_broken
from sonoscale.corpora.tasks._labels import LabelRule
from sonoscale.corpora.tasks._table import LABEL_COLUMNS
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError


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
            of these, regression for decimal numbers, retrieval for a column `work`.
        label: the column of labels; by default `label`, `labels`, `value` or `work`.
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

    wanted = _Columns(label, fold, group, key, kind, LabelRule("", label_map, separator))
    read = [_read(spec, named[split], split, part, wanted, options) for part, split in parts.items()]
    kind, classes = read[0].kind, read[0].classes
    different = next((each for each in read if (each.kind, each.classes) != (kind, classes)), None)
    if different is not None:
        raise SonoscaleError(f"{spec}: the labels of its splits are of different classes, or one is {different.kind}")
    notes = (*notes, *without_broken(spec, [one for each in read for one in each.corpus.skipped], options))
    folds: tuple[str, ...] | None = tuple(one for each in read for one in each.folds)
    if fold:
        folds, scheme = usual_names(folds, fold)
    elif set(folds) == {""}:
        folds = None
    corpora = tuple(each.corpus for each in read)
    return task_of(
        spec, corpora[0] if len(corpora) == 1 else Joined(corpora), [one for each in read for one in each.labels],
        folds, scheme, options, kind=kind, classes=classes,
        groups=tuple(one for each in read for one in each.groups) if group else None, notes=notes,
    )  # fmt: skip


@dataclass(frozen=True)
class _Columns:
    """Which columns to read, and how."""

    label: str | None
    fold: str | None
    group: str | None
    key: str | None
    kind: str | None
    rule: LabelRule


@dataclass(frozen=True)
class _Split:
    """Clips of one split, and what its columns say of them."""

    corpus: HfSegments
    kind: str
    classes: tuple[str, ...] | None
    labels: list[Any]
    folds: list[str]
    groups: list[str]


def _read(spec: str, dataset: Any, split: str, part: str, wanted: _Columns, options: Options) -> _Split:
    where = f"{spec}: split '{split}'" if split else spec
    column = wanted.label or next((c for c in LABEL_COLUMNS if c in dataset.features), "label")
    for needed in (column, wanted.fold, wanted.group):
        if needed is not None and needed not in dataset.features:
            raise SonoscaleError(f"{where}: no column '{needed}'; its columns are {', '.join(dataset.features)}")
    usual = "retrieval" if LABEL_COLUMNS.get(column) == "retrieval" else _kind(dataset.features[column])
    kind = wanted.kind or usual
    check_kind(kind, options.metric, where)
    if kind == "events":
        raise SonoscaleError(f"{where}: events are read from HEAR task folders and tar shards only")
    corpus = rows_of(
        dataset, f"{spec}[{split}]" if split else spec, sample_rate=options.sample_rate, max_seconds=None,
        key=wanted.key,
    )  # fmt: skip
    names = _class_names(dataset.features[column])
    rule = replace(wanted.rule, kind=kind)

    def values(column: str) -> list[tuple[str, Any]]:
        """Where each stands, and what does. No other column is read, so no audio is."""
        every = corpus.dataset.data.column(column).to_pylist()
        sources = (clip.recording.source for clip in corpus.clips)
        rows = [source for source in sources if isinstance(source, int)]  # as they all are
        return [(f"{where}, row {row}: column '{column}'", every[row]) for row in rows]

    return _Split(
        corpus, kind, tuple(names) if names and rule.mapping is None else None,
        [rule.read(_named(value, names, at), at) for at, value in values(column)],
        [_text(value, at) for at, value in values(wanted.fold)] if wanted.fold else [part] * len(corpus),
        [_text(value, at) for at, value in values(wanted.group)] if wanted.group else [],
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


def _named(value: Any, names: list[str] | None, where: str) -> Any:
    """Class numbers as names."""
    if names is None or value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_named(each, names, where) for each in value]
    if not 0 <= value < len(names):
        raise SonoscaleError(f"{where}: label {value} is no class of its {len(names)}; has this split labels at all?")
    return names[value]


def _text(value: Any, where: str) -> str:
    if value is None or not str(value).strip():
        raise SonoscaleError(f"{where}: no value")
    return str(value).strip()
