"""Packages that only some of Sonoscale needs, and the extra that installs each."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from urllib.parse import unquote, urlsplit

from sonoscale.errors import SonoscaleError

__all__ = ["EXTRAS", "available", "missing", "missing_named", "need"]

EXTRAS: dict[str, tuple[str, ...]] = {
    "audio": ("soundfile", "soxr"),
    "train": ("torch", "lightning_fabric", "tensorboardX"),
    "report": ("altair", "vl_convert", "matplotlib"),
    "hf": ("datasets", "transformers"),
    "onnx": ("onnxruntime", "onnx"),
    "hdf5": ("h5py",),
    "procedural": ("espeakng_loader",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "sql": ("duckdb",),
    "lightning": ("lightning", "pytorch_lightning"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}
"""Extra -> the modules that it brings beyond those of the extras it includes (`pyproject.toml` has the packages)."""

_EXTRA_OF = {module: extra for extra, modules in EXTRAS.items() for module in modules}


def need(module: str, *, extra: str | None = None, what: str = "") -> ModuleType:
    """Import an optional package, or raise an error that names what to install.

    Arguments:
        module: to import, such as `h5py` or `lightning.pytorch`.
        extra: of Sonoscale that brings it; by default that of `EXTRAS`.
        what: cannot be done without it, as the subject of the message: `reading HDF5`.

    Returns:
        The module.

    Raises:
        SonoscaleError: it is not installed or cannot be imported, in one line:
            `reading HDF5 needs h5py: pip install 'sonoscale[hdf5]'`.

    Example:
        >>> need("json", what="reading JSON").loads("[1]")
        [1]
        >>> need("no_such_module", extra="hdf5", what="reading HDF5")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: reading HDF5 needs no_such_module: pip install 'sonoscale[hdf5]'...
    """
    try:
        found = importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a library that the package loads is not there
        raise _missing(module, extra, what, error) from error
    if getattr(found, "__file__", None) is None and hasattr(found, "__path__"):  # a folder of that name, no package
        raise _missing(module, extra, what, None)
    return found


def available(module: str) -> bool:
    """Whether a package is installed, without importing it.

    Arguments:
        module: its top-level name.

    Example:
        >>> available("json"), available("no_such_module")
        (True, False)
    """
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None  # a folder of that name has no origin


def missing(error: ImportError, what: str = "this") -> SonoscaleError | None:
    """The error for the user, if an import failed because an optional package is not installed, else None.

    Arguments:
        error: what an import raised.
        what: cannot be done without it, as for `need`.

    Example:
        >>> missing(ModuleNotFoundError("No module named 'torch'", name="torch"))  # doctest: +ELLIPSIS
        SonoscaleError("this needs torch: pip install 'sonoscale[train]'...")
        >>> missing(ModuleNotFoundError("No module named 'mine'", name="mine")) is None
        True
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    return _missing(package, None, what, None) if package in _EXTRA_OF else None


@contextmanager
def missing_named(what: str) -> Iterator[None]:
    """What is imported in the block and lacks an optional package raises the error for the user.

    Arguments:
        what: cannot be done without it, as for `need`.

    Raises:
        SonoscaleError: such a package is not installed.

    Example:
        >>> with missing_named("sonoscale.pretrain"):  # doctest: +ELLIPSIS
        ...     raise ModuleNotFoundError("No module named 'torch'", name="torch")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: sonoscale.pretrain needs torch: pip install 'sonoscale[train]'...
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (lacking := missing(error, what)) is None:
            raise
        raise lacking from error


def _missing(module: str, extra: str | None, what: str, error: Exception | None) -> SonoscaleError:
    package = module.partition(".")[0]
    extra = extra or _EXTRA_OF.get(package)
    place = f"'sonoscale[{extra}]'" if extra else package.replace("_", "-")
    reason = ""
    if error is not None and not (isinstance(error, ModuleNotFoundError) and error.name == package):
        said = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f" (importing {module} failed: {said})"
    here = _checkout() if extra else None
    other = f", or of this checkout: pip install '{here}[{extra}]'" if here else ""
    return SonoscaleError(f"{what or 'this'} needs {package}: pip install {place}{other}{reason}")


@cache
def _checkout() -> str | None:
    """The folder that this package was installed from; None if it came from an index."""
    try:
        told = importlib.metadata.distribution("sonoscale").read_text("direct_url.json")
        content = json.loads(told or "{}")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return None
    url = urlsplit(str(content.get("url", ""))) if isinstance(content, dict) else None
    return unquote(url.path) if url is not None and url.scheme == "file" and "dir_info" in content else None
