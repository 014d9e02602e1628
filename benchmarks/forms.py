"""The table of forms in `docs/laws.md`, from the forms themselves: `make docs` writes it anew."""

from __future__ import annotations

from pathlib import Path

from sonoscale.laws import FORMS

PAGE = Path(__file__).parent.parent / "docs" / "laws.md"
START, END = "<!-- forms: begin -->", "<!-- forms: end -->"


def main() -> None:
    """Write the table into the page."""
    lines = ["| form | formula | fitted to | for | source |", "|---|---|---|---|---|"]
    for form in FORMS.values():
        scale = "log y" if form.scale == "log" else "y"
        lines.append(f"| `{form.name}` | `{form.formula}` | {scale} | {form.doc} | {form.citation} |")
    before, rest = PAGE.read_text().split(START)
    PAGE.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
