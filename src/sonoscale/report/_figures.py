"""The figures and tables of a study for a paper, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sonoscale import __version__
from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.extras import need
from sonoscale.files import write_bytes, write_text
from sonoscale.report._load import load_study
from sonoscale.report._methods import REFERENCES, methods_text
from sonoscale.report._tables import Table
from sonoscale.report._theme import STYLES
from sonoscale.results import Result

__all__ = ["Figures", "figures", "latex", "markdown"]

KINDS = (".pdf", ".svg", ".png")


@dataclass(frozen=True, repr=False, eq=False)
class Figures(Result):
    """Where figures and tables were written.

    Attributes:
        folder: that holds them.
        style: in which they are drawn.
        files: all of them.
        left_out: name of a figure or table that is empty -> why.
    """

    folder: Path
    style: str
    files: tuple[Path, ...]
    left_out: dict[str, str]

    @property
    def headline(self) -> str:
        """How many files, and where."""
        return f"{len(self.files)} files in {self.folder}, style {self.style}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per file."""
        return [{"file": str(path), "kind": path.suffix[1:], "bytes": path.stat().st_size} for path in self.files]

    def as_dict(self) -> dict[str, Any]:
        """The folder, the style, the files, and what is not among them."""
        return {"folder": self.folder, "style": self.style, "files": list(self.files), "left_out": self.left_out}


@in_one_line
def figures(
    folder: str | PathLike[str], *, style: str = "paper", out: str | PathLike[str] | None = None,
    kinds: Sequence[str] = ("pdf", "svg"), flops: float | None = None,
) -> Figures:  # fmt: skip
    """Write the figures of a finished study in the widths of a paper's columns, and its tables in LaTeX and Markdown.

    Figures of one chart are as wide as one column of text, those of several as wide as the page. Tables in LaTeX are
    for the package booktabs. `methods.md` is a draft of the methods section, of what the study's files say, with the
    command, the versions and the ledger's SHA-256; `references.bib` is what it cites.

    Arguments:
        folder: the folder of the study.
        style: `paper` (serif, 8 points, columns of 3.33 and 7 inches), `slides` or `page`.
        out: the folder to write into; None: `figures-STYLE` in that of the study.
        kinds: of files: pdf, svg, png.
        flops: the budget of the plan in them; None: ten times the most expensive run.

    Returns:
        The `Figures`.

    Raises:
        SonoscaleError: no finished study, no such style or kind, or a folder that cannot be written.

    Example:
        >>> figures("results/quickstart").files[0].name  # doctest: +SKIP
        'quality.pdf'
    """
    check_arguments(figures, locals())
    if style not in STYLES:
        raise SonoscaleError(f"style must be one of {', '.join(STYLES)}, not {style!r}")
    endings = [f".{kind.removeprefix('.')}" for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    for ending in endings:
        if ending not in KINDS:
            raise SonoscaleError(f"kinds must be of pdf, svg and png, not {ending[1:]!r}")
    need("altair", what="figures")
    need("vl_convert", what="figures")
    from sonoscale.report._figure import draw
    from sonoscale.report._planned import plan_study
    from sonoscale.report._study_page import study_figures, study_tables

    results = load_study(Path(folder))
    where = Path(folder) / f"figures-{style}" if out is None else Path(out)
    files: list[Path] = []
    left_out: dict[str, str] = {}
    try:
        for name, figure in study_figures(results, plan_study(results, flops)).items():
            if figure.empty:
                left_out[name] = next((panel.note for panel in figure.panels if panel.note), "nothing to draw")
                continue
            for ending in endings:
                write_bytes(where / f"{name}{ending}", draw(figure, ending, style=style))  # type: ignore[arg-type]
                files.append(where / f"{name}{ending}")
        for name, table in study_tables(results).items():
            if not table.rows:
                left_out[f"table {name}"] = table.empty
                continue
            for ending, text in ((".tex", latex(table)), (".md", markdown(table))):
                write_text(where / f"table-{name}{ending}", text)
                files.append(where / f"table-{name}{ending}")
        for name, text in (
            ("methods.md", methods_text(results)), ("references.bib", REFERENCES.replace("VERSION", __version__)),
        ):  # fmt: skip
            write_text(where / name, text)
            files.append(where / name)
    except OSError as error:
        raise SonoscaleError(f"cannot write figures into {where}: {error}") from error
    return Figures(where, style, tuple(files), left_out)


def latex(table: Table) -> str:
    """A table in LaTeX, for the package booktabs.

    Example:
        >>> from sonoscale.report._tables import Cell, Column, Table
        >>> print(latex(Table("", (Column("a_b"),), ((Cell("−1.5%", -1.5),),))))
        \\begin{tabular}{r}
        \\toprule
        a\\_b \\\\
        \\midrule
        $-$1.5\\% \\\\
        \\bottomrule
        \\end{tabular}
        <BLANKLINE>
    """
    lines = [[column.head for column in table.columns]]
    lines += [
        [f"\\textbf{{{_safe(cell.text)}}}" if cell.strong else _safe(cell.text) for cell in row] for row in table.rows
    ]
    body = [" & ".join(cells) + " \\\\" for cells in ([_safe(cell) for cell in lines[0]], *lines[1:])]
    kinds = "".join("r" if column.numeric else "l" for column in table.columns)
    parts = [
        f"\\begin{{tabular}}{{{kinds}}}",
        "\\toprule",
        body[0],
        "\\midrule",
        *body[1:],
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(parts) + "\n"


def markdown(table: Table) -> str:
    """A table in Markdown.

    Example:
        >>> from sonoscale.report._tables import Cell, Column, Table
        >>> print(markdown(Table("", (Column("x", numeric=False), Column("y")), ((Cell("a|b", "a|b"), Cell("1", 1)),))))
        | x | y |
        |---|--:|
        | a\\|b | 1 |
        <BLANKLINE>
    """

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rules = "|" + "|".join("--:" if column.numeric else "---" for column in table.columns) + "|"
    rows = [[f"**{cell.text}**" if cell.strong and cell.text else cell.text for cell in row] for row in table.rows]
    return "\n".join([line([column.head for column in table.columns]), rules, *map(line, rows)]) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--",
    "²": "$^2$", "×": r"$\times$", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
}  # fmt: skip


def _safe(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
