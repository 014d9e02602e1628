"""Tests that the page of requests names are there, and so are the pages of the index."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_test_that_shows_an_answer_is_there():
    rows = [line for line in (ROOT / "docs" / "requests.md").read_text().splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 9
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, test in named:
            text = (ROOT / file).read_text()
            assert re.search(rf"^def {test}\(" if test else r"^def test_", text, re.MULTILINE), (file, test)


def test_the_page_at_scale_has_figures():
    text = (ROOT / "docs" / "scale.md").read_text()
    assert "| what | time | processor time | memory |" in text
