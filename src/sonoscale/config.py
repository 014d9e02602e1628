"""One configuration system: pydantic models, YAML files, `a.b=c` overrides, errors of one line."""

from __future__ import annotations

import ast
import difflib
import hashlib
import inspect
import io
import itertools
import json
import reprlib
import textwrap
import tokenize
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sonoscale._yaml import parse_yaml, read_yaml
from sonoscale.errors import SonoscaleError

__all__ = [
    "Config",
    "config_hash",
    "documented_schema",
    "load_config",
    "override_pairs",
    "parse_override",
    "set_key",
    "validate",
]

C = TypeVar("C", bound=BaseModel)


class Config(BaseModel):
    """Base of every section: unknown keys are errors, values are immutable and finite."""

    model_config = {"extra": "forbid", "frozen": True, "allow_inf_nan": False}
    other_words: ClassVar[Mapping[str, str]] = {}  # what others call a key -> the key here


def load_config(model: type[C], path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> C:
    """Read a YAML file, apply `a.b=c` overrides, and validate.

    Arguments:
        model: the pydantic model of the whole file.
        path: the YAML file.
        overrides: strings `dotted.key=value`, whose value is parsed as YAML, or a mapping of dotted keys to values.

    Raises:
        SonoscaleError: no such file, not YAML, an unknown key (the nearest valid one is named), or a value that
            is out of range or of the wrong type.
    """
    path = Path(path)
    if path.is_dir():
        raise SonoscaleError(f"{path}: is a folder; give a configuration file (YAML)")
    if not path.is_file():
        raise SonoscaleError(f"{path}: no such configuration file")
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise SonoscaleError(f"{path}: a configuration file must be a mapping of keys, not {type(raw).__name__}")
    for key, value in override_pairs(overrides):
        section, _, rest = key.partition(".")
        field = model.model_fields.get(section)
        if rest and field is not None and typing.get_origin(field.annotation) is dict:
            raw[section] = {**(raw.get(section) or {}), rest: value}  # its keys are dotted themselves
        else:
            set_key(raw, key, value)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise SonoscaleError(_explain_all(model, error, _places(path))) from None


def _places(path: Path) -> Callable[[list[Any]], str]:
    """From a key to `file, line 12`, where it is in a YAML file, or to `file` where it is not."""
    whole = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    return lambda loc: f"{path}{_line(whole, loc)}"


def _line(node: Any, loc: Iterable[Any]) -> str:
    line = None
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is not None:  # else the tag of a union
                line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return "" if line is None else f", line {line}"


def override_pairs(overrides: Iterable[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Dotted keys and values of one text `key=value`, several, or a mapping."""
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    return [parse_override(text) for text in ([overrides] if isinstance(overrides, str) else overrides)]


def parse_override(text: str) -> tuple[str, Any]:
    """`"a.b=3"` -> `("a.b", 3)`; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SonoscaleError(f"override '{text}': expected key=value, for example encoder.width=64")
    return key.strip(), parse_yaml(value, f"override '{_short(text, 100)}'")


def set_key(raw: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `raw["a"]["b"]` for the key `a.b`, making the mappings on the way."""
    *parents, last = dotted.split(".")
    node = raw
    for name in parents:
        child = node.get(name)
        if child is None:
            child = node[name] = {}
        if not isinstance(child, dict):
            raise SonoscaleError(f"cannot set '{dotted}': '{name}' is a value, not a section")
        node = child
    node[last] = value


def validate(model: type[C], raw: Mapping[str, Any], *, source: str = "configuration") -> C:
    """Validate `raw` against `model`; every problem becomes one line that names key and value."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise SonoscaleError(_explain_all(model, error, lambda loc: source)) from None


def config_hash(content: Any, length: int = 12) -> str:
    """Hex digest of a JSON-able value that does not depend on the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def documented_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a configuration, whose keys are described by the comments at their ends in the code."""
    found = model.model_json_schema()
    sections = {one.__name__: one for one in _all_models(model)}
    for name, section in [(model.__name__, found), *found.get("$defs", {}).items()]:
        for key, comment in _comments(sections[name]).items():
            if key in section.get("properties", {}):
                section["properties"][key].setdefault("description", comment)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Key -> the comment behind its definition, or else above, in the class or in one that it derives from."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, Config):
            continue
        source = textwrap.dedent(inspect.getsource(cls))
        comments = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        lines = source.splitlines()
        alone = {line for line in comments if lines[line - 1].lstrip().startswith("#")}
        (body,) = ast.parse(source).body
        for node in getattr(body, "body", ()):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                above = list(itertools.takewhile(alone.__contains__, range(node.lineno - 1, 0, -1)))
                block = " ".join(comments[line] for line in reversed(above))
                found[node.target.id] = comments.get(node.end_lineno or 0, "") or block
    return {key: comment for key, comment in found.items() if comment}


def _all_models(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for one in found:
        for field in one.model_fields.values():
            found += [each for each in _models_in(field.annotation) if each not in found]
    return found


def _explain_all(model: type[BaseModel], error: ValidationError, source: Callable[[list[Any]], str]) -> str:
    """A line for each problem, beginning with where it is."""
    lines = []
    for item in error.errors(include_url=False)[:_LOOKED_AT]:
        if item["type"] == "too_short" and len(item["input"]) >= item.get("ctx", {})["min_length"]:
            continue  # because what is in it was refused, each with a line of its own
        loc = [part for part in item["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
        lines.append(f"{source(loc)}: {_explain(model, item, loc)}")
    lines = list(dict.fromkeys(map(_short, lines)))
    return "\n".join(lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} more"])


_MOST, _LONGEST, _LOOKED_AT = 20, 600, 200
"""Problems that are listed, letters of each, and problems that are looked at to find those."""

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 200
_SHOWN.maxlist = _SHOWN.maxtuple = _SHOWN.maxdict = 20


def _short(line: str, most: int = _LONGEST) -> str:
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


def _explain(model: type[BaseModel], item: Any, loc: list[Any]) -> str:
    key, last = _dotted(model, loc), str(loc[-1]) if loc else ""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(model, loc, key)
    if kind == "missing":
        return f"key '{key}' is required"
    shown = f"{_short(key, 100)} = {_short(_SHOWN.repr(item['input']), 200)}"
    if kind == "union_tag_not_found":
        name = context["discriminator"].strip("'")
        return f"key '{key}.{name}' is required: {_one_of(_tags(model, loc, name))}"
    if kind == "union_tag_invalid":
        name, tags = context["discriminator"].strip("'"), context["expected_tags"].replace("'", "").split(", ")
        close = difflib.get_close_matches(str(context["tag"]), tags, n=1)
        return f"{key}.{name} = '{context['tag']}': must be {_one_of(tags)}{_meant(close)}"
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        return f"{shown}: give at {'least' if least else 'most'} {context['min_length' if least else 'max_length']}"
    message = _WORDS.get(kind)
    if message is None:
        message = item["msg"].removeprefix("Value error, ").partition(", unable to parse")[0]
        message = (message[0].lower() + message[1:]).replace("input should be", "must be", 1)
    elif kind in _LISTS and isinstance(item["input"], (str, int, float)):
        message += f": {last}: [{item['input']}]"
    return f"{shown}: {message}" if key else message


_LISTS = ("tuple_type", "list_type", "set_type")
_WORDS = {
    **dict.fromkeys(_LISTS, "must be a list"),
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"),
        "must be a section: keys, each with its value",
    ),
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "finite_number": "must be a finite number",
}
"""Kinds of problems, as the library has them -> what would be right."""


def _unknown(model: type[BaseModel], loc: list[Any], key: str) -> str:
    """A key that is not there, and the nearest that is: by what others call it, here, or in another section."""
    last, siblings, prefix = str(loc[-1]), _keys_at(model, loc[:-1]), key[: len(key) - len(str(loc[-1]))]
    words = [getattr(one, "other_words", {}) for one in _models_at(model, loc[:-1])]
    named = [f"{prefix}{each[last]}" for each in words if last in each]
    if named:
        return f"unknown key '{key}'; did you mean '{named[0]}'?"
    if len(last) > _LONGEST_KEY:  # which is not misspelt, and takes long to compare
        return f"unknown key '{_short(key, 100)}'; valid keys here: {', '.join(sorted(siblings))}"
    close = [f"{prefix}{near}" for near in difflib.get_close_matches(last, siblings, n=1, cutoff=0.5)]
    elsewhere = {path.rpartition(".")[2]: path for path in reversed(_paths(model))}
    if not close or last in elsewhere:
        close = [elsewhere[near] for near in difflib.get_close_matches(last, elsewhere, n=1, cutoff=0.8)]
    hint = f"did you mean '{close[0]}'?" if close else f"valid keys here: {', '.join(sorted(siblings))}"
    return f"unknown key '{key}'; {hint}"


_LONGEST_KEY = 100


def _one_of(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _meant(close: list[str]) -> str:
    return f"; did you mean '{close[0]}'?" if close else ""


def _dotted(model: type[BaseModel], loc: list[Any]) -> str:
    """The key as it stands in the file: without the tags by which the members of a union are distinguished."""
    parts: list[str] = []
    for i, part in enumerate(loc):
        candidates = _models_at(model, loc[:i])
        field = any(part in one.model_fields for one in candidates)
        if field or not any(part in tags for one in candidates for tags in _literals(one).values()):
            parts.append(str(part))
    return ".".join(parts)


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted keys of all sections; what is in lists has no path of its own."""
    found = []
    for name, field in model.model_fields.items():
        found.append(f"{prefix}{name}")
        if typing.get_origin(field.annotation) not in (tuple, list, dict):
            for section in _models_in(field.annotation):
                found += _paths(section, f"{prefix}{name}.")
    return found


def _keys_at(model: type[BaseModel], loc: list[Any]) -> list[str]:
    """Valid keys of the section at `loc`, following sections, lists and unions."""
    return sorted({name for one in _models_at(model, loc) for name in one.model_fields})


def _models_at(model: type[BaseModel], loc: list[Any]) -> list[Any]:
    """What the section at `loc` may be, following sections, lists and unions."""
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        found: list[type[BaseModel]] = []
        for candidate in candidates:
            if isinstance(part, int):
                found.append(candidate)
            elif part in candidate.model_fields:
                found.extend(_models_in(candidate.model_fields[part].annotation))
            elif any(part in tags for tags in _literals(candidate).values()):  # the tag of a union: keep that member
                found.append(candidate)
        candidates = found or candidates
    return candidates


def _tags(model: type[BaseModel], loc: list[Any], name: str) -> list[str]:
    """What the key by which the members of the union at `loc` are distinguished can be."""
    return list(dict.fromkeys(tag for one in _models_at(model, loc) for tag in _literals(one).get(name, ())))


def _literals(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Keys that can be certain words only, and these."""
    found = {}
    for name, field in model.model_fields.items():
        words = tuple(word for word in typing.get_args(field.annotation) if isinstance(word, str))
        if words:
            found[name] = words
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, list, tuple, dict, typing.Annotated):
        return [m for argument in typing.get_args(annotation) for m in _models_in(argument)]
    return []
