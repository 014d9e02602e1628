"""Get a public corpus by its recipe: download, verify, unpack; a second time does nothing."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sonoscale.corpora._download import Patience, download, read_json
from sonoscale.corpora._recipes import Recipe, RecipeFile
from sonoscale.corpora._unpack import is_archive, merge_into, unpack
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder
from sonoscale.processes import only_one_process

__all__ = ["RECEIPT", "Fetched", "fetch_corpus"]

RECEIPT = "sonoscale-fetch.json"
"""In the folder of a corpus: what was fetched, from where, and whether it was verified."""
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Fetched:
    """What `fetch` did."""

    @property
    def headline(self) -> str:
        """How many files were fetched, where to."""
        done = f"{len(self.files)} file(s) fetched" if self.files else "complete"
        return "\n".join([*self.notes, f"{self.folder}: {done}"])

    folder: Path
    files: list[str]  # downloaded by this call
    notes: list[str] = field(default_factory=list)  # what to know of them: not verified, links left out


@dataclass(frozen=True)
class _Item:
    """One file to download."""

    key: str  # in the receipt
    name: str
    urls: list[str]
    checksum: str | None
    size: int | None
    recipe: RecipeFile


def fetch_corpus(
    name: str,
    recipe: Recipe,
    out: str | Path,
    *,
    parts: Sequence[str] = (),
    accept_licence: bool = False,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Fetch a corpus into the folder `out`/`name`.

    Each archive is downloaded to a hidden folder beside it, verified, unpacked there, moved to its place and noted in
    the receipt; so an interrupted call loses at most the unpacking of one archive, and the next one resumes.

    Arguments:
        name: of the recipe, and of the folder.
        recipe: what to fetch.
        out: folder of all corpora.
        parts: which parts of the recipe; by default all.
        accept_licence: the user accepts a licence that forbids commercial use.
        progress: called with (file, bytes there, bytes in all if known).
        patience: of the downloads.

    Raises:
        SonoscaleError: the corpus cannot be downloaded (with what to do instead), the licence was not accepted, a
            part is unknown, a download fails or has a wrong checksum, an archive is damaged or unsafe.
    """
    if recipe.manual:
        raise SonoscaleError(f"{name}: {recipe.manual}")
    unknown = [part for part in parts if part not in recipe.parts]
    if unknown:
        there = f"its parts are {', '.join(recipe.parts)}" if recipe.parts else "it has no parts"
        raise SonoscaleError(f"{name}: no part '{unknown[0]}'; {there}")
    if recipe.noncommercial and not accept_licence:
        raise SonoscaleError(
            f"{name}: its licence ({recipe.licence}) restricts commercial use; read {recipe.homepage} and set "
            "accept_licence if you accept it"
        )
    out = Path(out)
    folder, work = out / name, out / f".{name}.fetch"
    wanted = [file for file in recipe.files if not parts or file.part in parts]
    receipt = _Receipt(folder, name, recipe)
    wanted = [file for file in wanted if _entry_key(file) not in receipt.complete]
    fetched = Fetched(folder, [])
    if not wanted:
        return fetched
    make_folder(work)
    with only_one_process(work, "fetches into"):
        _check_space(out, wanted)
        for unit in _units(wanted):
            items = [item for file in unit for item in _items(file, recipe, patience)]
            split = len(unit) > 1
            groups = [items] if split else [[item] for item in items]
            for group in groups:
                if any(item.key not in receipt.files for item in group):
                    _get(group, folder, work, receipt, fetched, progress, patience)
            receipt.finish([_entry_key(file) for file in unit])
    shutil.rmtree(work, ignore_errors=True)
    return fetched


class _Receipt:
    """The file that lists what is complete."""

    def __init__(self, folder: Path, name: str, recipe: Recipe) -> None:
        self._file = folder / RECEIPT
        self._about = {
            "name": name, "title": recipe.title, "homepage": recipe.homepage, "licence": recipe.licence,
            "citation": recipe.citation,
        }  # fmt: skip
        self.files: dict[str, dict[str, Any]] = {}
        self.complete: list[str] = []
        if self._file.exists():
            try:
                content = json.loads(self._file.read_text(encoding="utf-8"))
                self.files, self.complete = content["files"], content["complete"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SonoscaleError(f"{self._file}: not readable ({error}); delete it to fetch again") from error

    def add(self, files: dict[str, dict[str, Any]]) -> None:
        self.files |= files
        self._write()

    def finish(self, keys: list[str]) -> None:
        self.complete += keys
        self._write()

    def _write(self) -> None:
        unfinished = self._file.with_name(f".{RECEIPT}")
        content = {**self._about, "files": self.files, "complete": self.complete}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(self._file)


def _get(
    group: list[_Item], folder: Path, work: Path, receipt: _Receipt, fetched: Fetched, progress: Progress | None,
    patience: Patience | None,
) -> None:  # fmt: skip
    """Download the files of a group, which are one archive, and put what is in it in its place."""
    notes: dict[str, dict[str, Any]] = {}
    for item in group:
        target = work / item.name
        found = download(
            item.urls, target, checksum=item.checksum, size=item.size, patience=patience,
            progress=lambda done, total, name=item.name: progress(name, done, total) if progress else None,
        )  # fmt: skip
        size = target.stat().st_size
        notes[item.key] = {"urls": item.urls, "bytes": size, "checksum": found, "verified": bool(item.checksum)}
        if item.checksum is None:
            fetched.notes.append(f"{item.name}: no checksum is known: content not verified (it is {found})")
    last, place = group[-1], folder / group[-1].recipe.into
    if last.recipe.unpack and is_archive(last.name):
        staging = work / "unpacked"
        shutil.rmtree(staging, ignore_errors=True)
        left_out = unpack(work / last.name, staging, [work / item.name for item in group[:-1]])
        if left_out:
            fetched.notes.append(f"{last.name}: {len(left_out)} links or devices left out, such as {left_out[0]}")
        merge_into(staging, place)
    else:
        place.mkdir(parents=True, exist_ok=True)
        for item in group:
            (work / item.name).replace(place / item.name)
    receipt.add(notes)
    for item in group:
        (work / item.name).unlink(missing_ok=True)
        fetched.files.append(item.name)


def _entry_key(file: RecipeFile) -> str:
    return f"zenodo:{file.zenodo}/{file.match}" if file.zenodo else file.filename


def _units(files: list[RecipeFile]) -> list[list[RecipeFile]]:
    """The segments of a split zip together, .z01 first and .zip last; every other file alone."""
    units: dict[str, list[RecipeFile]] = {}
    split = {f.filename[:-4] for f in files if f.url and re.fullmatch(r".*\.z01", f.filename)}
    for file in files:
        stem, suffix = (file.filename[:-4], file.filename[-4:]) if file.url else ("", "")
        is_segment = stem in split and bool(re.fullmatch(r"\.z(\d\d|ip)", suffix))
        units.setdefault(f"split:{stem}" if is_segment else _entry_key(file), []).append(file)
    return [
        sorted(unit, key=lambda f: (f.filename.endswith(".zip"), f.filename)) if len(unit) > 1 else unit
        for unit in units.values()
    ]


def _items(file: RecipeFile, recipe: Recipe, patience: Patience | None) -> list[_Item]:
    """The files to download for an entry of the recipe; of a Zenodo record, as the record lists them."""
    if not file.zenodo:
        return [_Item(file.filename, file.filename, file.urls, file.checksum, file.size, file)]
    url = f"{recipe.zenodo_api}/{file.zenodo}"
    record = read_json(url, patience)
    try:
        found = [
            _Item(
                f"zenodo:{file.zenodo}/{entry['key']}", PurePosixPath(entry["key"]).name, [entry["links"]["self"]],
                entry.get("checksum"), entry.get("size"), file,
            )
            for entry in record["files"]
            if fnmatch.fnmatch(entry["key"], file.match)
        ]  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise SonoscaleError(f"{url}: not the description of a Zenodo record (no {error})") from error
    if not found:
        raise SonoscaleError(f"{url}: no file of this record matches {file.match!r}")
    return found


def _check_space(out: Path, files: list[RecipeFile]) -> None:
    needed, free = sum(file.size or 0 for file in files), shutil.disk_usage(out).free
    if needed > free:
        raise SonoscaleError(f"{out}: {free / 1e9:.1f} GB free; the download alone needs {needed / 1e9:.1f} GB")
