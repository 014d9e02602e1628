"""The house stands: a floor imports only the floors before it."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sonoscale

SOURCE = Path(sonoscale.__file__).parent
FLOORS = ["audio", "corpora", "encoders", "measure", "pretrain", "probe", "study", "report", "export", "cli"]
ALONE = ["rank", "laws"]  # import no floor, and any floor may import them
COUNTED = "laws/plan/_base_costs.py"  # the one file of `laws` that may reach above: exact costs, inside one function
GROUND = {
    "_callable", "_figure", "_lazy", "_streams", "_text", "_yaml", "arguments", "claims", "config", "digests", "errors",
    "extras", "files", "memory", "own_code", "processes", "provenance", "results", "__version__",
}  # fmt: skip


def imported_floors(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "sonoscale" else {module}
    return {name.split(".")[1] for name in names if name.startswith("sonoscale.")} - GROUND


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.relative_to(SOURCE).as_posix())
def test_imports_only_floors_before(file: Path):
    floor = file.relative_to(SOURCE).parts[0]
    found = imported_floors(file)
    if file == SOURCE / "__init__.py":
        return  # offers the verbs of all floors, each imported when it is first used
    if floor == "__main__.py":
        floor = "cli"
    if floor in ALONE:
        allowed = {floor} | ({"pretrain"} if file == SOURCE / COUNTED else set())
    elif floor in FLOORS:
        allowed = set(FLOORS[: FLOORS.index(floor) + 1]) | set(ALONE)
    else:
        allowed = set()
    assert found <= allowed, f"{file.name} imports {sorted(found - allowed)}"


def test_every_folder_is_a_known_floor():
    folders = {f.name for f in SOURCE.iterdir() if (f / "__init__.py").is_file()}
    assert folders == {*FLOORS, *ALONE}


@pytest.mark.parametrize("floor", ALONE)
def test_rank_and_laws_need_neither_audio_nor_torch(floor: str):
    code = f"import sys, sonoscale.{floor}; print([m for m in ('torch', 'soundfile', 'soxr') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_command_starts_without_torch():
    code = "import sys, sonoscale.cli.main; print([m for m in ('torch', 'matplotlib', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


LAZY = [p for p in sorted(SOURCE.rglob("__init__.py")) if "lazy(__name__)" in p.read_text()]


@pytest.mark.parametrize("file", LAZY, ids=lambda f: f.parent.relative_to(SOURCE).as_posix())
def test_a_lazy_floor_has_all_the_names_that_it_offers(file: Path):
    floor = importlib.import_module(".".join(("sonoscale", *file.parent.relative_to(SOURCE).parts)))
    assert all(getattr(floor, name, None) is not None for name in floor.__all__)
    assert dir(floor) == sorted(floor.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = floor.no_such_name


@pytest.mark.parametrize("file", sorted(SOURCE.glob("*/**/__init__.py")), ids=lambda f: f.parent.name)
def test_a_floor_holds_no_name_that_it_neither_offers_nor_another_module_needs(file: Path):
    floor = ".".join(("sonoscale", *file.parent.relative_to(SOURCE).parts))
    held = {name for module, name in imported_names(file) if module.startswith(f"{floor}.")}
    needed = {name for module, name in IMPORTED if module == floor}
    assert held - needed <= set(getattr(importlib.import_module(floor), "__all__", held))


def imported_names(file: Path) -> set[tuple[str, str]]:
    """`from module import name` anywhere in a file."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "", alias.name) for node in nodes for alias in node.names}


ROOT = Path(__file__).parents[1]
IMPORTED = set[tuple[str, str]]().union(
    *(imported_names(file) for part in ("src", "tests", "benchmarks", "docs") for file in (ROOT / part).rglob("*.py"))
)
