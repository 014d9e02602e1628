"""Import other people's code, and report what goes wrong in it in one line."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from torch import nn

from sonoscale.errors import SonoscaleError


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


def positive(value: Any, what: str, spec: str) -> int:
    """A positive whole number, given as an int, as a float or in text."""
    try:
        number = int(value)
        good = number > 0 and number == float(value)
    except (TypeError, ValueError, OverflowError):
        number, good = 0, False
    if not good:
        raise SonoscaleError(f"{spec}: {what} = {value!r} is not a positive whole number")
    return number


def query(text: str, spec: str, known: set[str]) -> tuple[str, dict[str, str]]:
    """Split `path?key=value&key=value`.

    Raises:
        SonoscaleError: a key is not known, or has no value.
    """
    path, _, rest = text.partition("?")
    pairs = dict(parse_qsl(rest, keep_blank_values=True))
    for key, value in pairs.items():
        if key not in known:
            raise SonoscaleError(f"{spec}: {key} is not known after the ?; known: {', '.join(sorted(known))}")
        if not value:
            raise SonoscaleError(f"{spec}: {key} has no value; write {key}=...")
    return path, pairs


def ready(module: Any, device: Any) -> Any:
    """In eval mode on the device, if it is a torch module; as it is otherwise."""
    return module.eval().to(device) if isinstance(module, nn.Module) else module
