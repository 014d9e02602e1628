"""Every reader of audio, corpora and embeddings answers damaged and forged files with the right numbers or one line."""

import importlib.util
import sys
from pathlib import Path

import pytest

_file = Path(__file__).with_name("fuzz_data.py")
_spec = importlib.util.spec_from_file_location("fuzz_data", _file)
assert _spec is not None
assert _spec.loader is not None
fuzz = importlib.util.module_from_spec(_spec)
sys.modules["fuzz_data"] = fuzz
_spec.loader.exec_module(fuzz)


def check(name: str, cases: int, seed: int) -> None:
    tally = fuzz.attacked_apart(name, cases, seed)
    assert not tally.failed, "\n".join(tally.failed[:10])
    assert tally.right + tally.refused == cases
    assert tally.refused or name == "stores of digests"  # the damage is not harmless
    assert tally.megabytes < 1024


@pytest.mark.parametrize("name", ["log-mel caches", "packs", "archives", "embeddings"])
def test_some(name):
    check(name, 30, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.READERS)
def test_many(name):
    check(name, 500, seed=0)
