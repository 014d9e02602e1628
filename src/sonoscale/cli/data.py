"""`sonoscale data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonoscale.cli._console import console
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.corpora import AudioCorpus
    from sonoscale.corpora._describe import Description
    from sonoscale.corpora._recipes import Recipe
    from sonoscale.corpora._scan import Scan

app = typer.Typer(help="Look at, listen to, check, pack and fetch audio.", no_args_is_help=True)

Audio = Annotated[str, typer.Argument(help="Folder, file, pattern, manifest, tar shards, HEAR task, hf:..., pack.")]
Kind = Annotated[str | None, typer.Option(help="What the audio is, if not what it looks like.")]
AudioRoot = Annotated[Path | None, typer.Option(help="Folder that a manifest's paths are relative to.")]
MaxSeconds = Annotated[float, typer.Option(min=0.1, help="Cut longer recordings into clips.")]
MaxBroken = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of clips that may fail.")]
MinSeconds = Annotated[float, typer.Option(min=0.0, help="Clips below count as too short.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that decode (default: as it pays).")]
MIN_SECONDS = 0.2
"""The default of `describe_scan`, here so that the command starts without it."""
_ROWS = 15  # of a table of metadata


@app.command("preview")
def preview(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    clips: Annotated[int, typer.Option(min=1, max=1000, help="Clips per split.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.5, max=30, help="Length of a clip.")] = 2.0,
) -> None:
    """Write clips of the procedural corpus as WAV, with their labels and a contact sheet of log-mels."""
    from sonoscale.corpora.preview import write_preview

    for path in write_preview(out, clips=clips, seed=seed, seconds=seconds):
        typer.echo(path)


@app.command("pack")
def pack(
    audio: Audio,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    rate: Annotated[int, typer.Option(min=1000, max=384_000, help="Sample rate of the pack, Hz.")] = 16_000,
    shard_mb: Annotated[int, typer.Option(min=1, max=1 << 20, help="Size of a shard, MiB.")] = 512,
    kind: Kind = None,
    audio_root: AudioRoot = None,
    max_seconds: MaxSeconds = 30.0,
    max_broken: MaxBroken = 0.05,
    workers: Workers = None,
) -> None:
    """Write audio as 16-bit shards that are read without decoding. Interrupted, the same command goes on."""
    from sonoscale.corpora._pack import TooManyBrokenError, pack_corpus

    corpus = _open(audio, kind, audio_root, max_seconds, rate)
    try:
        with _bar("packing") as progress:
            packed = pack_corpus(
                corpus, out, shard_mb=shard_mb, workers=workers, max_broken=max_broken, progress=progress
            )
    except TooManyBrokenError as error:
        _print_broken(error.broken)
        raise
    _print_broken(packed.skipped)
    left_out = f", {len(packed.skipped)} left out" if packed.skipped else ""
    _say(f"{out}: {len(packed):,} clips, {packed.hours:.2f} h at {rate} Hz{left_out}")


@app.command("describe")
def describe(
    audio: Audio,
    out: Annotated[Path | None, typer.Option(help="Write a page with log-mels to this HTML file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything to this JSON file.")] = None,
    kind: Kind = None,
    audio_root: AudioRoot = None,
    max_seconds: MaxSeconds = 30.0,
    min_seconds: MinSeconds = MIN_SECONDS,
    workers: Workers = None,
) -> None:
    """Lengths, rates, levels, silence, clipping, duplicates, broken files and metadata of audio."""
    from sonoscale.cli._outputs import check_outputs
    from sonoscale.corpora._describe import broken_lines, summary_rows
    from sonoscale.corpora._describe_page import describe_page, write_json

    check_outputs([out, json], [Path(audio)])
    scan, description = _scan(audio, kind, audio_root, max_seconds, min_seconds, workers)
    _print_lines(broken_lines(description.broken))
    _print_table(audio, summary_rows(description))
    for column, counts in description.columns.items():
        _print_table(f"clips by {column}", [(value, f"{count:,}") for value, count in counts.items()], _ROWS)
    if json:
        write_json(json, audio, description)
        typer.echo(json)
    if out:
        out.write_text(describe_page(audio, scan, description), encoding="utf-8")
        typer.echo(out)


@app.command("check")
def check(
    audio: Audio,
    max_broken: MaxBroken = 0.05,
    kind: Kind = None,
    audio_root: AudioRoot = None,
    max_seconds: MaxSeconds = 30.0,
    min_seconds: MinSeconds = MIN_SECONDS,
    workers: Workers = None,
) -> None:
    """Decode everything; name what is broken and count what deserves a second look."""
    from sonoscale.corpora._describe import broken_lines, warning_rows

    scan, description = _scan(audio, kind, audio_root, max_seconds, min_seconds, workers)
    _print_lines(broken_lines(description.broken))
    _print_table("warnings", warning_rows(description))
    broken = len(description.broken)
    _say(f"{audio}: {description.clips:,} clips can be read, {broken:,} cannot")
    if broken > max_broken * scan.total:
        raise SonoscaleError(
            f"{audio}: {broken} of {scan.total} clips cannot be read ({broken / scan.total:.1%}); --max-broken allows "
            f"{max_broken:.1%}"
        )


@app.command("fetch")
def fetch(
    name: Annotated[str | None, typer.Argument(help="Which corpus; --list shows them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of all corpora; this one gets a folder in it.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the recipes and do nothing.")] = False,
    part: Annotated[list[str] | None, typer.Option(help="A part of it alone; can be given again.")] = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="The licence it tells of is kept.")] = False,
    recipes: Annotated[
        Path | None, typer.Option(help="YAML file of further recipes [also: $SONOSCALE_RECIPES].")
    ] = None,
) -> None:
    """Download a public corpus, verify and unpack it. Interrupted, the same command goes on; done, it does nothing."""
    from sonoscale.corpora._fetch import fetch as fetch_corpus
    from sonoscale.corpora._recipes import find_recipe, load_recipes

    known = load_recipes(recipes)
    if list_:
        _print_recipes(known)
        return
    if name is None:
        raise SonoscaleError(f"name a corpus ({', '.join(known)}), or give --list")
    name, recipe = find_recipe(name, known)
    _say(f"{recipe.title}\n{recipe.homepage}\nlicence: {recipe.licence}\ncite: {recipe.citation}")
    if recipe.note:
        _say(f"note: {recipe.note}")
    if recipe.files and out is None:
        raise SonoscaleError(f"{name}: give the folder to fetch it into with --out")
    with _download_bars() as progress:
        fetched = fetch_corpus(
            name, recipe, out or Path(), parts=part or (), accept_licence=accept_licence, progress=progress
        )
    _print_lines(fetched.notes)
    _say(f"{fetched.folder}: {len(fetched.files)} file(s) fetched" if fetched.files else f"{fetched.folder}: complete")


def _open(audio: str, kind: str | None, audio_root: Path | None, max_seconds: float, rate: int) -> AudioCorpus:
    from sonoscale.corpora import open_corpus

    return open_corpus(audio, kind=kind, sample_rate=rate, max_seconds=max_seconds, audio_root=audio_root)


def _scan(
    audio: str, kind: str | None, audio_root: Path | None, max_seconds: float, min_seconds: float, workers: int | None
) -> tuple[Scan, Description]:
    from sonoscale.corpora._describe import describe_scan
    from sonoscale.corpora._scan import scan_corpus

    corpus = _open(audio, kind, audio_root, max_seconds, 16_000)
    with _bar("decoding") as progress:
        scan = scan_corpus(corpus, workers=workers, progress=progress)
    return scan, describe_scan(scan, min_seconds=min_seconds)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _download_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def progress(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done, total=total)

        yield progress


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        _say(line)


def _print_broken(broken: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> None:
    from sonoscale.corpora._describe import broken_lines

    _print_lines(broken_lines([{"name": name, "reason": reason} for name, reason in broken]))


def _print_table(title: str, rows: list[tuple[str, str]], most: int | None = None) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, show_edge=False)
    for what, value in rows[:most]:
        table.add_row(Text(what or "(none)"), Text(value))
    _say(f"\n{title}" + (f", the first {most} of {len(rows)}" if most and len(rows) > most else ""))
    console.print(table)


def _print_recipes(recipes: dict[str, Recipe]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "what", "licence", "download", "checksums", show_edge=False)
    for name, recipe in recipes.items():
        size = f"{recipe.size / 1e9:.1f} GB" if recipe.size else "by hand" if recipe.manual else "size not known"
        parts = f"\nparts: {', '.join(recipe.parts[:25])}{', ...' if len(recipe.parts) > 25 else ''}"
        table.add_row(
            name, Text(recipe.title + (parts if recipe.parts else "")), Text(recipe.licence), size, recipe.verified_by
        )
    console.print(table)
