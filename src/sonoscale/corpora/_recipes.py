"""Where public corpora are to be had, under which licence, and how they unpack: data, in recipes.yaml."""

from __future__ import annotations

import difflib
import os
import re
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Self

import yaml
from pydantic import Field, field_validator, model_validator

from sonoscale.arguments import check_arguments
from sonoscale.config import Config, validate
from sonoscale.errors import SonoscaleError

__all__ = ["RECIPES_VARIABLE", "Recipe", "RecipeFile", "find_recipe", "load_recipes"]

RECIPES_VARIABLE = "SONOSCALE_RECIPES"
"""Environment variable that names a file of further recipes."""
_DIGITS = {"md5": 32, "sha256": 64}


class RecipeFile(Config):
    """One file to download, or the files of a Zenodo record."""

    url: str | list[str] | None = None  # http or https; a list holds mirrors of the same file
    zenodo: str | None = None  # number of a Zenodo record, instead of url: it lists files, sizes and checksums itself
    match: str = "*"  # with zenodo: which of the record's files, as a shell pattern
    name: str | None = None  # with url: what the file is called; by default the end of the url
    checksum: str | None = None  # with url: md5:... or sha256:... as published; null if none is known
    size: int | None = Field(default=None, ge=1)  # with url: bytes, if known
    part: str | None = None  # what --part calls it; files of one name belong together
    into: str = ""  # folder below that of the corpus
    unpack: bool = True  # zip, tar, tar.gz and so on; false keeps the file as it is

    @field_validator("checksum")
    @classmethod
    def _checksum(cls, value: str | None) -> str | None:
        if value is not None:
            kind, _, digits = value.partition(":")
            if len(digits) != _DIGITS.get(kind) or not re.fullmatch("[0-9a-f]+", digits):
                raise ValueError("must be md5: and 32 or sha256: and 64 hexadecimal digits, in small letters")
        return value

    @field_validator("into", "name")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("/") or ".." in PurePosixPath(value).parts):
            raise ValueError("must be a relative path without '..'")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.zenodo is None):
            raise ValueError("a file needs either url or zenodo")
        for url in self.urls:
            if not re.match("https?://[^/]+/", url):
                raise ValueError(f"url {url!r} must begin with http:// or https://")
        return self

    @property
    def urls(self) -> list[str]:
        """The mirrors."""
        return [self.url] if isinstance(self.url, str) else list(self.url or [])

    @property
    def filename(self) -> str:
        """What a downloaded file is called."""
        return self.name or PurePosixPath(self.urls[0].split("?")[0].split("#")[0]).name


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


def load_recipes(extra: str | Path | None = None) -> dict[str, Recipe]:
    """The recipes of the package, with those of `extra` and of the file that SONOSCALE_RECIPES names put over them.

    Raises:
        SonoscaleError: a file is missing, is not YAML, or a recipe in it is not valid (its key is named).
    """
    check_arguments(load_recipes, locals())
    shipped = resources.files("sonoscale.corpora").joinpath("recipes.yaml").read_text(encoding="utf-8")
    recipes = _parse(shipped, "recipes.yaml")
    for file in (os.environ.get(RECIPES_VARIABLE), extra):
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SonoscaleError(f"{file}: cannot be read as a file of recipes ({error})") from error
            recipes |= _parse(text, str(file))
    return recipes


def find_recipe(name: str, recipes: dict[str, Recipe]) -> tuple[str, Recipe]:
    """The recipe of that name, in any case and with or without dashes.

    Raises:
        SonoscaleError: there is none; the nearest is named.
    """
    plain = {_plain(key): key for key in recipes}
    key = plain.get(_plain(name))
    if key is None:
        close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.5)
        hint = f"did you mean '{plain[close[0]]}'?" if close else f"there are {', '.join(sorted(recipes))}"
        raise SonoscaleError(f"no recipe '{name}'; {hint}")
    return key, recipes[key]


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _parse(text: str, source: str) -> dict[str, Recipe]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise SonoscaleError(f"{source}: not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    if not isinstance(raw, dict) or not all(isinstance(value, dict) for value in raw.values()):
        raise SonoscaleError(f"{source}: must be a mapping from names of corpora to recipes")
    for name in raw:
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", str(name)):
            raise SonoscaleError(
                f"{source}: {name!r} cannot be the name of a recipe: letters, digits, '.', '_' and '-'"
            )
    return {str(name): validate(Recipe, value, source=f"{source}: {name}") for name, value in raw.items()}
