"""The arguments of a public function, checked against its annotations before it does anything with them."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import numbers
import os
import pathlib
import reprlib
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from sonoscale.errors import SonoscaleError

__all__ = ["check_arguments"]


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse what is not of the type that the function's signature says.

    Looks at text, numbers, switches, paths, functions, mappings, lists of them, arrays and our own classes. Whether a
    value is in its range, and whatever other type an annotation names, is the function's own to check.

    Arguments:
        function: whose annotations are text (`from __future__ import annotations`).
        given: argument -> value: `locals()`, in the first line of the function.

    Raises:
        SonoscaleError: the argument, its value, and what it must be.

    Example:
        >>> def resample(rate: int, mono: bool = True): ...
        >>> check_arguments(resample, {"rate": 16_000, "mono": True})
        >>> check_arguments(resample, {"rate": "16k"})
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: rate = '16k': must be a whole number
    """
    for name, (words, fits) in _expected(function).items():
        if name in given and not any(test(given[name]) for test in fits):
            raise SonoscaleError(f"{name} = {_SHOWN.repr(given[name])}: must be {words}")


_Test = Callable[[Any], bool]


@cache
def _expected(function: Callable[..., Any]) -> dict[str, tuple[str, list[_Test]]]:
    """Argument -> what it must be in words, and the tests of which it must pass one."""
    scope, found = getattr(function, "__globals__", {}), {}
    for name, parameter in inspect.signature(function).parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if isinstance(parameter.annotation, str) and not several:
            allowed = _union(ast.parse(parameter.annotation, mode="eval").body, scope)
            if allowed is not None:
                words = list(dict.fromkeys(words for words, _ in allowed))
                found[name] = (" or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words), [
                    test for _, test in allowed
                ])  # fmt: skip
    return found


def _union(node: ast.expr, scope: Mapping[str, Any]) -> list[tuple[str, _Test]] | None:
    """What a type allows, in words and as a test; None where it names a type that is not looked at."""
    if isinstance(node, ast.BinOp):
        left, right = _union(node.left, scope), _union(node.right, scope)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.Constant):
        return [("None", lambda value: value is None)] if node.value is None else None
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _generic(_last(node.value), inner, scope)
    name = _last(node)
    if name == "ndarray":
        return [("an array", lambda value: hasattr(value, "__array__"))]
    if name in _PLAIN:
        return [_PLAIN[name]]
    alias = scope.get(name)
    kinds: tuple[Any, ...] = alias.__args__ if isinstance(alias, types.UnionType) else (alias,)
    if all(isinstance(kind, type) and _is_ours(kind) for kind in kinds):
        return [(f"a{'n' * (kind.__name__[0] in 'AEIO')} {kind.__name__}", _instance(kind)) for kind in kinds]
    if getattr(alias, "__origin__", None) is collections.abc.Callable:
        return [_FUNCTION]
    of = getattr(alias, "__args__", ())
    if of and all(isinstance(one, str) for one in of):  # of Literal
        return [_PLAIN["str"]]
    return None


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("sonoscale.") and not hasattr(kind, "_is_protocol")


def _instance(kind: type) -> _Test:
    return lambda value: isinstance(value, kind)


def _generic(name: str, inner: list[ast.expr], scope: Mapping[str, Any]) -> list[tuple[str, _Test]] | None:
    if name == "Literal":
        return [_PLAIN["str"]]
    if name == "Callable":
        return [_FUNCTION]
    if name == "PathLike":
        return [_PLAIN["Path"]]
    if name == "Mapping":
        return [("a mapping", lambda value: isinstance(value, Mapping))]
    kind = {
        "Sequence": collections.abc.Sequence,
        "Collection": collections.abc.Collection,
        "list": list,
        "tuple": tuple,
        "Iterable": collections.abc.Iterable,
    }
    if name not in kind:
        return None
    each = _union(inner[0], scope)

    def fits(value: Any) -> bool:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, kind[name]):
            return False
        looked_at = isinstance(value, collections.abc.Collection)  # of an iterator that would be used up
        return each is None or not looked_at or all(any(test(one) for _, test in each) for one in value)

    if each is None:
        return [("a list", fits)]
    return [("a list of " + " or ".join(dict.fromkeys(_PLURAL.get(words, words) for words, _ in each)), fits)]


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


_FUNCTION: tuple[str, _Test] = ("a function", callable)
_PLAIN: dict[str, tuple[str, _Test]] = {
    "str": ("text", lambda value: isinstance(value, str)),
    "int": ("a whole number", lambda value: isinstance(value, numbers.Integral) and not _switch(value)),
    "float": ("a number", lambda value: isinstance(value, numbers.Real) and not _switch(value)),
    "bool": ("True or False", lambda value: _switch(value)),
    "Path": ("a path", lambda value: isinstance(value, (os.PathLike, pathlib.PurePath))),
}
_PLURAL = {"text": "texts", "a whole number": "whole numbers", "a number": "numbers", "a path": "paths"}


def _switch(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")  # of NumPy


_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80
