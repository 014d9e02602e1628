"""docs/api.md lists what the modules offer, and each name is described."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "api.py"
spec = importlib.util.spec_from_file_location("api_page", SCRIPT)
assert spec
assert spec.loader
api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)


@pytest.mark.parametrize("module", api.MODULES)
def test_the_page_lists_what_the_code_offers(module):
    section = api.section(module)
    assert not [line for line in section.splitlines() if line.endswith("` |  |")], "no docstring"
    assert section in api.PAGE.read_text(), "run: make docs"
