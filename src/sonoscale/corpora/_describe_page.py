"""The description of a corpus as a page: tables, two histograms and a few clips as log-mels."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import torch

from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.corpora._describe import Description, Duplicates, Found, broken_lines, summary_rows
from sonoscale.corpora._scan import Scan, decibels
from sonoscale.errors import SonoscaleError

__all__ = ["describe_page"]

THUMBNAILS = 12
_SHOWN = 20  # names of each finding
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --line: #d9dfe5; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a3afba; --line: #3a444e; --page: #14181c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem clamp(1rem, 4vw, 2.5rem); background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1, td, li, figcaption { overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); font-size: 1.3rem; }
table { margin: 1rem 0; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { padding: .3rem 0; color: var(--soft); text-align: left; }
th, td { padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number { text-align: right; }
.clips { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
figure { margin: 0; } img { width: 100%; height: auto; background: #fff; }
figcaption { color: var(--soft); font-size: .85rem; }
"""


def describe_page(title: str, scan: Scan, description: Description) -> str:
    """An HTML document that needs nothing else to be read.

    Arguments:
        title: what was described.
        scan: for the histograms and the clips that are drawn.
        description: of the scan.
    """
    d = description
    kept = scan.facts[scan.facts["ok"]]
    body = [
        f"<h1>{html.escape(title)}</h1>",
        _table("What there is", ("", ""), summary_rows(d)),
        _distributions(d),
        '<div class="clips">',
        _histogram(kept["seconds"], "seconds", "Lengths of the clips", d.seconds, "s"),
        _histogram(decibels(kept["rms"]), "dBFS", "Levels (RMS) of the clips", d.level_db, "dBFS"),
        "</div>",
        "<h2>Some clips</h2>",
        f'<div class="clips">{"".join(_thumbnails(scan))}</div>',
        "<h2>To look at</h2>",
        _broken(d.broken),
        _found("Silent clips", d.silent),
        _found("Clipped clips: 3 or more samples in a row at full scale", d.clipped),
        _found("Clips that are too short", d.short),
        _groups("Clips with the same audio", d.same_audio),
        _groups("Clips with the same file name", d.same_name),
        *(["<h2>Metadata</h2>"] if d.columns else []),
        *(_table(f"Clips by {name}", (name, "clips"), values.items()) for name, values in d.columns.items()),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in heads) if any(heads) else ""
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(first)) or "(none)"}</th>'
        + "".join(f'<td class="number">{html.escape(str(value))}</td>' for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table><caption>{html.escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _distributions(d: Description) -> str:
    named = {
        "length, s": d.seconds, "level (RMS), dBFS": d.level_db, "peak, dBFS": d.peak_db,
        "silence before, s": d.leading_silence, "silence after, s": d.trailing_silence,
    }  # fmt: skip
    shares = list(d.seconds)
    words = {"0": "least", "0.5": "median", "1": "largest", "mean": "mean"}
    heads = ["", *(words.get(share) or f"{float(share):.0%}" for share in shares)]
    return _table("Distributions", heads, [[what, *(f"{v[s]:.2f}" for s in shares)] for what, v in named.items()])


def _histogram(values: np.ndarray, axis: str, title: str, quantiles: dict[str, float], unit: str) -> str:
    if not len(values):
        return ""
    figure = matplotlib.figure.Figure(figsize=(5, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=40, color="#00598c")
    axes.set_xlabel(axis)
    axes.set_ylabel("clips")
    spread = f"from {quantiles['0']:.2f} to {quantiles['1']:.2f} {unit}, median {quantiles['0.5']:.2f} {unit}"
    return _figure(figure, f"Histogram. {title}: {spread}", f"{title}: {spread}")


def _thumbnails(scan: Scan) -> Iterable[str]:
    good = np.flatnonzero(scan.facts["ok"])
    rate = scan.corpus.sample_rate
    if not 8_000 <= rate <= 48_000:
        return
    front_end = LogMel(LogMelConfig(sample_rate=rate))
    for index in good[np.unique(np.linspace(0, len(good) - 1, min(len(good), THUMBNAILS)).round().astype(int))]:
        name, facts = scan.corpus.name(int(index)), scan.facts[index]
        seconds = float(facts["seconds"])
        words = f"{seconds:.2f} s, level {decibels(facts['rms']):.0f} dBFS"
        try:
            mel = front_end(torch.from_numpy(scan.corpus.wave(int(index)))[None])[0].numpy()
        except SonoscaleError as error:  # shorter than one window
            yield f"<figure><figcaption>{html.escape(f'{name}: {error}')}</figcaption></figure>"
            continue
        figure = matplotlib.figure.Figure(figsize=(3.2, 1.8), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, len(mel)), cmap="magma")
        axes.set_xlabel("seconds", fontsize=7)
        axes.set_ylabel("mel band", fontsize=7)
        axes.tick_params(labelsize=6)
        yield _figure(figure, f"Log-mel spectrogram of {name}: {words}", f"{name} ({words})")


def _figure(figure: matplotlib.figure.Figure, alt: str, caption: str) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90, metadata={"Software": None})
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<figure><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _listed(title: str, count: int, lines: Sequence[str]) -> str:
    if not count:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:_SHOWN])
    more = f"<p>and {count - _SHOWN:,} more</p>" if count > _SHOWN else ""
    return f"<h3>{html.escape(title)}</h3><ul>{items}</ul>{more}"


def _broken(broken: list[dict[str, str]]) -> str:
    lines = broken_lines(broken)
    return _listed("Files that cannot be read", len(lines), lines) or "<p>Every file can be read.</p>"


def _found(title: str, found: Found) -> str:
    return _listed(title, found.count, found.names)


def _groups(title: str, duplicates: Duplicates) -> str:
    return _listed(title, len(duplicates.groups), [" = ".join(group[:8]) for group in duplicates.groups])
