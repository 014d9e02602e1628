"""`sonoscale measure --out`: what was measured, handed to the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.cli._measure_options import MeasureOptions
from sonoscale.rank import FileComparison, FileMeasurement, FileSketch
from sonoscale.report import Measured, Measurements, short_names, write_measure_page

if TYPE_CHECKING:  # a page of files needs no torch
    from sonoscale.measure import Measurement

__all__ = ["write_encoders_page", "write_files_page"]

WRITTEN = ("out", "json", "plot", "save_embeddings")
"""Options that decide no number."""


def write_encoders_page(
    path: Path,
    found: Sequence[Measurement],
    comparisons: Sequence[FileComparison],
    options: MeasureOptions,
    *,
    specs: Sequence[str],
    audio: str,
    chosen: Any,
) -> None:
    """Write the page of encoders.

    Arguments:
        path: of the page.
        found: what was measured of each.
        comparisons: of those after the first with it.
        options, chosen: the options of both forms of the command and of this one (dataclasses).
        specs: what the user called the encoders.
        audio: what the user called the audio.

    Raises:
        SonoscaleError: the file cannot be written.
    """
    names = short_names(specs)
    told = _told(dataclasses.asdict(options) | dataclasses.asdict(chosen), files=False)
    measured = [Measured.of_encoder(each, name) for each, name in zip(found, names, strict=True)]
    results = Measurements(measured, options.estimators[0], comparisons, audio, chosen.by or "", told)
    write_measure_page(path, results)


def write_files_page(
    path: Path,
    measured: Sequence[FileMeasurement],
    sketches: Sequence[FileSketch],
    comparisons: Sequence[FileComparison],
    options: MeasureOptions,
) -> None:
    """Write the page of files of embeddings.

    Arguments:
        path: of the page.
        measured, sketches: what was measured of each file, and from what.
        comparisons: of those after the first with it.
        options: of the command.

    Raises:
        SonoscaleError: the file cannot be written.
    """
    names = short_names([each.name for each in measured])
    shown = [Measured.of_file(m, s.sketch, name) for m, s, name in zip(measured, sketches, names, strict=True)]
    told = _told(dataclasses.asdict(options), files=True)
    write_measure_page(path, Measurements(shown, options.estimators[0], comparisons, options=told))


def _told(options: Mapping[str, Any], *, files: bool) -> dict[str, Any]:
    """Those that were given or have a value, but where the results were written; flags as yes."""
    unused = WRITTEN if files else (*WRITTEN, "method", "nan_policy", "tolerance", "force")
    given = {key: value for key, value in options.items() if key not in unused and value not in (None, False, [])}
    return {"all" if key == "everything" else key: "yes" if value is True else value for key, value in given.items()}
