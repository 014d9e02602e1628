"""YAML as people may hand it in: plain values only, neither too deep nor too many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sonoscale.errors import SonoscaleError

__all__ = ["MOST_VALUES", "parse_yaml", "read_yaml"]

MOST_VALUES = 200_000
"""In a file, each as often as aliases repeat it."""


def read_yaml(path: Path) -> Any:
    """What a YAML file (UTF-8) holds, by the safe loader.

    Raises:
        SonoscaleError: it is missing or cannot be read; not YAML, nested too deeply, or more than `MOST_VALUES`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SonoscaleError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise SonoscaleError(f"{path}: not valid YAML: no UTF-8 ({error.reason})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """What a YAML text says.

    Arguments:
        text: of one document.
        source: where it comes from, for messages.

    Raises:
        SonoscaleError: not YAML, nested too deeply, or more than `MOST_VALUES`.

    Example:
        >>> parse_yaml("a: &x [1, 2]\\nb: *x", "a file")
        {'a': [1, 2], 'b': [1, 2]}
        >>> parse_yaml("a: &x [*x]", "a file")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: a file: not valid YAML (line 1): a value that holds itself
    """
    if _depth(text) > _DEEPEST:  # on which the parser would spend the square of it
        raise SonoscaleError(f"{source}: not valid YAML: nested too deeply")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > MOST_VALUES:
                raise SonoscaleError(
                    f"{source}: holds more than {MOST_VALUES:,} values, counted as aliases repeat them"
                )
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise SonoscaleError(f"{source}: not valid YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: dates and numbers that are none
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        why = getattr(error, "problem", None) or str(error).partition("\n")[0][:200]
        raise SonoscaleError(f"{source}: not valid YAML{where}: {why}") from error


_DEEPEST = 500


def _depth(text: str) -> int:
    """How deeply brackets and braces are nested, wherever they stand."""
    depth = deepest = 0
    for sign in re.finditer(r"[\[\]{}]", text):
        depth = depth + 1 if sign[0] in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values in a node, each time that an alias repeats them."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    found = known.get(id(node))
    if found is None:
        known[id(node)] = -1
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        found = known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    elif found < 0:
        raise yaml.MarkedYAMLError(problem="a value that holds itself", problem_mark=node.start_mark)
    return found
