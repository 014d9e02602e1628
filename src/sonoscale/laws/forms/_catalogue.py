"""All forms by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from sonoscale.errors import SonoscaleError
from sonoscale.laws.forms._curves import CURVES, broken_power_law
from sonoscale.laws.forms._form import Form
from sonoscale.laws.forms._simple import SIMPLE
from sonoscale.laws.forms._surfaces import SURFACES

__all__ = ["FORMS", "find_form"]

FORMS: Mapping[str, Form] = MappingProxyType({form.name: form for form in (*SIMPLE, *CURVES, *SURFACES)})
"""The forms that `fit` and `compare` know by name."""


def find_form(form: str | Form) -> Form:
    """The form of that name, or the form itself; `BNSL3` and so on have that many breaks.

    Arguments:
        form: a name, or a form of your own.

    Returns:
        The form.

    Raises:
        SonoscaleError: For a name that is not in `FORMS`, with the names that are.

    Example:
        >>> find_form("M1").formula
        'y = a * x^(-b)'
    """
    if isinstance(form, Form):
        return form
    if not isinstance(form, str):
        raise SonoscaleError(f"form must be the name of a form or a Form, not {form!r}; there are: {', '.join(FORMS)}")
    if form in FORMS:
        return FORMS[form]
    breaks = re.fullmatch(r"BNSL([1-9])", form)
    if breaks:
        return broken_power_law(int(breaks[1]))
    raise SonoscaleError(f"no form of a law is called {form!r}; there are: {', '.join(FORMS)}")
