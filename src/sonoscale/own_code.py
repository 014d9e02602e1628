"""Code of the user's own: import it, and report what goes wrong in it in one line."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sonoscale.errors import SonoscaleError

__all__ = ["MARK", "attribute", "import_code", "named", "one_line"]

MARK = "python:"


def one_line(error: BaseException) -> str:
    """Type and first line of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def import_code(name: str, spec: str) -> ModuleType:
    """Import `package.module`, or the path of a .py file.

    The folder of a file is appended to `sys.path`, so that it finds its neighbours as a script does; the file is
    read anew at each call.

    Arguments:
        name: of the module, or the path.
        spec: for messages.

    Raises:
        SonoscaleError: there is no such module or file, or it fails to import.
    """
    if not name:
        raise SonoscaleError(f"{spec}: no module named; write the name of a module or the path of a .py file")
    if name.endswith(".py"):
        return _import_file(Path(name).expanduser(), spec)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise SonoscaleError(
                f"{spec}: no module named {error.name}; install it, or give the path of a .py file"
            ) from None
        raise SonoscaleError(f"{spec}: importing {name} failed: {one_line(error)}") from error
    except (Exception, SystemExit) as error:  # any code may run in an import
        raise SonoscaleError(f"{spec}: importing {name} failed: {one_line(error)}") from error


def _import_file(path: Path, spec: str) -> ModuleType:
    if not path.is_file():
        raise SonoscaleError(f"{spec}: no such file: {path}")
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise SonoscaleError(f"{spec}: {path} cannot be imported as Python")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise SonoscaleError(f"{spec}: importing {path} failed: {one_line(error)}") from error
    return module


def attribute(owner: Any, name: str, spec: str, *, where: str) -> Any:
    """`owner.name`, or an error that says what `where` has to have."""
    try:
        return getattr(owner, name)
    except AttributeError:
        raise SonoscaleError(f"{spec}: {where} has no {name}") from None


def named(spec: str) -> Any:
    """What `python:module:name` or `python:file.py:name` stands for.

    Raises:
        SonoscaleError: it is not of that form, there is no such module or name in it, or its import fails.

    Example:
        >>> named("python:math:tau")
        6.283185307179586
    """
    module, _, name = spec.removeprefix(MARK).rpartition(":")
    if not spec.startswith(MARK) or not module or not name:
        raise SonoscaleError(f"{spec}: write python:module:name or python:file.py:name")
    return attribute(import_code(module, spec), name, spec, where=module)
