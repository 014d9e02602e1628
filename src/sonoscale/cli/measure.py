"""`sonoscale measure`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sonoscale.errors import SonoscaleError


class Method(StrEnum):
    """How the spectrum is accumulated."""

    GRAM = "gram"
    QR = "qr"


class NanPolicy(StrEnum):
    """What becomes of rows with NaN or infinity."""

    RAISE = "raise"
    OMIT = "omit"


class Executor(StrEnum):
    """Where encoders run."""

    LOCAL = "local"
    RAY = "ray"


class Precision(StrEnum):
    """Of the encoder's forward pass."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


ENCODERS, FILES, BOTH = "Encoders", "Files of embeddings", "Both"


def measure(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENCODER AUDIO | FILE...]", help="An encoder and audio, or more files to compare."),
    ] = None,
    compare: Annotated[
        list[str] | None, typer.Option(help="Another encoder for the same audio.", rich_help_panel=ENCODERS)
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Measure every layer.", rich_help_panel=ENCODERS)] = False,
    by: Annotated[
        str | None, typer.Option(help="Column of the audio to group clips by.", rich_help_panel=ENCODERS)
    ] = None,
    durations: Annotated[
        str | None, typer.Option(help="Beginnings to measure, in seconds: 1,2,5.", rich_help_panel=ENCODERS)
    ] = None,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Also what needs pairs of clips.", rich_help_panel=ENCODERS)
    ] = False,
    kind: Annotated[
        str | None, typer.Option(help="What the audio is, if not what it looks like.", rich_help_panel=ENCODERS)
    ] = None,
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder that a manifest's paths are relative to.", rich_help_panel=ENCODERS)
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Cut longer recordings into clips.", rich_help_panel=ENCODERS)
    ] = 30.0,
    max_broken: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of clips that may fail.", rich_help_panel=ENCODERS)
    ] = 0.05,
    save_embeddings: Annotated[
        Path | None, typer.Option(help="Write them to this .parquet or .npy file.", rich_help_panel=ENCODERS)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.", rich_help_panel=ENCODERS)] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="Pooling is in fp32.", rich_help_panel=ENCODERS)
    ] = Precision.FP32,
    batch_seconds: Annotated[
        float, typer.Option(min=0.01, help="Audio in a batch; less needs less memory.", rich_help_panel=ENCODERS)
    ] = 64.0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads that decode (default: a quarter of the cores; all beside a GPU).",
            rich_help_panel=ENCODERS,
        ),
    ] = None,
    executor: Annotated[Executor, typer.Option(help="Here, or on Ray.", rich_help_panel=ENCODERS)] = Executor.LOCAL,
    embeddings: Annotated[
        list[Path] | None,
        typer.Option(help=".npy, .npz, .parquet, .safetensors, .pt, .h5.", rich_help_panel=FILES),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Which array of the file.", rich_help_panel=FILES)] = None,
    method: Annotated[
        Method, typer.Option(help="qr resolves smaller singular values, more slowly.", rich_help_panel=FILES)
    ] = Method.GRAM,
    nan_policy: Annotated[
        NanPolicy, typer.Option(help="Rows with NaN or infinity.", rich_help_panel=FILES)
    ] = NanPolicy.RAISE,
    estimator: Annotated[
        list[str] | None, typer.Option(help="Estimator; can be given again.", rich_help_panel=BOTH)
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every estimator there is.", rich_help_panel=BOTH)] = False,
    json: Annotated[Path | None, typer.Option(help="Write the records to this file.", rich_help_panel=BOTH)] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the spectra into this PNG.", rich_help_panel=BOTH)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a page with spectra and tables to this .html file.", rich_help_panel=BOTH),
    ] = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.", rich_help_panel=BOTH)
    ] = 0.95,
    tolerance: Annotated[
        float, typer.Option(min=1e-5, max=1.0, help="Share to tell the clips needed for.", rich_help_panel=BOTH)
    ] = 0.01,
    blocks: Annotated[int, typer.Option(min=2, max=256, help="Groups for the jackknife.", rich_help_panel=BOTH)] = 16,
    force: Annotated[
        bool, typer.Option("--force", help="Compare also what was measured differently.", rich_help_panel=BOTH)
    ] = False,
) -> None:
    """Effective rank of an encoder's embeddings of audio, or of embeddings in files, with interval and provenance."""
    from sonoscale.cli._measure_options import MeasureOptions
    from sonoscale.rank import get_estimator

    names = estimator or ["rankme", "rankme_centred", "rankme_standardised"]
    for name in names:
        get_estimator(name)
    for path, suffixes in (
        (json, (".json", ".parquet")), (plot, (".png",)), (out, (".html",)), (save_embeddings, (".parquet", ".npy")),
    ):  # fmt: skip
        if path and (path.suffix not in suffixes or not path.parent.is_dir()):
            raise SonoscaleError(f"{path}: must end in {' or '.join(suffixes)}, in a folder that exists")
    options = MeasureOptions(
        names, all_, json, plot, out, level, tolerance, blocks, method.value, nan_policy.value, force
    )  # fmt: skip
    if embeddings:
        from sonoscale.cli._embedding_files import measure_embedding_files

        measure_embedding_files([*embeddings, *map(Path, what or [])], key, options)
        return
    if not what or len(what) != 2:
        raise SonoscaleError("measure needs ENCODER AUDIO, or --embeddings FILE")
    from sonoscale.cli._encoders import EncoderOptions, measure_encoders

    measure_encoders(
        [what[0], *(compare or [])],
        what[1],
        EncoderOptions(
            layers, by, seconds_of(durations), rivals, kind, audio_root, max_seconds, max_broken, save_embeddings,
            device, precision.value, workers, executor.value, batch_seconds,
        ),
        options,
    )  # fmt: skip


def seconds_of(text: str | None) -> list[float]:
    """`1,2,5` as numbers.

    Raises:
        SonoscaleError: not positive numbers.
    """
    try:
        found = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        found = [0.0]
    if any(not 0 < seconds < 1e6 for seconds in found):
        raise SonoscaleError(f"--durations {text}: must be seconds, such as 1,2,5")
    return found
