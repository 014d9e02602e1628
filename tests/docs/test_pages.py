"""The pages of the documentation do what they say: every block of code on them is run."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from page_commands import page_commands

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for folder in ("howto", "extend") for p in (ROOT / "docs" / folder).glob("*.md"))
sys.path.insert(0, str(ROOT / "docs" / "generate"))
MADE = {"reference", "project"}  # by the site
WRITTEN = [p for p in (ROOT / "docs").glob("**/*.md") if p.relative_to(ROOT / "docs").parts[0] not in MADE]
NEEDS = {
    "checkpoint": ("transformers", "torch"),
    "cluster": ("torch", "submitit"),
    **dict.fromkeys(("encoder", "executor", "paper", "pretrain", "protocol", "task"), ("torch",)),
}

_spec = importlib.util.spec_from_file_location("run_page", ROOT / "docs" / "run_page.py")
assert _spec is not None
assert _spec.loader is not None
run_page = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run_page)


@pytest.mark.e2e
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_runs(page: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for module in NEEDS.get(page.stem, ()):
        pytest.importorskip(module)
    with page_commands(tmp_path_factory.mktemp("commands")) as commands:
        run_page.run_page(page, tmp_path, commands)


@pytest.mark.e2e
def test_a_fresh_reader_comes_from_the_readme_to_a_study_of_audio_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    first = re.search(r"\]\((docs/[\w/.-]+)\)", (ROOT / "README.md").read_text().partition("**Documentation.**")[2])
    assert first
    run_page.run_page(ROOT / first[1], tmp_path)
    assert {"report.html", "ledger.parquet", "laws.json"} <= {p.name for p in (tmp_path / "results" / "mine").iterdir()}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(WRITTEN)], ids=lambda p: p.stem)
def test_links_lead_to_files_and_headings_that_there_are(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([^)\s]+))?\)", page.read_text()):
        made = (page.parent / target).resolve() if target else page
        if not target or made.is_relative_to(ROOT / "docs" / "reference"):
            continue  # made of the code when the site is built, which checks them
        assert made.exists(), f"{page.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", made.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, anchor


def test_examples_of_how_to_extend_are_short() -> None:
    for page in (ROOT / "docs" / "extend").glob("*.md"):
        code = [text for language, text in run_page.blocks(page.read_text()) if language == "python"]
        assert max(len(text.splitlines()) for text in code) < 40, page.name


def test_the_gallery_shows_each_report_by_its_command() -> None:
    gallery = importlib.import_module("reports")
    assert (ROOT / "docs" / "gallery.md").read_text() == gallery.gallery(), "run: make picture"
    pictures = list((ROOT / "docs" / "gallery").glob("*.png"))
    assert {p.stem for p in pictures} <= {report.name for report in gallery.reports()}
    assert max(p.stat().st_size for p in pictures) < 150_000


def test_a_block_that_fails_is_shown(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\necho before\nfalse\n```\n")
    with pytest.raises(RuntimeError, match="this block fails:\necho before\nfalse"):
        run_page.run_page(page, tmp_path)


def test_blocks_in_comments_and_of_other_languages_are_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!--\n```bash\nfalse\n```\n-->\n```text\nfalse\n```\n```python\nprint('run')\n```\n")
    run_page.run_page(page, tmp_path)
    assert [language for language, _ in run_page.blocks(page.read_text())] == ["text", "python"]
