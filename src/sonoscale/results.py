"""What every verb returns has the same ways out: a sentence, a table, JSON, a data frame, a figure."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from sonoscale._text import encodable

__all__ = ["Result"]

_ROWS_SHOWN = 20


def plain(value: Any) -> Any:
    """A value as JSON can hold it: None for what is not finite, lists for arrays, mappings for dataclasses.

    A class with an `as_dict` method says for itself what it is in JSON.
    """
    if isinstance(value, str):
        return encodable(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {encodable(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(listed := getattr(value, "tolist", None)):  # arrays and scalars of NumPy and torch
        return plain(listed())
    return encodable(str(value)) if isinstance(value, PathLike) else value


class Result:
    """Base of what the verbs return. A subclass says `headline`, `rows` and `as_dict`.

    Declare dataclasses that derive from it with `repr=False`: the text of a result is its headline and its table.
    """

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """The main table, one mapping of column to value per row."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, None for what is not finite."""
        raise NotImplementedError

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Everything as JSON text; also written to `path`, if one is given, atomically."""
        from sonoscale.files import write_text

        text = json.dumps(plain(self.as_dict()), indent=1, allow_nan=False)
        if path is not None:
            write_text(Path(path), text)
        return text

    def to_frame(self) -> Any:
        """The main table as a pandas data frame.

        Raises:
            SonoscaleError: pandas is not installed.
        """
        from sonoscale.extras import need

        return need("pandas", what="a data frame").DataFrame(self.rows())

    def to_figure(self, path: str | PathLike[str]) -> None:
        """Draw the result, as `plot` does, into a .png, .pdf or .svg file, atomically.

        Raises:
            SonoscaleError: this result has no figure; another ending; matplotlib is not installed.
        """
        from sonoscale._figure import write_plot

        write_plot(self, Path(path))

    def __repr__(self) -> str:
        rows = self.rows()
        if not rows:
            return self.headline
        names = _names(rows)
        cells = [[_cell(row.get(name)) for name in names] for row in rows[:_ROWS_SHOWN]]
        widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(names)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [names, *cells]
        ]
        more = [f"... and {len(rows) - _ROWS_SHOWN} more rows"] if len(rows) > _ROWS_SHOWN else []
        return "\n".join([self.headline, "", *lines, *more])

    def _repr_html_(self) -> str:
        rows = self.rows()
        names = _names(rows)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_cell(row.get(name)))}</td>" for name in names) + "</tr>"
            for row in rows[:_ROWS_SHOWN]
        )
        more = f"<p>and {len(rows) - _ROWS_SHOWN} more rows</p>" if len(rows) > _ROWS_SHOWN else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}" if rows else ""
        return f"<p><b>{html.escape(self.headline)}</b></p>{table}"


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
