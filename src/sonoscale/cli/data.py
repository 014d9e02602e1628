"""`sonoscale data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sonoscale.cli._console import console, download_bars, say, stage_bars
from sonoscale.errors import SonoscaleError

app = typer.Typer(help="Look at, listen to, check, pack and fetch audio.", no_args_is_help=True)

Audio = Annotated[str, typer.Argument(help="Folder, file, pattern, manifest, tar shards, HEAR task, hf:..., pack.")]
Kind = Annotated[str | None, typer.Option(help="Kind of audio, where the guess is wrong.")]
AudioRoot = Annotated[Path | None, typer.Option(help="Folder that a manifest's paths are relative to.")]
MaxSeconds = Annotated[float, typer.Option(min=0.1, help="Cut recordings longer than this into clips.")]
MaxBroken = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of clips that may fail.")]
MinSeconds = Annotated[float, typer.Option(min=0.0, help="Clips below count as too short.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Decoding processes (default: by the amount of audio).")]
MIN_SECONDS = 0.2
"""The default of `describe_scan`, here so that the command starts without it."""


@app.command("preview")
def preview(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    clips: Annotated[int, typer.Option(min=1, max=1000, help="Clips per split.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corpus.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.5, max=30, help="Length of a clip.")] = 2.0,
) -> None:
    """Write clips of the procedural corpus as WAV, with their labels and a contact sheet of log-mels."""
    from sonoscale.corpora import preview as write_preview

    for path in write_preview(out, clips=clips, seed=seed, seconds=seconds):
        say(str(path))


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
    """Write audio as 16-bit shards that are read without decoding. If interrupted, the same command resumes."""
    from sonoscale.corpora import pack as write_pack
    from sonoscale.corpora._describe import broken_lines
    from sonoscale.corpora._pack import TooManyBrokenError

    try:
        with stage_bars() as progress:
            packed = write_pack(
                audio, out, rate=rate, shard_mb=shard_mb, kind=kind, audio_root=audio_root, max_seconds=max_seconds,
                max_broken=max_broken, workers=workers, progress=partial(progress, "packing"),
            )  # fmt: skip
    except TooManyBrokenError as error:
        _say_lines(broken_lines([{"name": name, "reason": reason} for name, reason in error.broken]))
        raise
    _say_lines(broken_lines(packed.rows()))
    say(packed.headline)


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
    from sonoscale.corpora import describe as look_at
    from sonoscale.files import check_outputs

    check_outputs([out, json], [Path(audio)])
    with stage_bars() as progress:
        found = look_at(
            audio, kind=kind, audio_root=audio_root, max_seconds=max_seconds, min_seconds=min_seconds, workers=workers,
            progress=partial(progress, "decoding"),
        )  # fmt: skip
    if json:
        found.to_json(json)
    if out:
        found.to_html(out)
    _say_lines(found.broken)
    _print_table(found.headline, found.rows())
    for path in filter(None, (json, out)):
        say(str(path))


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
    """Decode everything; name what is broken and count what looks suspicious."""
    from sonoscale.corpora import describe as look_at

    with stage_bars() as progress:
        found = look_at(
            audio, kind=kind, audio_root=audio_root, max_seconds=max_seconds, min_seconds=min_seconds,
            max_broken=max_broken, workers=workers, progress=partial(progress, "decoding"),
        )  # fmt: skip
    _say_lines(found.broken)
    _print_table(found.headline, found.warnings())
    if found.problem:
        raise SonoscaleError(found.problem)


@app.command("fetch")
def fetch(
    name: Annotated[str | None, typer.Argument(help="Name of a corpus; --list shows them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of all corpora; this one gets a folder in it.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the recipes and do nothing.")] = False,
    part: Annotated[list[str] | None, typer.Option(help="Only this part; repeatable.")] = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Accept its licence.")] = False,
    recipes: Annotated[
        Path | None, typer.Option(help="YAML file of further recipes, besides $SONOSCALE_RECIPES.")
    ] = None,
) -> None:
    """Download a public corpus, verify and unpack it. If interrupted, the same command resumes."""
    from sonoscale.corpora import fetch as download
    from sonoscale.corpora import load_recipes
    from sonoscale.corpora._recipes import find_recipe

    known = load_recipes(recipes)
    if list_:
        rows = [{"name": key, **recipe.summary()} for key, recipe in known.items()]
        _print_table(f"{len(rows)} corpora", rows, heads=True)
        return
    if name is None:
        raise SonoscaleError(f"name a corpus ({', '.join(known)}), or give --list")
    say(find_recipe(name, known)[1].about)
    with download_bars() as progress:
        fetched = download(
            name, out, part=part or (), accept_licence=accept_licence, recipes=recipes, progress=progress
        )
    say(fetched.headline)


def _say_lines(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)


def _print_table(title: str, rows: Sequence[Mapping[str, str]], *, heads: bool = False) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(*(rows[0] if heads else ()), show_header=heads, show_edge=False)
    for row in rows:
        table.add_row(*map(Text, row.values()))
    say(title)
    console.print(table)
