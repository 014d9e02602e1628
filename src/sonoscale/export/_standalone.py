"""Source code that runs without Sonoscale, made of Sonoscale's own."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from pydantic_core import PydanticUndefined

from sonoscale import __version__

_NOT_CARRIED = {"Config", "SonoscaleError", "weights_hash", "Field", "field_validator", "model_validator"}
"""Names that the written code does without: see `_Source`."""
_RENAMED = {"SonoscaleError": "ValueError", "AudioEncoder": "AudioNetwork"}
"""X-ARES wants one name in a file to end with `Encoder`."""


def standalone(
    module: ModuleType, *, constants: Mapping[str, Any] | None = None, rename: Mapping[str, str] | None = None
) -> str:
    """One file with the code of a module and of all that it imports from Sonoscale, each once, before its use.

    Configurations become plain frozen dataclasses with the same defaults, without validation; a `SonoscaleError`
    becomes a `ValueError`; the property `identity` is left out. Everything else is copied as it stands, comments
    included, so the numbers are the same to the last bit.

    Arguments:
        module: what is to run elsewhere.
        constants: values for names that are assigned at the top level of `module`.
        rename: names to change everywhere.

    Returns:
        Python source, whose imports are of the standard library and of other packages, or relative.

    Raises:
        ValueError: something that is imported from Sonoscale is neither a class nor a function, or a constant is not
            in the module.
    """
    sources: dict[str, _Source] = {}
    _collect(module, constants or {}, sources)
    head = (
        f'"""{inspect.cleandoc(module.__doc__ or "").splitlines()[0]}\n\n'
        f"Written by Sonoscale {__version__} out of its own source code, and runs without it. Where a comment speaks\n"
        'of `Encoder`, it means the protocol of that name there.\n"""\n\nfrom __future__ import annotations\n\n'
    )
    bodies = [f"# From {name.replace('.', '/')}.py\n\n\n{source.body}" for name, source in sources.items()]
    text = head + _imports(sources.values()) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"
    for old, new in {**_RENAMED, **(rename or {})}.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return text


def _imports(sources: Iterable[_Source]) -> str:
    """One line for each module: the standard library, other packages, relative."""
    whole, parts = set[str](), dict[str, set[str]]()
    for source in sources:
        whole |= source.imports
        for name, wanted in source.imported.items():
            parts.setdefault(name, set()).update(wanted)
    lines = [*whole, *(f"from {name} import {', '.join(sorted(wanted))}" for name, wanted in parts.items() if wanted)]

    def order(line: str) -> tuple[bool, bool, str]:
        name = line.split()[1]
        return name.startswith("."), name.partition(".")[0] not in sys.stdlib_module_names, line

    return "\n".join(sorted(lines, key=order))


def _collect(module: ModuleType, constants: Mapping[str, Any], into: dict[str, _Source]) -> None:
    """Add a module's source after those that it needs."""
    source = _Source(module, constants)
    for owner in source.needs:
        if owner not in into:
            _collect(importlib.import_module(owner), {}, into)
    into[module.__name__] = source


class _Source:
    """The code of one module.

    Attributes:
        imports: lines that import whole modules.
        imported: names from modules that are not Sonoscale's.
        needs: modules of Sonoscale that define what is imported from it.
        body: the rest.
    """

    def __init__(self, module: ModuleType, constants: Mapping[str, Any]) -> None:
        self.imports: set[str] = set()
        self.imported: dict[str, set[str]] = {}
        self.needs: list[str] = []
        text = inspect.getsource(module)
        self._module, self._lines = module, text.splitlines()
        body = ast.parse(text).body
        left = set(constants)
        end = 0
        for node in body:
            if self._is_left_out(node):
                self._drop(end, node)
            elif isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Config" for base in node.bases):
                self._as_dataclass(node)
            elif isinstance(node, ast.ClassDef):
                self._without_identity(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and (name := _assigned(node)) in constants:
                self._replace(node.value, repr(constants[name]))
                left.discard(name)
            end = node.end_lineno or end
        if left:
            raise ValueError(f"{module.__name__} has no {', '.join(sorted(left))}")
        self.body = "\n".join(line for line in self._lines if line is not None).strip("\n")

    def _is_left_out(self, node: ast.stmt) -> bool:
        """Whether a node is no code of the module; imports are noted."""
        if isinstance(node, ast.ImportFrom):
            self._import(node)
            return True
        if isinstance(node, ast.Import):
            self.imports.add(ast.unparse(node))
            return True
        if isinstance(node, ast.Assign):
            return _assigned(node) == "__all__"
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # docstrings

    def _import(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        if name == "__future__":
            return
        names = [alias for alias in node.names if alias.name not in _NOT_CARRIED]
        if node.level or name.partition(".")[0] != "sonoscale":
            self.imported.setdefault("." * node.level + name, set()).update(ast.unparse(alias) for alias in names)
            return
        for alias in names:
            found = getattr(self._module, alias.asname or alias.name)
            owner = getattr(inspect.unwrap(found), "__module__", None) if callable(found) else None
            if owner is None:
                raise ValueError(f"{self._module.__name__}: {alias.name} is neither a class nor a function")
            self.needs.append(owner)

    def _as_dataclass(self, node: ast.ClassDef) -> None:
        """A pydantic model -> a frozen dataclass with its fields, their defaults and its properties."""
        fields = getattr(self._module, node.name).model_fields
        self.imported.setdefault("dataclasses", set()).add("dataclass")
        self._lines[node.lineno - 1] = f"@dataclass(frozen=True)\nclass {node.name}:"
        end = node.lineno
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and _is_validator(member):
                self._drop(end, member)
            elif isinstance(member, ast.AnnAssign):
                default = fields[_assigned(member)].default
                if default is PydanticUndefined:
                    raise ValueError(f"{node.name}.{_assigned(member)} has no plain default")
                self._replace(member.value, repr(default))
            end = member.end_lineno or end

    def _without_identity(self, node: ast.ClassDef) -> None:
        end = node.lineno
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and member.name == "identity":
                self._drop(end, member)
            end = member.end_lineno or end

    def _drop(self, after: int, node: ast.stmt) -> None:
        """Take a node out, and what stands between it and the one before, which ends in line `after`."""
        for number in range(after, node.end_lineno or after):
            self._lines[number] = None  # pyright: ignore[reportArgumentType, reportCallIssue]

    def _replace(self, node: ast.expr | None, text: str) -> None:
        if node is None or node.end_lineno != node.lineno:
            raise ValueError(f"{self._module.__name__}: no value on one line to be replaced by {text}")
        line = self._lines[node.lineno - 1]
        self._lines[node.lineno - 1] = line[: node.col_offset] + text + line[node.end_col_offset :]


def _is_validator(node: ast.FunctionDef) -> bool:
    return any("validator" in ast.unparse(decorator) for decorator in node.decorator_list)


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    """The name that a statement assigns to."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""
