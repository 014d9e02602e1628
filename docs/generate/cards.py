"""The reference of the site, each page a function from the registries of the code to Markdown."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import griffe
import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

MODULES = (
    "rank", "measure", "laws", "laws.forms", "laws.audit", "laws.plan", "audio", "corpora", "encoders", "pretrain",
    "probe", "study", "report", "export", "results", "errors",
)  # fmt: skip
MADE = "*Made of the code when this site was built.*"


def cell(text: object) -> str:
    """Text that a cell of a table can hold."""
    return " ".join(str(text).replace("|", "\\|").split())


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)]) + "\n"


def card(name: str, rows: list[tuple[str, object]]) -> str:
    """A heading and what there is to know below it; empty entries are left out."""
    return (
        f"## {name}\n\n" + "\n".join(f"- **{key}**: {value}" for key, value in rows if value not in ("", None)) + "\n"
    )


def estimators() -> str:
    """A card for each estimator of rank."""
    from sonoscale.rank import ESTIMATORS

    cards = []
    abouts = {"uncentred": "of the rows as they are", "centred": "about the mean"}
    for one in ESTIMATORS.values():
        n, dim = 4096, 512
        low, high = one.bounds(n, dim)
        cards.append(
            card(one.name, [
                ("spectrum", abouts.get(one.about, one.about)),
                ("definition", f"`{one.formula}`"), ("eps", f"{one.eps:g}" if one.eps else ""),
                ("source", one.source), ("range at n = 4,096, dim = 512", f"{low:g} to {high:g}"),
            ])
        )  # fmt: skip
    blind = (
        "What none of them sees: which directions carry what a task needs. They see a spectrum alone; they depend on "
        "n, dim, layer, clip length and centring, so compare only what was measured alike "
        "([what RankMe number is this?](../what-rankme-number-is-this.md)). `sonoscale measure --all` computes all of "
        "them in one pass. They are checked against independent implementations in `benchmarks/rank_variants.py`.\n"
    )
    return "\n".join(["# Estimators of rank\n", MADE, "", blind, *cards])


def forms() -> str:
    """A card for each form of a law."""
    from sonoscale.laws import FORMS

    cards = [
        card(one.name, [
            ("formula", f"`{one.formula}`"), ("variables", ", ".join(f"`{v}`" for v in one.variables)),
            ("parameters", ", ".join(
                f"`{p}` {_range(low, high)}" for p, (low, high) in zip(one.parameters, one.bounds, strict=True)
            )),
            ("loss", f"Huber, delta {one.huber:g}" if one.huber else "least squares"),
            ("residuals", "of log y" if one.scale == "log" else "of y"),
            ("use", one.doc), ("source", one.citation),
        ])
        for one in FORMS.values()
    ]  # fmt: skip
    head = (
        "`sonoscale fit TABLE --x params --form NAME`; `auto`, the default, averages several of them by a rule that "
        "was fixed beforehand ([calibrated intervals](../laws.md)). How to add one: [a form](../extend/form.md).\n"
    )
    return "\n".join(["# Forms of laws\n", MADE, "", head, *cards])


def _range(low: float, high: float) -> str:
    ends = {(0.0, float("inf")): "above 0", (float("-inf"), float("inf")): "any"}
    return ends.get((low, high), f"{low:g} to {high:g}")


def protocols() -> str:
    """A card for each protocol of probing."""
    from sonoscale.probe import PROTOCOLS

    cards = [
        card(name, [
            ("version", f"`{one.version}`"), ("targets", ", ".join(one.kinds)), ("definition", one.summary),
            ("caveat", getattr(one, "remark", "")),
        ])
        for name, one in PROTOCOLS.items()
    ]  # fmt: skip
    head = (
        "`sonoscale probe ENCODER --task TASK --protocol NAME`. Every score carries its protocol's version, which is "
        "raised with any change that can change a score.\n"
    )
    return "\n".join(["# Protocols\n", MADE, "", head, *cards])


def objectives() -> str:
    """What there is to pre-train with."""
    from sonoscale import pretrain
    from sonoscale.encoders import EncoderConfig
    from sonoscale.pretrain import ObjectiveConfig

    comments = dict(_comments(ObjectiveConfig))
    keys = importlib.import_module("sonoscale.pretrain._objective_config").OBJECTIVE_KEYS
    cards = [
        card(kind, [("keys", ""), *((f"`objective.{key}`", comments.get(key, "")) for key in names)])
        for kind, names in keys.items()
    ]
    masks = importlib.import_module("sonoscale.pretrain._objective_config").MASKS
    backbones = typing.get_args(EncoderConfig.model_fields["backbone"].annotation)
    return "\n".join([
        "# Objectives and backbones\n", MADE, "", inspect.cleandoc(ObjectiveConfig.__doc__ or ""), "",
        f"Masks: {', '.join(f'`{one}`' for one in masks)}. Backbones: {', '.join(f'`{one}`' for one in backbones)}: "
        + inspect.cleandoc(EncoderConfig.__doc__ or ""), "", *cards, f"<!-- {pretrain.__name__} -->",
    ])  # fmt: skip


def configuration() -> str:
    """Every key of a study and of a run: type, default, range, meaning and unit."""
    from sonoscale.pretrain import RunConfig
    from sonoscale.study import StudyConfig

    parts = ["# Configuration keys\n", MADE, ""]
    for title, model, skip in (
        ("Run", RunConfig, ()),
        ("Study", StudyConfig, ("data", "encoder", "objective", "train")),
    ):
        parts += [f"## {title}\n", table(("key", "type", "default", "range", "meaning"), list(_keys(model, skip=skip)))]
    parts.append("A study has the sections `data`, `encoder`, `objective` and `train` of a run: its base.\n")
    return "\n".join(parts)


def _keys(model: type[BaseModel], prefix: str = "", skip: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    comments = dict(_comments(model))
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        models = list(_models(field.annotation))
        if models and not prefix.count("."):
            for one in models:
                kind = one.model_fields.get("kind")
                of = f" ({kind.default})" if kind and len(models) > 1 and isinstance(kind.default, str) else ""
                listed = "[]" if _is_tuple(field.annotation) else ""
                yield from ((f"{key}{of}", *rest) for key, *rest in _keys(one, f"{prefix}{name}{listed}."))
            continue
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield (
            f"`{prefix}{name}`",
            f"`{_type(field.annotation)}`",
            default,
            _bounds(field.metadata),
            comments.get(name, ""),
        )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _is_tuple(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple


def _type(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "null"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in inner)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "mapping"
    return getattr(annotation, "__name__", str(annotation))


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel) or value is PydanticUndefined:
        return ""
    text = "null" if value is None else str(list(value) if isinstance(value, tuple) else value)
    return f"`{text}`" if text else ""


def _bounds(metadata: list[Any]) -> str:
    signs = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}
    found = []
    for one in metadata:
        for kind, (name, word) in signs.items():
            if isinstance(one, kind):
                found.append(f"{word} {getattr(one, name):g}")
    return ", ".join(found)


def _comments(model: type) -> Iterator[tuple[str, str]]:
    """The comment behind each key, where meaning and unit stand."""
    for base in reversed(model.__mro__):
        if base.__module__.startswith("sonoscale"):
            lines = inspect.getsource(base).splitlines()
            (tree,) = ast.parse(textwrap.dedent("\n".join(lines))).body
            for node in tree.body if isinstance(tree, ast.ClassDef) else []:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    text = " ".join(lines[node.lineno - 1 : node.end_lineno])
                    yield node.target.id, text.rpartition("  # ")[2] if "  # " in text else ""


def commands() -> str:
    """The help of every command."""
    from sonoscale.cli.main import app

    root = typer.main.get_command(app)
    return "\n".join(["# Commands\n", MADE, "", *_help(root, "sonoscale", 2)])


def _help(command: Any, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield f"{'#' * min(level, 4)} {name}\n"
    if command.help:
        yield inspect.cleandoc(command.help).replace("\b", "") + "\n"
    rows = []
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        is_option = bool(getattr(parameter, "help", None)) and parameter.opts[0].startswith("-")
        names = (
            ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
            if is_option
            else f"`{parameter.name.upper()}`"
        )
        default = parameter.default
        shown = "" if default is None or callable(default) or default in (False, (), []) else f"`{default}`"
        rows.append((names, getattr(parameter, "help", "") or "", "required" if parameter.required else shown))
    if rows:
        yield table(("option", "meaning", "default"), rows)
    for each in getattr(command, "commands", {}).values():
        yield from _help(each, f"{name} {each.name}", level + 1)


def errors() -> str:
    """Every message of an error, by the module that raises it."""
    source = Path(importlib.import_module("sonoscale").__file__ or "").parent
    parts = [
        "# Errors\n", MADE, "",
        "Bad input is answered in one line that names the file, key or value and what would be right, and the "
        "exit status is 1; Python raises `sonoscale.errors.SonoscaleError`. Below are the messages by floor, with "
        "`...` where they name what you gave.\n",
    ]  # fmt: skip
    for floor in sorted({p.relative_to(source).parts[0] for p in source.rglob("_*.py")} - {"cli"}):
        found = sorted({m for p in sorted(source.glob(f"{floor}/**/*.py")) for m in _messages(p)}, key=str.lower)
        if found:
            parts += [f"## {floor}\n", *(f"- {_escaped(one)}" for one in found), ""]
    return "\n".join(parts)


def _messages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SonoscaleError" and node.args:
            text = _template(node.args[0])
            if len(re.sub(r"[.\s:,;'()\[\]]", "", text)) > 12:
                yield text


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values)
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    return "..."


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>\[\]`#|])", r"\\\1", " ".join(text.split()))


def python() -> str:
    """The public names of each module, with their docstrings."""
    names = [name for name in sorted(importlib.import_module("sonoscale").__all__) if not name.startswith("_")]
    parts = [
        "# Python\n",
        MADE,
        "",
        f"`import sonoscale as so` offers {', '.join(f'`so.{name}`' for name in names)}.\n",
    ]
    for name in MODULES:
        module = importlib.import_module(f"sonoscale.{name}")
        parts += [f"## sonoscale.{name}\n", inspect.cleandoc(module.__doc__ or "").split("\n\n")[0] + "\n"]
        for public in sorted(module.__all__, key=str.lower):
            value = getattr(module, public)
            if inspect.isclass(value) or inspect.isroutine(value):
                parts += [f"### {name}.{public}\n", *_documented(value, f"{name}.{public}")]
    return "\n".join(parts)


def _documented(value: Any, name: str) -> Iterator[str]:
    """Signature and docstring of a class with its methods, or of a function."""
    if not inspect.isclass(value) or value.__init__ is not object.__init__:
        yield f"```python\n{_signature(value, name)}\n```\n"
    yield from _docstring(value)
    for method, each in vars(value).items() if inspect.isclass(value) else ():
        inner = getattr(each, "__func__", getattr(each, "fget", each))
        if method.startswith("_") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        yield f"#### {name}.{method}\n"
        if not isinstance(each, property):
            yield f"```python\n{_signature(inner, f'{name}.{method}')}\n```\n"
        yield from _docstring(inner)


def _signature(value: Any, name: str) -> str:
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return f"{name}(...)"
    kept = [p.replace(default=p.default) for p in found.parameters.values() if p.name not in ("self", "cls")]
    text = ", ".join(_parameter(p, kept, i) for i, p in enumerate(kept))
    lines = (
        f"{name}({text})"
        if len(text) < 90
        else f"{name}(\n    " + ",\n    ".join(_parameter(p, kept, i) for i, p in enumerate(kept)) + ",\n)"
    )
    returns = found.return_annotation
    return lines + ("" if returns in (inspect.Signature.empty, "None") else f" -> {_plain(returns)}")


def _parameter(one: inspect.Parameter, among: list[inspect.Parameter], place: int) -> str:
    kinds = inspect.Parameter
    star = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(one.kind, "")
    first = one.kind is kinds.KEYWORD_ONLY and not any(
        p.kind in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL) for p in among[:place]
    )
    default = "" if one.default is kinds.empty else f" = {_default(one.default)}"
    return f"{'*, ' if first else ''}{star}{one.name}: {_plain(one.annotation)}{default}"


def _plain(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 and " at 0x" not in text else "..."


def _docstring(value: Any) -> Iterator[str]:
    text = inspect.getdoc(value)
    if not text:
        return
    docstring = griffe.Docstring(re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE))
    for section in docstring.parse("google", warnings=False, returns_multiple_items=False):
        kind = section.kind.value
        if kind == "text":
            yield _escaped_markup(section.value) + "\n"
        elif kind == "examples":
            yield "\n".join(
                f"```pycon\n{part}\n```\n" if of.value == "examples" else f"{part}\n" for of, part in section.value
            )
        elif kind in ("parameters", "attributes", "raises", "returns", "yields"):
            rows = [f"- {_entry(kind, one)}" for one in section.value]
            yield f"**{ {'parameters': 'Arguments'}.get(kind, kind.capitalize()) }**\n\n" + "\n".join(rows) + "\n"


def _entry(kind: str, one: Any) -> str:
    about = _escaped_markup(" ".join(one.description.split()))
    if kind == "raises":
        return f"`{one.annotation}`: {about}" if one.annotation else about
    return f"`{one.name}`: {about}" if getattr(one, "name", "") else about


def _escaped_markup(text: str) -> str:
    """Prose of a docstring as Markdown: outside of code, brackets and stars are themselves."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(one if i % 2 else re.sub(r"([\[\]*_<>$|])", r"\\\1", one) for i, one in enumerate(parts))


PAGES: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (estimators, forms, protocols, objectives, configuration, commands, errors, python)
}
