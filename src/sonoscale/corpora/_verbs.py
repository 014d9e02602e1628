"""Look at audio, check it, pack it, fetch it: what the commands `sonoscale data ...` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.results import Result, plain

if TYPE_CHECKING:
    from sonoscale.corpora._describe import Description
    from sonoscale.corpora._fetch import Fetched
    from sonoscale.corpora._packed import PackedCorpus
    from sonoscale.corpora._scan import Scan

__all__ = ["Described", "Packed", "check", "describe", "fetch", "pack"]

Progress = Callable[[int, int], None]
_MOST_VALUES = 15  # of a column of metadata, in the table


@dataclass(frozen=True, repr=False)
class Described(Result):
    """What audio is like.

    Attributes:
        audio: what was described.
        description: all counts, quantiles and names.
        scan: facts per clip.
        max_broken: the largest share of clips that may be unreadable.
    """

    audio: str
    description: Description
    scan: Scan
    max_broken: float = 0.05

    @property
    def headline(self) -> str:
        """Clips that can be read, and that cannot."""
        return f"{self.audio}: {self.description.clips:,} clips can be read, {len(self.broken):,} cannot"

    @property
    def broken(self) -> list[str]:
        """A line for each clip that cannot be read: its name, and why."""
        from sonoscale.corpora._describe import broken_lines

        return broken_lines(self.description.broken)

    @property
    def problem(self) -> str | None:
        """What is wrong if more clips are broken than may be, else None."""
        broken, total = len(self.broken), self.scan.total
        if broken <= self.max_broken * total:
            return None
        return (
            f"{self.audio}: {broken} of {total} clips cannot be read ({broken / total:.1%}); max_broken allows "
            f"{self.max_broken:.1%}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """What, and how much of it; then the clips by value of each column of metadata with few values."""
        from sonoscale.corpora._describe import summary_rows

        rows = [{"what": what, "value": value} for what, value in summary_rows(self.description)]
        for column, counts in self.description.columns.items():
            rows += [
                {"what": f"clips by {column}: {value or '(none)'}", "value": f"{count:,}"}
                for value, count in list(counts.items())[:_MOST_VALUES]
            ]
        return rows

    def warnings(self) -> list[dict[str, Any]]:
        """The rows about what looks suspicious."""
        from sonoscale.corpora._describe import warning_rows

        return [{"what": what, "value": value} for what, value in warning_rows(self.description)]

    def as_dict(self) -> dict[str, Any]:
        """The description, with what was described as `audio`."""
        return plain({"audio": self.audio, **self.description.as_dict()})

    def to_html(self, path: str | Path | None = None) -> str:
        """A page with histograms and log-mels that needs nothing else to be read; also written to `path`, if given."""
        from sonoscale.corpora._describe_page import describe_page
        from sonoscale.files import write_text

        page = describe_page(self.audio, self.scan, self.description)
        if path is not None:
            write_text(Path(path), page)
        return page


@dataclass(frozen=True, repr=False)
class Packed(Result):
    """A pack that was written, or found finished.

    Attributes:
        folder: of the pack.
        corpus: the pack, open.
    """

    folder: Path
    corpus: PackedCorpus

    @property
    def headline(self) -> str:
        """Clips, hours, rate, and how many clips were left out."""
        left_out = f", {len(self.corpus.skipped)} left out" if self.corpus.skipped else ""
        rate = self.corpus.sample_rate
        return f"{self.folder}: {len(self.corpus):,} clips, {self.corpus.hours:.2f} h at {rate} Hz{left_out}"

    def rows(self) -> list[dict[str, Any]]:
        """What was left out, and why."""
        return [{"name": name, "reason": reason} for name, reason in self.corpus.skipped]

    def as_dict(self) -> dict[str, Any]:
        """Folder, clips, hours, sample rate in Hz, and what was left out."""
        c = self.corpus
        return plain(
            {"folder": self.folder, "clips": len(c), "hours": c.hours, "sample_rate": c.sample_rate,
             "left_out": self.rows()}
        )  # fmt: skip


@in_one_line
def describe(
    audio: str | Path,
    *,
    kind: str | None = None,
    audio_root: str | Path | None = None,
    max_seconds: float = 30.0,
    min_seconds: float = 0.2,
    max_broken: float = 0.05,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Described:
    """Decode all clips: lengths, rates, levels, silence, clipping, duplicates, broken files and metadata.

    Arguments:
        audio: whatever `open_corpus` opens.
        kind, audio_root, max_seconds: see `open_corpus`; longer recordings are cut into clips.
        min_seconds: clips below count as too short.
        max_broken: the largest share of clips that may be unreadable; see `Described.problem`.
        workers: processes that decode; by default one per core if it is worth their start.
        progress: called with (clips done, clips in all).

    Returns:
        What the audio is like; it prints as a table.

    Raises:
        SonoscaleError: there is no audio, or a pack is damaged.

    Example:
        >>> found = describe("procedural?clips=4&seconds=0.5")
        >>> found.headline
        'procedural?clips=4&seconds=0.5: 4 clips can be read, 0 cannot'
        >>> found.rows()[0]
        {'what': 'clips', 'value': '4'}
    """
    check_arguments(describe, locals())
    from sonoscale.corpora._describe import describe_scan
    from sonoscale.corpora._open import open_corpus
    from sonoscale.corpora._packed import PackedCorpus
    from sonoscale.corpora._scan import scan_corpus

    corpus = open_corpus(audio, kind=kind, max_seconds=max_seconds, audio_root=audio_root)
    if isinstance(corpus, PackedCorpus):
        corpus.verify(anew=True)
    scan = scan_corpus(corpus, workers=workers, progress=progress)
    return Described(str(audio), describe_scan(scan, min_seconds=min_seconds), scan, max_broken)


@in_one_line
def check(audio: str | Path, *, max_broken: float = 0.05, **options: Any) -> Described:
    """`describe`, but too many broken clips are an error.

    Arguments:
        audio: whatever `open_corpus` opens.
        max_broken: the largest share of clips that may be unreadable.
        options: as of `describe`.

    Returns:
        What `describe` finds.

    Raises:
        SonoscaleError: more than `max_broken` of the clips cannot be read.

    Example:
        >>> check("procedural?clips=4&seconds=0.5").broken
        []
    """
    check_arguments(check, locals())
    found = describe(audio, max_broken=max_broken, **options)
    if found.problem:
        raise SonoscaleError("\n".join([found.problem, *(f"  {line}" for line in found.broken)]))
    return found


@in_one_line
def pack(
    audio: str | Path,
    out: str | Path,
    *,
    rate: int = 16_000,
    shard_mb: int = 512,
    kind: str | None = None,
    audio_root: str | Path | None = None,
    max_seconds: float = 30.0,
    max_broken: float = 0.05,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Write audio as 16-bit shards that are read without decoding. If interrupted, the same call resumes.

    Arguments:
        audio: whatever `open_corpus` opens.
        out: folder to write.
        rate: sample rate of the pack, in Hz.
        shard_mb: size of a shard, in MiB.
        kind, audio_root, max_seconds: see `open_corpus`; longer recordings are cut into clips.
        max_broken: the largest share of clips that may be left out because they cannot be read.
        workers: processes that decode; by default one per core if it is worth their start.
        progress: called with (clips done, clips in all).

    Returns:
        The pack, with what was left out.

    Raises:
        SonoscaleError: there is no audio, too much of it is broken (`TooManyBrokenError`), or `out` holds something
            else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = pack("procedural?clips=4&seconds=0.5", folder + "/pack")
        >>> len(made.corpus), made.rows()
        (4, [])
    """
    check_arguments(pack, locals())
    from sonoscale.corpora._open import open_corpus
    from sonoscale.corpora._pack import pack_corpus

    corpus = open_corpus(audio, kind=kind, sample_rate=rate, max_seconds=max_seconds, audio_root=audio_root)
    packed = pack_corpus(corpus, out, shard_mb=shard_mb, workers=workers, max_broken=max_broken, progress=progress)
    return Packed(Path(out), packed)


@in_one_line
def fetch(
    name: str,
    out: str | Path | None = None,
    *,
    part: Sequence[str] = (),
    accept_licence: bool = False,
    recipes: str | Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Fetched:
    """Download a public corpus, verify and unpack it. If interrupted, the same call resumes; done, it does nothing.

    Arguments:
        name: of a recipe; see `load_recipes`.
        out: folder of all corpora; this one gets a folder in it.
        part: parts of it; by default all.
        accept_licence: a licence that restricts commercial use is accepted.
        recipes: YAML file of further recipes, besides those of `$SONOSCALE_RECIPES`.
        progress: called with (file, bytes there, bytes in all if known).

    Returns:
        Where the corpus is, and what was downloaded.

    Raises:
        SonoscaleError: no such corpus or part, a licence that was not accepted, a download that fails or is not what
            was published.

    Example:
        >>> fetch("esc50", "corpora").folder  # doctest: +SKIP
        PosixPath('corpora/esc-50')
    """
    check_arguments(fetch, locals())
    from sonoscale.corpora._fetch import fetch_corpus
    from sonoscale.corpora._recipes import find_recipe, load_recipes

    name, recipe = find_recipe(name, load_recipes(recipes))
    if recipe.files and out is None:
        raise SonoscaleError(f"{name}: give the folder to fetch it into as out")
    return fetch_corpus(name, recipe, out or Path(), parts=part, accept_licence=accept_licence, progress=progress)
