"""The site: `make site` builds it into `site/`, with every warning an error and links checked."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "generate"))

project = "Sonoscale"
author = copyright = "The Sonoscale authors"  # noqa: A001 (the name that Sphinx reads)
extensions = ["myst_parser"]
myst_enable_extensions = ["attrs_block", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["generate"]
html_theme = "furo"
html_title = "Sonoscale"
html_copy_source = False
html_extra_path = ["reference/pages"]
(HERE / "reference" / "pages").mkdir(parents=True, exist_ok=True)  # filled below; a fresh checkout lacks it
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "studies/unify/FINDINGS.md": "project/unify.md",
    "studies/unify/REGISTRATION.md": "project/unify-registration.md",
}
"""Files of the repository that are pages of the site."""
_LINK = re.compile(r"\]\(((?:\.\./)*)([^)#\s:]+)(#[^)]*)?\)")


def _write_pages(*_: Any) -> None:
    """The pages that are made of the code and of files elsewhere; they are not kept in the repository."""
    cards = importlib.import_module("cards")
    for name, page in cards.PAGES.items():
        _write(HERE / "reference" / f"{name}.md", page())
    gallery = importlib.import_module("reports")
    _make_reports(gallery)
    for source, page in PAGES.items():
        _write(HERE / page, (ROOT / source).read_text())


def _make_reports(gallery: Any) -> None:
    """The pages of the gallery, `gallery/NAME.html` in the site; made anew where a ledger is newer."""
    pages = HERE / "reference" / "pages" / "gallery"
    newest = max(file.stat().st_mtime for file in map(gallery.ledger, gallery.STUDIES) if file.is_file())
    made = [pages / f"{report.name}.html" for report in gallery.reports()]
    if all(page.is_file() and page.stat().st_mtime > newest for page in made):
        return
    pages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        gallery.make_pages(Path(folder))
        for report, page in zip(gallery.reports(), made, strict=True):
            shutil.copyfile(Path(folder) / report.page, page)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def _links(app: Any, page: str, source: list[str]) -> None:
    """Links out of `docs/` lead to the page made of that file; a file that is no page is named, not linked.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = HERE / f"{page}.md"
    made = {HERE / kept: ROOT / name for name, kept in PAGES.items()}
    folder = made.get(path, path).parent

    def replaced(match: re.Match[str]) -> str:
        target = (folder / match[1] / match[2]).resolve()
        if target.is_relative_to(HERE) and folder == path.parent:
            return match[0]
        if not target.exists():
            raise FileNotFoundError(f"{page}: {match[1]}{match[2]} does not exist")
        if target.suffix == ".png":
            (path.parent / match[2]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, path.parent / match[2])
            return match[0]
        name = str(target.relative_to(ROOT))
        inside = PAGES.get(name, name.removeprefix("docs/") if name.startswith("docs/") else None)
        up = "../" * page.count("/")
        return f"]({up}{inside}{match[3] or ''})" if inside else "]"

    text = re.sub(r"\[([^\]]*)\](?!\()", r"[\1]", _LINK.sub(replaced, source[0]))
    source[0] = re.sub(r"<!-- page ([\w-]+) -->", r'<a href="gallery/\1.html">Open the page</a>', text)


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _links)
