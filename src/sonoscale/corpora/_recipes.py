"""Where public corpora are to be had, under which licence, and how they unpack: data, in recipes.yaml."""

from __future__ import annotations

import difflib
import os
import re
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, field_validator, model_validator

from sonoscale._yaml import parse_yaml
from sonoscale.arguments import check_arguments
from sonoscale.config import Config, validate
from sonoscale.corpora._download import CHECKSUM, URL
from sonoscale.errors import SonoscaleError, in_one_line

__all__ = ["RECEIPT", "RECIPES_VARIABLE", "Recipe", "RecipeFile", "file_name", "find_recipe", "load_recipes"]

RECIPES_VARIABLE = "SONOSCALE_RECIPES"
"""Environment variable that names a file of further recipes."""
RECEIPT = "sonoscale-fetch.json"
"""In the folder of a corpus: what was fetched, from where, and whether it was verified."""


def file_name(value: str) -> str:
    """A name that a downloaded file can have.

    Raises:
        ValueError: it is empty, a path, hidden, that of the receipt, too long, or holds control characters.
    """
    if (
        not re.fullmatch(r"[^/\\\x00-\x1f\x7f.][^/\\\x00-\x1f\x7f]*", value)
        or value == RECEIPT
        or len(value.encode()) > 200
    ):
        raise ValueError(f"{value[:80]!r} cannot be the name of a file: give a plain one as name")
    return value


class RecipeFile(Config):
    """One file to download, or the files of a Zenodo record."""

    url: str | list[str] | None = None  # http or https; a list holds mirrors of the same file
    zenodo: str | None = None  # number of a Zenodo record, instead of url: it lists files, sizes and checksums itself
    match: str = "*"  # with zenodo: which of the record's files, as a shell pattern
    name: str | None = None  # with url: what the file is called; by default the end of the url
    checksum: str | None = None  # with url: md5:... or sha256:... as published; null if none is known
    size: int | None = Field(default=None, ge=1, lt=1 << 50)  # with url: bytes, if known
    part: str | None = None  # what --part calls it; files of one name belong together
    into: str = ""  # folder below that of the corpus
    unpack: bool = True  # zip, tar, tar.gz and so on; false keeps the file as it is

    @field_validator("checksum")
    @classmethod
    def _checksum(cls, value: str | None) -> str | None:
        if value is not None and not CHECKSUM.fullmatch(value):
            raise ValueError("must be md5: and 32 or sha256: and 64 hexadecimal digits, in small letters")
        return value

    @field_validator("into")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or ".." in PurePosixPath(value).parts or re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError("must be a relative path without '..'")
        return value

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        return None if value is None else file_name(value)

    @field_validator("zenodo")
    @classmethod
    def _number(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9]{1,20}", value):
            raise ValueError("must be the number of a record")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.zenodo is None):
            raise ValueError("a file needs either url or zenodo")
        for url in self.urls:
            if not URL.fullmatch(url):
                raise ValueError(f"url {url[:200]!r} must begin with http:// or https://, and hold no blanks")
        if self.url is not None and not self.urls:
            raise ValueError("url must not be an empty list")
        if self.url is not None:
            file_name(self.filename)
        return self

    @property
    def urls(self) -> list[str]:
        """The mirrors."""
        return [self.url] if isinstance(self.url, str) else list(self.url or [])

    @property
    def filename(self) -> str:
        """What a downloaded file is called."""
        return self.name or self.urls[0].split("?")[0].split("#")[0].rpartition("/")[2]

    @property
    def place(self) -> str:
        """Where a downloaded file belongs, in the corpus; of a Zenodo record, which of its files where."""
        name = f"zenodo:{self.zenodo}/{self.match}" if self.zenodo else self.filename
        return str(PurePosixPath(self.into, name))


class Recipe(Config):
    """How to get a corpus."""

    title: str
    homepage: str
    licence: str  # by its usual short name
    citation: str
    noncommercial: bool = False  # the licence, or that of some clips, forbids commercial use: asked to be accepted
    note: str | None = None  # what else to know
    manual: str | None = None  # what to do by hand, for what cannot be downloaded; then there are no files
    files: list[RecipeFile] = Field(default_factory=list)

    @property
    def about(self) -> str:
        """Title, homepage, licence, citation and note, a line each."""
        lines = [self.title, self.homepage, f"licence: {self.licence}", f"cite: {self.citation}"]
        return "\n".join([*lines, f"note: {self.note}"] if self.note else lines)

    def summary(self) -> dict[str, str]:
        """What it is, its licence, size and checksums, in words."""
        size = f"{self.size / 1e9:.1f} GB" if self.size else "by hand" if self.manual else "size not known"
        parts = f"\nparts: {', '.join(self.parts[:25])}{', ...' if len(self.parts) > 25 else ''}" if self.parts else ""
        return {
            "what": self.title + parts,
            "licence": self.licence,
            "download": size,
            "checksums": self.verified_by,
        }

    zenodo_api: str = "https://zenodo.org/api/records"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if bool(self.files) == bool(self.manual):
            raise ValueError("a recipe needs either files or manual")
        places = [file.place for file in self.files]
        for place in places:
            if places.count(place) > 1:
                raise ValueError(f"two files are {place!r}: give one of them another name or into")
        return self

    @property
    def parts(self) -> list[str]:
        """Names for --part, in order."""
        return list(dict.fromkeys(file.part for file in self.files if file.part))

    @property
    def size(self) -> int | None:
        """Bytes to download, if known of every file."""
        sizes = [file.size for file in self.files]
        return sum(s for s in sizes if s) if sizes and None not in sizes else None

    @property
    def verified_by(self) -> str:
        """Where the checksums come from."""
        kinds = {"Zenodo" if f.zenodo else "recipe" if f.checksum else "none" for f in self.files}
        return ", ".join(sorted(kinds)) or "-"


@in_one_line
def load_recipes(extra: str | Path | None = None) -> dict[str, Recipe]:
    """The recipes of the package, with those of `extra` and of the file that SONOSCALE_RECIPES names put over them.

    Raises:
        SonoscaleError: a file is missing, is not YAML, or a recipe in it is not valid (its key is named).
    """
    check_arguments(load_recipes, locals())
    recipes = dict(_shipped())
    for file in (os.environ.get(RECIPES_VARIABLE), extra):
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SonoscaleError(f"{file}: cannot be read as a file of recipes ({error})") from error
            recipes |= _parse(text, str(file))
    return recipes


@cache
def _shipped() -> dict[str, Recipe]:
    """Those of the package."""
    text = resources.files("sonoscale.corpora").joinpath("recipes.yaml").read_text(encoding="utf-8")
    return _parse(text, "recipes.yaml")


def find_recipe(name: str, recipes: dict[str, Recipe]) -> tuple[str, Recipe]:
    """The recipe of that name, in any case and with or without dashes.

    Raises:
        SonoscaleError: there is none; the nearest is named.
    """
    plain = {_bare(key): key for key in recipes}
    key = plain.get(_bare(name))
    if key is None:
        close = difflib.get_close_matches(_bare(name), plain, n=1, cutoff=0.5)
        hint = f"did you mean '{plain[close[0]]}'?" if close else f"there are {', '.join(sorted(recipes))}"
        raise SonoscaleError(f"no recipe '{name}'; {hint}")
    return key, recipes[key]


def _bare(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _parse(text: str, source: str) -> dict[str, Recipe]:
    raw = parse_yaml(text, source)
    if not isinstance(raw, dict) or not all(isinstance(value, dict) for value in raw.values()):
        raise SonoscaleError(f"{source}: must be a mapping from names of corpora to recipes")
    for name in raw:
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
            raise SonoscaleError(
                f"{source}: {name!r} cannot be the name of a recipe: letters, digits, '.', '_' and '-'"
            )
    return {str(name): validate(Recipe, value, source=f"{source}: {name}") for name, value in raw.items()}
