"""Write docs/api.md, the list of public names, from the code: make docs."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_args

PAGE = Path(__file__).with_name("api.md")
MODULES = [
    "sonoscale",
    "sonoscale.rank",
    "sonoscale.measure",
    "sonoscale.laws",
    "sonoscale.laws.forms",
    "sonoscale.laws.audit",
    "sonoscale.laws.plan",
    "sonoscale.audio",
    "sonoscale.corpora",
    "sonoscale.corpora.procedural",
    "sonoscale.encoders",
    "sonoscale.pretrain",
    "sonoscale.probe",
    "sonoscale.study",
    "sonoscale.report",
    "sonoscale.export",
    "sonoscale.results",
    "sonoscale.errors",
]
HEAD = """# Public names

*Written by `make docs` out of the code.*

**Stable** are the names below, imported from the module that lists them, with their keyword arguments and the
attributes that their docstrings document; so are the commands and options of `sonoscale --help`, the keys of study and
run files, the columns of a ledger, and the keys of JSON files. Until version 1.0 a minor version may change them, and
the [changelog](../CHANGELOG.md) says how. **Not stable** is everything else: modules that are not listed or whose names
begin with an underscore, and names that a module holds for other modules but does not list in `__all__`.
"""


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([HEAD, *(section(name) for name in MODULES)])


def section(name: str) -> str:
    """One module: what it is for, and a row per name."""
    module = importlib.import_module(name)
    lines = [f"## {name}", "", first_sentence(module.__doc__), "", "| name | |", "|---|---|"]
    for public in sorted(module.__all__, key=lambda n: (n.lower(), n)):
        lines.append(f"| `{public}` | {described(module, public).replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, ""])


def described(module: Any, public: str) -> str:
    """What a name is, in the first sentence of its docstring, or of the string below its assignment."""
    if public == "__version__":
        return "Version of the package."
    value = getattr(module, public)
    if inspect.ismodule(value):
        inner = getattr(value, "__wrapped__", None) or getattr(value, value.__name__.rpartition(".")[2], None)
        return first_sentence((inner or value).__doc__ if callable(inner) else value.__doc__)
    if inspect.isclass(value) or inspect.isroutine(value):
        return first_sentence(value.__doc__)
    if text := first_sentence(assigned_docstring(module, public)):
        return text
    if values := get_args(value):  # of a Literal, a union or an Annotated union
        union = get_args(values[0]) or values
        return "One of " + ", ".join(f"`{getattr(one, '__name__', repr(one))}`" for one in union) + "."
    return "A constant."


def assigned_docstring(module: Any, public: str, seen: frozenset[str] = frozenset()) -> str | None:
    """The string that follows `public = ...` where that stands, followed through imports."""
    file = module.__spec__.origin if module.__spec__ else None
    if file is None or module.__name__ in seen:
        return None
    tree = ast.parse(Path(file).read_text())
    for one, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(one, ast.ImportFrom) and any((a.asname or a.name) == public for a in one.names) and one.module:
            (name,) = [a.name for a in one.names if (a.asname or a.name) == public]
            return assigned_docstring(importlib.import_module(one.module), name, seen | {module.__name__})
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == public for target in targets):
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return str(following.value.value)
            return None
    return None


def first_sentence(docstring: str | None) -> str:
    """Up to the first full stop that ends a sentence, on one line."""
    text = " ".join(inspect.cleandoc(docstring or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.][.])\s+(?=[A-Z`(])", text)[0]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    PAGE.write_text(page())
    print(f"{PAGE}: {sum(line.startswith('| `') for line in PAGE.read_text().splitlines())} names")
