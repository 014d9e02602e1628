"""A task in tar shards of audio and JSON, as X-ARES publishes it (arXiv 2505.16369)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sonoscale.corpora._files_corpus import Skipped
from sonoscale.corpora._tar import TarSegments, open_tars
from sonoscale.corpora.tasks._folds import PARTS
from sonoscale.corpora.tasks._found import Options, task_of, without_broken
from sonoscale.corpora.tasks._labels import LabelRule, at_pointer
from sonoscale.corpora.tasks._task import Task
from sonoscale.errors import SonoscaleError

_FOLD = re.compile(r"(?:^|[-_.])fold[-_]?(\d+)(?=[-_.]|$)", re.IGNORECASE)
_ENCODED = "wds-encoded"  # what X-ARES makes of the audio


@dataclass(frozen=True)
class ShardTask:
    """What a folder of tar shards does not say itself.

    Attributes:
        rule: how labels are written.
        label: JSON pointer to a clip's label, or a key; empty for all of the JSON.
        splits: shards of each fold or part, as patterns; None to take them from their names.
        scheme: of these splits; None to take it from their names.
        group: JSON pointer to the speaker or recording.
        key: extension of the audio in samples with several.
        classes: all names, if known.
        metric: usual score of the task.
        notes: to pass on.
    """

    rule: LabelRule
    label: str = "label"
    splits: Mapping[str, str] | None = None
    scheme: str | None = None
    group: str | None = None
    key: str | None = None
    classes: tuple[str, ...] | None = None
    metric: str | None = None
    notes: tuple[str, ...] = ()


def open_shard_task(folder: Path, source: ShardTask, options: Options) -> Task:
    """The task of a folder of tar shards, in which a sample is audio and a JSON of the same name.

    Shards are assigned by their names: `...fold-3-...tar` is of fold 3, `..._valid_0.tar` of the validation part.

    Arguments:
        folder: of the shards.
        source: what the folder does not say itself.
        options: see `open_task`.

    Raises:
        SonoscaleError: a shard is missing, broken, of no split or of two; a sample without a label.
    """
    by_split = _by_pattern(folder, source.splits) if source.splits is not None else _by_name(folder)
    notes = source.notes
    parts: list[TarSegments] = []
    splits: list[str] = []
    skipped: list[Skipped] = []
    for split, shards in by_split.items():
        for shard in shards:
            part = open_tars(str(shard), sample_rate=options.sample_rate, max_seconds=None, key=source.key)
            parts.append(part)
            skipped += part.skipped
            splits += [split] * len(part)
    notes = (*notes, *without_broken(str(folder), skipped, options))
    clips = tuple(clip for part in parts for clip in part.clips)
    corpus = replace(parts[0], clips=clips, skipped=tuple(skipped))

    labels: list[Any] = []
    groups: list[str] = []
    for i in range(len(corpus)):
        document, where = _document(corpus, i), corpus.name(i)
        labels.append(source.rule.read(at_pointer(document, source.label, where), where))
        if source.group is not None:
            groups.append(str(at_pointer(document, source.group, where)))
    names = list(by_split)
    if names == [""]:
        folds, scheme = None, "folds"
    else:
        folds, scheme = splits, source.scheme or ("split" if set(names) <= {"train", "valid", "test"} else "folds")
    if scheme == "split" and not {"train", "test"} <= set(names) and source.rule.kind != "retrieval":
        raise SonoscaleError(
            f"{folder}: its shards are of {', '.join(names)}; train and test are needed: say which they are, such as "
            "splits={'train': 'train*.tar', 'test': 'dev*.tar'}"
        )
    return task_of(
        str(folder), corpus, labels, folds, scheme, options, kind=source.rule.kind, classes=source.classes,
        metric=source.metric, groups=tuple(groups) if source.group is not None else None, notes=notes,
    )  # fmt: skip


def _document(corpus: TarSegments, index: int) -> Any:
    """The JSON of a sample: an object, or whatever it holds."""
    row = corpus.row(index)
    fields = {key: value for key, value in row.items() if key not in ("__key__", "__url__")}
    if not fields:
        raise SonoscaleError(f"{corpus.name(index)}: no .json beside it in its shard, which would hold its label")
    return fields["json"] if set(fields) == {"json"} else fields


def _by_pattern(folder: Path, splits: Mapping[str, str]) -> dict[str, list[Path]]:
    """Shards by fold or part."""
    found: dict[str, list[Path]] = {}
    owner: dict[Path, str] = {}
    for split, pattern in splits.items():
        found[str(split)] = shards = sorted(file for file in folder.glob(pattern) if file.is_file())
        if not shards:
            there = sorted(file.name for file in folder.glob("*.tar"))
            has = f"there is {', '.join(there[:5])}{', ...' if len(there) > 5 else ''}" if there else "there is no .tar"
            raise SonoscaleError(f"{folder}: no shard {pattern} for {split}; {has}")
        for shard in shards:
            if shard in owner:
                raise SonoscaleError(
                    f"{shard}: is of {owner[shard]} and of {split}; a clip that is in two folds would be tested on "
                    "what was trained on"
                )
            owner[shard] = str(split)
    return found


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Shards by the fold or part in their names; by "" if none has any."""
    shards = sorted(file for file in folder.glob("*.tar") if not file.name.startswith(_ENCODED))
    if not shards:
        raise SonoscaleError(f"{folder}: no tar files")
    split_of = {shard: _split_of(shard.stem) for shard in shards}
    if not any(split_of.values()):
        return {"": shards}
    lost = next((shard for shard, split in split_of.items() if not split), None)
    if lost is not None:
        raise SonoscaleError(
            f"{lost}: its name has neither fold nor part (train, valid, test), as those of others do; give splits"
        )
    if "eval" in split_of.values():
        free = next((part for part in ("test", "valid") if part not in split_of.values()), None)
        if free is None:
            raise SonoscaleError(f"{folder}: shards of valid, test and eval; say with splits which are to be tested")
        split_of = {shard: free if split == "eval" else split for shard, split in split_of.items()}
    found: dict[str, list[Path]] = {}
    for shard in shards:
        found.setdefault(split_of[shard], []).append(shard)
    return found


def _split_of(stem: str) -> str:
    """Fold or part in the name of a shard; eval may be either of two; empty if there is none."""
    fold = _FOLD.search(stem)
    if fold:
        return str(int(fold[1]))
    for word in re.split(r"[^a-z]+", stem.lower()):
        if word in PARTS:
            return PARTS[word]
        if word in ("eval", "evaluation"):
            return "eval"
    return ""
