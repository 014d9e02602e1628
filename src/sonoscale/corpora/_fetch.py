"""Get a public corpus by its recipe: download, verify, unpack; a second time does nothing."""

from __future__ import annotations

import fnmatch
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from sonoscale.config import config_hash, validate
from sonoscale.corpora._download import CHECKSUM, URL, Patience, download, read_json
from sonoscale.corpora._recipes import RECEIPT, Recipe, RecipeFile, file_name
from sonoscale.corpora._unpack import is_archive, merge_into, unpack
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.files import read_json as read_json_file
from sonoscale.processes import only_one_process

__all__ = ["Fetched", "fetch_corpus"]

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

    @property
    def place(self) -> str:
        """Where it belongs, in the folder of the corpus."""
        return str(PurePosixPath(self.recipe.into, self.name))

    def target(self, work: Path) -> Path:
        """Where it is downloaded to: a folder of its own."""
        return work / config_hash(self.key, 8) / self.name


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
    wanted = [file for file in wanted if file.place not in receipt.complete]
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
            receipt.finish([file.place for file in unit])
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
                found = validate(_Receipted, read_json_file(self._file, "a receipt"), source=str(self._file))
            except SonoscaleError as error:
                raise SonoscaleError(f"{error}; delete it to fetch again") from error
            self.files, self.complete = dict(found.files), list(found.complete)

    def add(self, files: dict[str, dict[str, Any]]) -> None:
        self.files |= files
        self._write()

    def finish(self, keys: list[str]) -> None:
        self.complete += keys
        self._write()

    def _write(self) -> None:
        write_json(self._file, {**self._about, "files": self.files, "complete": self.complete})


class _Receipted(BaseModel):
    """What a receipt holds, as far as it is used."""

    files: dict[str, dict[str, Any]]
    complete: list[str]


def _get(
    group: list[_Item], folder: Path, work: Path, receipt: _Receipt, fetched: Fetched, progress: Progress | None,
    patience: Patience | None,
) -> None:  # fmt: skip
    """Download the files of a group, which are one archive, and put what is in it in its place."""
    notes: dict[str, dict[str, Any]] = {}
    for item in group:
        target = item.target(work)
        make_folder(target.parent)
        for key, note in receipt.files.items():
            if key != item.key and note.get("place") == item.place:
                raise SonoscaleError(f"{folder / item.place}: {key} is there already, and {item.key} would replace it")
        found = download(
            item.urls, target, checksum=item.checksum, size=item.size, patience=patience,
            progress=lambda done, total, name=item.name: progress(name, done, total) if progress else None,
        )  # fmt: skip
        size = target.stat().st_size
        notes[item.key] = {"urls": item.urls, "bytes": size, "checksum": found, "verified": bool(item.checksum)}
        if not (item.recipe.unpack and is_archive(group[-1].name)):
            notes[item.key]["place"] = item.place
        if item.checksum is None:
            fetched.notes.append(f"{item.name}: no checksum is known: content not verified (it is {found})")
    last, place = group[-1], folder / group[-1].recipe.into
    if last.recipe.unpack and is_archive(last.name):
        staging = work / "unpacked"
        shutil.rmtree(staging, ignore_errors=True)
        left_out = unpack(last.target(work), staging, [item.target(work) for item in group[:-1]])
        if left_out:
            fetched.notes.append(f"{last.name}: {len(left_out)} links or devices left out, such as {left_out[0]}")
        merge_into(staging, place)
    else:
        place.mkdir(parents=True, exist_ok=True)
        for item in group:
            item.target(work).replace(place / item.name)
    receipt.add(notes)
    for item in group:
        item.target(work).unlink(missing_ok=True)
        fetched.files.append(item.place)


def _units(files: list[RecipeFile]) -> list[list[RecipeFile]]:
    """The segments of a split zip together, .z01 first and .zip last; every other file alone."""
    units: dict[str, list[RecipeFile]] = {}
    split = {f.filename[:-4] for f in files if f.url and re.fullmatch(r".*\.z01", f.filename)}
    for file in files:
        stem, suffix = (file.filename[:-4], file.filename[-4:]) if file.url else ("", "")
        is_segment = stem in split and bool(re.fullmatch(r"\.z(\d\d|ip)", suffix))
        units.setdefault(f"split:{file.into}/{stem}" if is_segment else file.place, []).append(file)
    return [
        sorted(unit, key=lambda f: (f.filename.endswith(".zip"), f.filename)) if len(unit) > 1 else unit
        for unit in units.values()
    ]


def _items(file: RecipeFile, recipe: Recipe, patience: Patience | None) -> list[_Item]:
    """The files to download for an entry of the recipe; of a Zenodo record, as the record lists them."""
    if not file.zenodo:
        return [_Item(file.place, file.filename, file.urls, file.checksum, file.size, file)]
    url = f"{recipe.zenodo_api}/{file.zenodo}"
    record = validate(_ZenodoRecord, read_json(url, patience), source=f"{url}: not a Zenodo record as expected")
    found = [
        _Item(
            f"zenodo:{file.zenodo}/{PurePosixPath(file.into, entry.key)}", entry.key, [entry.links.self_],
            entry.checksum, entry.size, file,
        )
        for entry in record.files
        if fnmatch.fnmatch(entry.key, file.match)
    ]  # fmt: skip
    if not found:
        raise SonoscaleError(f"{url}: no file of this record matches {file.match!r}")
    return found


def _address(value: str) -> str:
    if not URL.fullmatch(value):
        raise ValueError("must be an address that begins with http:// or https://")
    return value


class _ZenodoLinks(BaseModel):
    self_: Annotated[str, AfterValidator(_address)] = Field(alias="self")


class _ZenodoFile(BaseModel):
    key: Annotated[str, AfterValidator(file_name)]
    links: _ZenodoLinks
    checksum: str | None = Field(default=None, pattern=f"^({CHECKSUM.pattern})$")
    size: int | None = Field(default=None, ge=0, lt=1 << 50)


class _ZenodoRecord(BaseModel):
    """What Zenodo answers, as far as it is used."""

    files: list[_ZenodoFile]


def _check_space(out: Path, files: list[RecipeFile]) -> None:
    needed, free = sum(file.size or 0 for file in files), shutil.disk_usage(out).free
    if needed > free:
        raise SonoscaleError(f"{out}: {free / 1e9:.1f} GB free; the download alone needs {needed / 1e9:.1f} GB")
