"""A task of the HEAR benchmark as hear-preprocess lays it out (hearbenchmark.com; Turian et al., 2022)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sonoscale.corpora._files_corpus import Segments, Skipped, cut_all, headers, need_clips
from sonoscale.errors import SonoscaleError
from sonoscale.files import read_json

HEAR_MARK = "task_metadata.json"


def open_hear(folder: Path, *, sample_rate: int, max_seconds: float | None) -> Segments:
    """All splits or folds of a task folder: `task_metadata.json`, `{split}.json` and `{rate}/{split}/*.wav`.

    The audio is taken from the lowest rate that is not below `sample_rate`, or else from the highest. A row holds
    `task`, `split`, and what `{split}.json` says of the file: `labels` (strings), and `label` if there is just one
    (of scenes), or `events` (objects with label, start and end in milliseconds).

    Raises:
        SonoscaleError: a file or folder of this layout is missing or not what it should be.
    """
    meta = _json(folder / HEAR_MARK)
    rates = sorted(int(f.name) for f in folder.iterdir() if f.is_dir() and re.fullmatch("[1-9][0-9]{2,6}", f.name))
    if not rates:
        raise SonoscaleError(f"{folder}: no folder of audio named by its rate in Hz, such as {sample_rate}")
    rate = next((r for r in rates if r >= sample_rate), rates[-1])
    audio = folder / str(rate)
    splits = sorted(f.name for f in audio.iterdir() if f.is_dir() and (folder / f"{f.name}.json").is_file())
    if not splits:
        raise SonoscaleError(f"{folder}: no train.json or fold00.json that has a folder of its name in {rate}")

    found: list[tuple[str, Path]] = []
    rows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    for split in splits:
        for file, said in _json(folder / f"{split}.json").items():
            found.append((f"{rate}/{split}/{file}", audio / split / file))
            rows.append({"task": meta.get("task_name", folder.name), "split": split, **_labels(said)})
    clips, skipped = cut_all(found, headers(path for _, path in found), rows.__getitem__, max_seconds)
    need_clips(clips, skipped, str(folder))
    return Segments("hear", str(folder), tuple(clips), sample_rate, max_seconds, tuple(skipped))


def _labels(said: Any) -> dict[str, Any]:
    values = said if isinstance(said, list) else [said]
    if values and all(isinstance(value, dict) for value in values):
        return {"events": values, "labels": sorted({str(value.get("label")) for value in values})}
    labels = [str(value) for value in values]
    return {"labels": labels} | ({"label": labels[0]} if len(labels) == 1 else {})


def _json(file: Path) -> dict[str, Any]:
    content = read_json(file, "JSON of a HEAR task")
    if not isinstance(content, dict):
        raise SonoscaleError(f"{file}: a JSON object is needed, not {type(content).__name__}")
    return content
