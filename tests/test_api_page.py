"""docs/api.md lists what the modules offer; each name is described, each function with an example."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import sonoscale

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


FUNCTIONS = {
    function.__module__ + "." + function.__name__: function
    for module in map(importlib.import_module, api.MODULES)
    for function in (getattr(module, name) for name in module.__all__ if not name.startswith("_"))
    if inspect.isroutine(function)
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_what_it_takes_and_gives_and_shows_it(name):
    function = FUNCTIONS[name]
    signature = inspect.signature(function)
    docstring = inspect.getdoc(function) or ""
    sections = re.findall(r"^(\w+):$", docstring, re.MULTILINE)
    wanted = {"Example"} | ({"Arguments"} if signature.parameters else set())
    if signature.return_annotation != "None":
        wanted.add("Returns")
    assert wanted <= set(sections)
    assert ">>> " in docstring


DIALECT = r"^ *(Args|Parameters|Params|Return|Yield|Examples|Notes?|Usage):$|^ *:(param|returns?|raises)\b|^ *-{4,}$"


def test_docstrings_have_one_dialect():
    files = Path(sonoscale.__file__).parent.rglob("*.py")
    assert not [file for file in files if re.search(DIALECT, file.read_text(), re.MULTILINE)]
