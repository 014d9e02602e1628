"""A log-linear model in words and in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sonoscale.laws.loglinear._scale import Scale
from sonoscale.laws.loglinear._terms import Part, Term

__all__ = ["latex_formula", "text_formula"]


def text_formula(y: str, scale: Scale, terms: Mapping[Term | None, float], random: str | None, between: float) -> str:
    """Such as `log loss = 2.1 - 0.12 log params + 0.03 [dataset=c4]`; the key None is the intercept."""
    text = f"{scale.text.format(y)} ="
    for i, (term, value) in enumerate(terms.items()):
        named = "" if term is None else " " + " * ".join(_text(part) for part in term.parts)
        text += _signed(value, first=i == 0) + named
    return text + (f" + u[{random}], sd(u) = {between:.4g}" if random else "")


def latex_formula(y: str, scale: Scale, terms: Mapping[Term | None, float], random: str | None) -> str:
    """The same for LaTeX's mathematics mode."""
    text = f"{scale.latex.format(_upright(y))} ="
    for i, (term, value) in enumerate(terms.items()):
        named = "" if term is None else r" \, " + r" \, ".join(_latex(part) for part in term.parts)
        text += _scientific(_signed(value, first=i == 0)) + named
    return text + (f" + u_{{{_upright(random)}}}" if random else "")


def _text(part: Part) -> str:
    return f"[{part.name}]" if part.kind == "level" else part.name


def _latex(part: Part) -> str:
    if part.kind == "level":
        return rf"[{_upright(part.column)} = {_upright(str(part.level))}]"
    return rf"\log {_upright(part.column)}" if part.kind == "log" else _upright(part.column)


def _upright(name: str) -> str:
    return rf"\mathrm{{{re.sub(r'([_%&#$])', lambda found: chr(92) + found[1], name)}}}"


def _signed(value: float, *, first: bool) -> str:
    if first:
        return f" {value:.4g}"
    return f" {'-' if value < 0 else '+'} {abs(value):.4g}"


def _scientific(number: str) -> str:
    return re.sub(r"e([+-])0*(\d+)", lambda e: rf" \times 10^{{{'-' if e[1] == '-' else ''}{e[2]}}}", number)
