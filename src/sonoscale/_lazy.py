"""Floors whose names are imported when they are first used, so that to import a floor costs next to nothing."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["lazy", "no_attribute"]


def no_attribute(module: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that a module does not have; it suggests the nearest that it has."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"module {module!r} has no attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def lazy(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that keeps its imports under `if TYPE_CHECKING:`.

    That block is read once, as type checkers read it: each `from module import name` in it is carried out when the
    name is first used. A floor's `__init__.py` ends with

        __getattr__ = lazy(__name__)

    Arguments:
        package: name of the package.
    """
    module = sys.modules[package]
    spec = module.__spec__
    source = getattr(spec.loader, "get_source")(package) if spec else ""  # noqa: B009 (a loader of files has it)
    where = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for block in ast.parse(source or "").body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(no_attribute(package, name, module.__all__))
        origin, original = where[name]
        value = getattr(importlib.import_module(origin), original)
        setattr(module, name, value)
        return value

    vars(module)["__dir__"] = lambda: sorted(module.__all__)
    return get
