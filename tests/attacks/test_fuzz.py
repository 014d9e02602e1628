"""Every reader answers damaged and forged files with the right numbers or with one line."""

import json
from pathlib import Path

import pytest

import fuzz
import kill
import page


def check(name: str, cases: int, seed: int) -> None:
    tally = fuzz.attacked_apart(name, cases, seed)
    assert not tally.failed, "\n".join(tally.failed[:10])
    assert tally.right + tally.refused == cases
    assert tally.refused or name == "stores of digests"  # the damage is not harmless
    assert tally.megabytes < 1024


@pytest.mark.parametrize("name", ["log-mel caches", "packs", "archives", "embeddings", "checkpoints", "run records"])
def test_some(name):
    check(name, 30, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.READERS)
def test_many(name):
    check(name, 500, seed=0)


def test_the_page_says_what_was_counted():
    counts, before = (json.loads(file.read_text()) for file in (page.COUNTS, page.BEFORE))
    written = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for made in (page.by_kind(counts, before), page.by_reader(counts), page.by_command(counts)):
        assert made in written
    assert set(counts["readers"]) == set(fuzz.READERS)
    assert set(counts["commands"]) == set(kill.KINDS)
    assert not [one for kind in counts.values() for one in kind.values() if one["failed"]]
