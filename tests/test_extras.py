"""Optional packages: one line says which extra brings them, and pyproject.toml has each extra that is named."""

import sys
import tomllib
from pathlib import Path

import pytest

from sonoscale import SonoscaleError
from sonoscale.extras import EXTRAS, available, missing, need

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_a_package_that_is_there_is_imported():
    assert need("json") is sys.modules["json"]
    assert need("os.path", what="paths").join("a", "b") == "a/b"


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    with pytest.raises(SonoscaleError) as caught:
        need("h5py", what="reading HDF5")
    said, _, other = str(caught.value).partition(", or of this checkout: ")
    assert said == "reading HDF5 needs h5py: pip install 'sonoscale[hdf5]'"
    assert not other or other.endswith("[hdf5]'")


def test_a_package_that_fails_to_load_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_one.py").write_text("raise OSError('libbroken.so.1: cannot open\\nshared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SonoscaleError, match=r"^this needs broken_one: pip install broken-one \(importing .*libbroken"):
        need("broken_one")


def test_a_folder_of_the_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "results_of_mlflow").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not available("results_of_mlflow")
    with pytest.raises(SonoscaleError, match=r"needs results_of_mlflow: pip install 'sonoscale\[mlflow\]'"):
        need("results_of_mlflow", extra="mlflow")


def test_only_imports_of_optional_packages_become_errors_for_the_user():
    found = missing(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert "pip install 'sonoscale[train]'" in str(found)
    assert missing(ModuleNotFoundError("No module named 'sonoscale.audoi'", name="sonoscale.audoi")) is None
    assert missing(ImportError("cannot import name 'x'", name="torch")) is None


def test_each_extra_that_a_message_names_can_be_installed():
    assert set(EXTRAS) <= set(PROJECT["optional-dependencies"])
