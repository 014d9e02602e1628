"""Procedural clips to listen to and to look at."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import matplotlib.figure
import numpy as np
import soundfile
import torch

from sonoscale.arguments import check_arguments
from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.corpora.procedural import ProceduralCorpus
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import make_folder, replacing, write_bytes, write_text

__all__ = ["preview"]

_COLUMNS = 6
_LABELS = "labels.csv"


@in_one_line
def preview(out: str | Path, *, clips: int = 24, seed: int = 0, seconds: float = 2.0) -> list[Path]:
    """Write WAVs, `labels.csv` and a contact sheet of log-mels for the train and the test split.

    Arguments:
        out: folder, made if need be.
        clips: number of clips per split.
        seed: of the corpus.
        seconds: length of a clip, in seconds.

    Returns:
        the label file and the contact sheets.

    Raises:
        SonoscaleError: the folder holds other files.

    Example:
        >>> preview("preview", clips=6)  # doctest: +SKIP
        [PosixPath('preview/labels.csv'), PosixPath('preview/contact-sheet-train.png'), ...]
    """
    check_arguments(preview, locals())
    out = Path(out)
    make_folder(out)
    _check_place(out)
    sheets, rows = [], []
    for split in ("train", "test"):
        corpus = ProceduralCorpus(split, clips, seed, seconds)
        waves = [corpus.wave(i) for i in range(clips)]
        for i, wave in enumerate(waves):
            file = out / f"{corpus.name(i)}.wav"
            encoded = io.BytesIO()
            soundfile.write(encoded, wave, corpus.sample_rate, subtype="PCM_16", format="WAV")
            write_bytes(file, encoded.getvalue())
            rows.append({"path": file.name, "split": split, **corpus.labels(i)})
        titles = [" ".join(v for v in corpus.labels(i).values() if v) for i in range(clips)]
        sheets.append(out / f"contact-sheet-{split}.png")
        _contact_sheet(waves, titles, sheets[-1])
    table, stream = out / _LABELS, io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, stream.getvalue())
    return [table, *sheets]


def _check_place(out: Path) -> None:
    """Whether a folder is empty or holds an earlier preview: labels, contact sheets, and clips by our names."""
    name = re.compile(r"(train|test)-[\w-]+\.wav|contact-sheet-(train|test)\.png|" + re.escape(_LABELS))
    foreign = sorted(
        path.name for path in out.iterdir() if not path.name.startswith(".") and not name.fullmatch(path.name)
    )
    if foreign:
        raise SonoscaleError(f"{out}: holds {foreign[0]!r}, which is of no preview; give a new folder")


def _contact_sheet(waves: list[np.ndarray], titles: list[str], path: Path) -> None:
    front_end = LogMel(LogMelConfig(n_mels=64))
    rows = -(-len(waves) // _COLUMNS)
    figure = matplotlib.figure.Figure(figsize=(3 * _COLUMNS, 2 * rows), layout="constrained")
    for i, (wave, title) in enumerate(zip(waves, titles, strict=True)):
        axes = figure.add_subplot(rows, _COLUMNS, i + 1)
        mel = front_end(torch.from_numpy(wave)[None])[0].numpy()
        axes.imshow(mel, origin="lower", aspect="auto", extent=(0, len(wave) / 16_000, 0, 64), cmap="magma")
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=7)
    figure.supxlabel("seconds")
    figure.supylabel("mel band")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
