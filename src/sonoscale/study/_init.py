"""Write a study file to start from, and the schema that editors check it with."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from string import Template
from typing import Any

from sonoscale.arguments import check_arguments
from sonoscale.config import load_config
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import write_text
from sonoscale.study._editor_schema import schema
from sonoscale.study._templates import DATA_FOLDER, DATA_MADE, QUESTIONS, TASKS_MADE, TEMPLATES

__all__ = ["init"]

_LEAST = 96
"""Clips in a folder from which a study can be made."""


@in_one_line
def init(
    file: str | os.PathLike[str] = "study.yaml",
    *,
    question: str | None = None,
    data: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Path:
    """Write a commented study file for a common question, and beside it the schema for editors.

    Questions: `folder` (one folder of audio), `width-data`, `objectives`, `isoflop`, `run` (an existing run as base),
    `continue` (an existing run trained further, from its weights).

    Arguments:
        file: to be written; the study has its name.
        question: one of those above. None: `run` if one is given, `folder` if data are, else `width-data`.
        data: folder of unlabelled audio. None: the built-in procedural corpus, or for `folder` to be filled in.
        run: folder of a run of ours whose configuration is the base, or, for `continue`, whose weights are.
        force: replace a file that is there.

    Returns:
        The file.

    Raises:
        SonoscaleError: no such question, folder or run; too little audio; the file is there already.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sonoscale.study import init, study
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = init(Path(folder) / "widths.yaml", question="isoflop")
        ...     len(study(file).planned())
        15
    """
    check_arguments(init, locals())
    path = Path(file)
    asked = question or ("run" if run is not None else "folder" if data is not None else "width-data")
    if asked not in QUESTIONS:
        said = "; ".join(f"{name} ({what})" for name, what in QUESTIONS.items())
        raise SonoscaleError(f"question = {asked!r}: there are {said}")
    if (asked in ("run", "continue")) != (run is not None):
        raise SonoscaleError(
            f"question = {asked!r}: give the run, the folder of an existing run"
            if run is None
            else f"run = {run}: is the base of the questions run and continue, not of {asked}; leave one of them out"
        )
    if run is not None and data is not None:
        raise SonoscaleError(f"data = {data} and run = {run}: give one of them; a run has its own data")
    if path.exists() and not force:
        raise SonoscaleError(f"{path}: is there already; name another file, or force to replace it")
    fields: dict[str, str] = {"name": _name(path), "tasks": TASKS_MADE.rstrip() + "\n", "batch": "64"}
    fields |= _of_run(Path(run), further=asked == "continue") if run is not None else _of_data(asked, data)
    text = Template(TEMPLATES[asked]).substitute(fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"# yaml-language-server: $schema=study.schema.json\n{text}")
    write_text(path.parent / "study.schema.json", json.dumps(schema("study"), indent=1) + "\n")
    return path


def _name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "study"


def _of_data(question: str, data: str | os.PathLike[str] | None) -> dict[str, str]:
    """What depends on the audio: as much is held out and as many clips are in a batch as the folder allows."""
    if data is None and question != "folder":
        return {"data": DATA_MADE}
    fields = {"root": "null", "audio": "pool", "heldout": "768"}
    batch = 64
    if data is not None:
        from sonoscale.corpora._folder import FileCorpus

        root = Path(data).expanduser()
        if not root.is_dir():
            raise SonoscaleError(f"data = {data}: no such folder")
        clips = len(FileCorpus.from_folder(root))
        if clips < _LEAST:
            raise SonoscaleError(f"data = {data}: {clips} clips of audio; a study needs {_LEAST} or more")
        held = min(768, clips // 3)
        batch = next(size for size in (64, 32, 16, 8) if size <= (clips - held) // 2)
        fields = {"root": json.dumps(str(root.resolve())), "audio": ".", "heldout": str(held)}
    return {"data": Template(DATA_FOLDER).substitute(fields), "batch": str(batch)}


def _of_run(run: Path, *, further: bool) -> dict[str, str]:
    """The sections of a run, and values around its own; or of one that begins with its weights."""
    import yaml

    from sonoscale.pretrain import RunConfig, read_record

    file = run / "config.yaml" if run.is_dir() else run
    config = load_config(RunConfig, file)
    kept: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    kept.setdefault("encoder", {})["depth"] = config.encoder.depth  # whose default is another for each backbone
    kept["data"] = kept.get("data", {}) | {"kind": config.data.kind}
    if further:
        train = {key: value for key, value in kept.get("train", {}).items() if key != "frozen_layers"}
        kept["train"] = train | {"init": str(run.resolve())}
    slower, faster = (16, 0.25) if further else (2, 2)
    sections = {name: kept[name] for name in ("data", "encoder", "objective", "train") if kept.get(name)}
    width, record = config.encoder.width, read_record(run) or {}
    clips = int(record.get("clips") or config.data.clips or 1024)
    batch = config.train.batch_size
    fewer = sorted({max(batch, 8, round(clips / part)) for part in (8, 4, 2)} - {clips})
    return {
        "run": str(run), "sections": yaml.safe_dump(sections, sort_keys=False, default_flow_style=None, width=100),
        "widths": str(sorted({max(8, 4 * round(width / 8)), 4 * round(width * 0.75 / 4), 2 * width} - {width})),
        "clips": str(fewer or [clips]),
        "lr_low": f"{config.train.lr / slower:g}", "lr_high": f"{min(1.0, config.train.lr * faster):g}",
        "frozen": str(sorted({1, (config.encoder.depth + 2) // 2, config.encoder.depth + 1})),
    }  # fmt: skip
