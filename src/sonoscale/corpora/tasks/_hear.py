"""A task folder of the HEAR benchmark (Turian et al., arXiv 2203.03022), as hear-preprocess writes it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from sonoscale.corpora._files_corpus import Segments, cut_all, headers, need_clips
from sonoscale.corpora._hear import HEAR_MARK
from sonoscale.corpora.tasks._check import check_kind, names_of
from sonoscale.corpora.tasks._found import Options, task_of, without_broken
from sonoscale.corpora.tasks._kinds import METRICS_OF
from sonoscale.corpora.tasks._labels import LabelRule
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError

_VOCABULARY = "labelvocabulary.csv"


def open_hear_task(folder: Path, options: Options, *, rate: int | None = None) -> Task:
    """The task of a folder with `task_metadata.json`, `labelvocabulary.csv`, `{split}.json` and `{rate}/{split}/`.

    Arguments:
        folder: of the task.
        options: see `open_task`.
        rate: the folder of audio to read; by default that of the lowest rate not below the sample rate, or else of
            the highest.

    Raises:
        SonoscaleError: a file of this layout, or audio, is missing or not what it should be; a label that is not in
            the vocabulary.
    """
    meta = _json(folder / HEAR_MARK)
    for key in ("embedding_type", "prediction_type", "splits"):
        if key not in meta:
            raise SonoscaleError(f"{folder / HEAR_MARK}: no key '{key}'; is this what hear-preprocess wrote?")
    kind = "events" if meta["embedding_type"] == "event" else str(meta["prediction_type"])
    check_kind(kind, None, str(folder / HEAR_MARK))
    classes = _vocabulary(folder / _VOCABULARY)
    splits = [str(split) for split in meta["splits"]]
    audio = folder / str(_rate(folder, rate, options.sample_rate))

    listed: list[tuple[str, str, Any]] = []  # split, file, label
    rule = LabelRule(kind)
    for split in splits:
        for file, value in _json(folder / f"{split}.json").items():
            where = f"{folder / f'{split}.json'}: {file}"
            label = rule.read(value, where)
            unknown = next((name for name in names_of(label, kind) if name not in classes), None)
            if unknown is not None:
                raise SonoscaleError(f"{where}: label {unknown!r} is not in {_VOCABULARY}, which has {len(classes)}")
            listed.append((split, file, label))
    found = [(f"{audio.name}/{split}/{file}", audio / split / file) for split, file, _ in listed]
    rows = [{"split": split, "label": label} for split, _, label in listed]
    clips, skipped = cut_all(found, headers(path for _, path in found), rows.__getitem__, None)
    notes = without_broken(str(folder), skipped, options)
    need_clips(clips, skipped, str(folder))
    corpus = Segments("hear", str(folder), tuple(clips), options.sample_rate, None, tuple(skipped))

    folds = [clip.row["split"] for clip in clips]
    scheme = "split" if _is_split(meta, splits) else "folds"
    metrics = [str(metric) for metric in meta.get("evaluation") or []]
    metric = metrics[0] if metrics and metrics[0] in METRICS_OF[kind] else None
    if metrics and metric is None:
        notes = (*notes, f"HEAR scores this by {metrics[0]}, which is not known here")
    return task_of(
        str(folder), corpus, [clip.row["label"] for clip in clips], folds, scheme, options, kind=kind,
        classes=tuple(classes), metric=metric, notes=(*notes, *_twice(listed)),
    )  # fmt: skip


def versioned_name(folder: Path) -> str:
    """What hear-preprocess calls the task, such as `esc50-v2.0.0-full`; the folder's name if it does not say."""
    meta = _json(folder / HEAR_MARK)
    parts = [meta.get(key) for key in ("task_name", "version", "mode")]
    return "-".join(str(part) for part in parts) if all(parts) else folder.name


def _is_split(meta: dict[str, Any], splits: list[str]) -> bool:
    mode = meta.get("split_mode")
    return mode == "trainvaltest" if mode is not None else set(splits) == {"train", "valid", "test"}


def _rate(folder: Path, wanted: int | None, sample_rate: int) -> int:
    rates = sorted(int(f.name) for f in folder.iterdir() if f.is_dir() and f.name.isdigit())
    if not rates:
        raise SonoscaleError(f"{folder}: no folder of audio named by its rate in Hz, such as {sample_rate}")
    if wanted is None:
        return next((rate for rate in rates if rate >= sample_rate), rates[-1])
    if wanted not in rates:
        raise SonoscaleError(f"{folder}: no audio at rate = {wanted}; there is {', '.join(map(str, rates))}")
    return wanted


def _vocabulary(file: Path) -> list[str]:
    """Classes in the order of their numbers."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = reader.fieldnames or []
    except OSError as error:
        raise SonoscaleError(f"{file}: cannot be read ({(error.strerror or str(error)).lower()})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SonoscaleError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    if not {"idx", "label"} <= set(columns):
        raise SonoscaleError(f"{file}: columns idx and label are needed; it has {', '.join(columns)}")
    try:
        names = {int(row["idx"]): row["label"].strip() for row in rows}
    except (TypeError, ValueError, AttributeError):
        raise SonoscaleError(f"{file}: idx must be a number and label a name in every row") from None
    if sorted(names) != list(range(len(rows))):
        missing = next((i for i in range(len(rows)) if i not in names), len(rows))
        raise SonoscaleError(
            f"{file}: idx must run from 0 to {len(rows) - 1} without a gap, and {missing} is missing; renumber them"
        )
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise SonoscaleError(f"{file}: label {twice[0]!r} is listed twice")
    return [names[i] for i in range(len(names))]


def _twice(listed: list[tuple[str, str, Any]]) -> tuple[str, ...]:
    """A note on files of one name in several splits, which may be one recording."""
    names = Counter(file for _, file, _ in listed)
    several = [file for file, count in names.items() if count > 1]
    return (f"{len(several)} file names are in several splits (such as {several[0]})",) if several else ()


def _json(file: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = Counter(key for key, _ in pairs)
        twice = next((key for key, count in keys.items() if count > 1), None)
        if twice is not None:
            raise SonoscaleError(f"{file}: '{twice}' is in it twice; a clip has one place")
        return dict(pairs)

    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)
    except FileNotFoundError:
        raise SonoscaleError(f"{file}: no such file, which a HEAR task folder has; unpack the task again") from None
    except OSError as error:
        raise SonoscaleError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SonoscaleError(f"{file}: not valid JSON ({error}); unpack the task again") from error
    if not isinstance(content, dict):
        raise SonoscaleError(f"{file}: a JSON object is needed, not {type(content).__name__}")
    return content
