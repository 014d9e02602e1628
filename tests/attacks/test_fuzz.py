"""Every reader answers damaged and forged files with the right numbers or with one line."""

import pytest

import fuzz


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
