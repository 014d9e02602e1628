"""The pages of the documentation do what they say: every block of code on them is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for folder in ("howto", "extend") for p in (ROOT / "docs" / folder).glob("*.md"))
NEEDS = {"checkpoint": ("transformers", "torch"), "encoder": ("torch",), "pretrain": ("torch",)}

_spec = importlib.util.spec_from_file_location("run_page", ROOT / "docs" / "run_page.py")
assert _spec is not None
assert _spec.loader is not None
run_page = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run_page)


@pytest.mark.e2e
@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "start.md"], ids=lambda p: p.stem)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    for module in NEEDS.get(page.stem, ()):
        pytest.importorskip(module)
    run_page.run_page(page, tmp_path)


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
