"""`sonoscale measure`."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.measure import Measurement


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


def _encoders(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Encoders", **settings)


def _files(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Files of embeddings", **settings)


def _both(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Both", **settings)


def measure(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENCODER AUDIO | FILE...]",
            help="An encoder and audio, or files of embeddings. hear:, xares: and python: run the code that they name.",
        ),
    ] = None,
    compare: Annotated[list[str] | None, _encoders(help="Another encoder for the same audio; repeatable.")] = None,
    layers: Annotated[bool, _encoders("--layers", help="Measure every layer.")] = False,
    group: Annotated[str | None, _encoders(help="Column of the audio whose groups are measured separately.")] = None,
    equal_n: Annotated[bool, _encoders("--equal-n", help="Groups on equally many clips each.")] = False,
    durations: Annotated[str | None, _encoders(help="Also measure the first seconds of each clip: 1,2,5.")] = None,
    kind: Annotated[str | None, _encoders(help="Kind of audio, where the guess is wrong.")] = None,
    audio_root: Annotated[Path | None, _encoders(help="Folder that a manifest's paths are relative to.")] = None,
    max_seconds: Annotated[float, _encoders(min=0.1, help="Cut recordings longer than this into clips.")] = 30.0,
    max_skipped: Annotated[
        float, _encoders(min=0.0, max=1.0, help="Share of clips that may fail and be skipped.")
    ] = 0.05,
    save_embeddings: Annotated[Path | None, _encoders(help="Write them to this .parquet or .npy file.")] = None,
    device: Annotated[str, _encoders(help="auto, cpu, cuda, cuda:1.")] = "auto",
    precision: Annotated[Precision, _encoders(help="Of the forward pass; pooling is in fp32.")] = Precision.FP32,
    batch_seconds: Annotated[float, _encoders(min=0.01, help="Audio in a batch; less needs less memory.")] = 64.0,
    workers: Annotated[
        int | None, _encoders(min=1, help="Threads or processes that decode (default: one for each core).")
    ] = None,
    executor: Annotated[Executor, _encoders(help="Here, or on Ray.")] = Executor.LOCAL,
    embeddings: Annotated[list[Path] | None, _files(help=".npy, .npz, .parquet, .safetensors, .pt, .h5.")] = None,
    key: Annotated[str | None, _files(help="Which array of the file.")] = None,
    method: Annotated[Method, _files(help="qr resolves smaller singular values, more slowly.")] = Method.GRAM,
    nan_policy: Annotated[NanPolicy, _files(help="Rows with NaN or infinity.")] = NanPolicy.RAISE,
    force: Annotated[bool, _files("--force", help="Compare also files that were measured differently.")] = False,
    estimator: Annotated[list[str] | None, _both(help="Estimator; repeatable.")] = None,
    all_: Annotated[bool, _both("--all", help="Every estimator, and the baselines.")] = False,
    baselines: Annotated[
        bool,
        _both(
            "--baselines",
            help="Other label-free metrics too, which need pairs of clips or neighbours: LiDAR, TwoNN, uniformity.",
        ),
    ] = False,
    json: Annotated[Path | None, _both(help="Write the records to this .json or .parquet file.")] = None,
    plot: Annotated[Path | None, _both(help="Draw the spectra into this .png file.")] = None,
    out: Annotated[Path | None, _both(help="Write a page with spectra and tables to this .html file.")] = None,
    level: Annotated[float, _both(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    tolerance: Annotated[
        float, _both(min=1e-5, max=1.0, help="Relative error for which the clips needed are counted.")
    ] = 0.01,
    blocks: Annotated[int, _both(min=2, max=256, help="Groups for the jackknife.")] = 16,
) -> None:
    """Effective rank of an encoder's embeddings of audio, or of embeddings in files, with interval and provenance."""
    from sonoscale.rank._files import is_embedding_file

    if not embeddings and what and all(map(is_embedding_file, what)):
        embeddings, what = [Path(file) for file in what], None
    if not embeddings and (not what or len(what) != 2):
        raise SonoscaleError("measure needs ENCODER AUDIO, or files of embeddings")
    for path, suffixes in (
        (json, (".json", ".parquet")), (plot, (".png",)), (out, (".html",)), (save_embeddings, (".parquet", ".npy")),
    ):  # fmt: skip
        if path and (path.suffix not in suffixes or not path.parent.is_dir()):
            raise SonoscaleError(f"{path}: must end in {' or '.join(suffixes)}, in a folder that exists")
    from sonoscale.files import check_outputs
    from sonoscale.measure._measure import DEFAULT
    from sonoscale.processes import share_cores

    share_cores()
    options: dict[str, Any] = {
        "estimators": [*(estimator or DEFAULT), *(["all"] if all_ else [])], "baselines": baselines, "json": json,
        "level": level, "tolerance": tolerance, "blocks": blocks,
    }  # fmt: skip
    if embeddings:
        files = [*embeddings, *map(Path, what or [])]
        check_outputs([json, plot, out], files)
        options |= {"embeddings": files, "key": key, "method": method.value, "nan_policy": nan_policy.value}
        options["force"] = force
    else:
        assert what  # as was checked above
        names = save_embeddings.with_suffix(".csv") if save_embeddings and save_embeddings.suffix == ".npy" else None
        check_outputs([json, plot, out, save_embeddings, names], [Path(what[1])])
        options |= {
            "encoders": [what[0], *(compare or [])], "corpus": what[1], "layers": layers, "group": group,
            "equal_n": equal_n, "durations": seconds_of(durations), "kind": kind, "audio_root": audio_root,
            "max_seconds": max_seconds, "max_skipped": max_skipped, "save_embeddings": save_embeddings,
            "device": device, "precision": precision.value, "batch_seconds": batch_seconds, "workers": workers,
            "executor": executor.value,
        }  # fmt: skip
    _run(options, plot, out)


def _run(options: dict[str, Any], plot: Path | None, out: Path | None) -> None:
    """Measure, print, and write the page and the figure, also of what there is if a later one fails."""
    from rich.text import Text

    from sonoscale.cli._console import console, progress_bars
    from sonoscale.measure import measure as verb
    from sonoscale.report._measure_terminal import difference_table, encoder_table, measured_lines

    found: list[Measurement] = []
    tasks: dict[tuple[str, str], Any] = {}

    with progress_bars() as bars:

        def progress(name: str, step: str, done: int, total: int) -> None:
            if (name, step) not in tasks:
                tasks[name, step] = bars.add_task(f"{name}: {step}", total=total)
            bars.update(tasks[name, step], completed=done)

        def each(measurement: Measurement) -> None:
            found.append(measurement)
            for part in measured_lines(measurement.measured[-1], measurement.level):
                console.print(part)

        try:
            measurement = verb(**options, progress=progress, each=each)
        except BaseException:
            with contextlib.suppress(Exception):  # the error on its way says more
                _draw(found[-1], plot, out)
            raise
    if measurement.several:
        if measurement.audio:
            console.print(encoder_table(measurement))
        console.print(difference_table(measurement))
    _draw(measurement, plot, out)
    saved = options.get("save_embeddings")
    for what, path in (("figure", plot), ("page", out), ("records", options["json"]), ("saved", saved)):
        if path:
            console.print(Text(f"{what:8} {path}"), soft_wrap=True)


def _draw(measurement: Measurement, plot: Path | None, out: Path | None) -> None:
    if plot:
        from sonoscale.report import spectrum_figure, write_figure

        write_figure(spectrum_figure({one.name: one.sketch for one in measurement.measured}), plot)
    if out:
        from sonoscale.report import write_measurement_page

        write_measurement_page(measurement, out)


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
