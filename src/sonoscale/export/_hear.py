"""A package for HEAR (Holistic Evaluation of Audio Representations)."""

from __future__ import annotations

from pathlib import Path

import torch

from sonoscale import __version__
from sonoscale.export._card import card
from sonoscale.export._code import hear
from sonoscale.export._source import TrainedEncoder
from sonoscale.export._standalone import standalone

_PYPROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "A Sonoscale encoder as a HEAR module."
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["torch>=2.6", "numpy>=1.26"]

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

_USE = """A package with the [HEAR API](https://hearbenchmark.com/hear-api.html); it needs PyTorch and NumPy only.

```
pip install .
hear-validator {module}
python -m heareval.embeddings.runner {module} --tasks-dir tasks
```

Scene embeddings are the mean over all patches; of clips over 30 s, heard in pieces of 30 s. Timestamp embeddings come
every 50 ms or less, from copies of the clip that begin a part of a patch later, and stand at the centre of their patch.
Clips shorter than one patch are followed by silence."""


def write_hear(trained: TrainedEncoder, folder: Path) -> str:
    """Write a package that pip installs: `pyproject.toml`, `README.md` and the module with its weights.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        name of the module, `sonoscale_hear_<hash>`.
    """
    module = f"sonoscale_hear_{trained.hash}"
    package = folder / module
    package.mkdir()
    code = standalone(hear, constants={"CONFIG": trained.shape, "WEIGHTS": "weights.pt"})
    (package / "__init__.py").write_text(code, encoding="utf-8")
    torch.save(trained.state, package / "weights.pt")
    name = module.replace("_", "-")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(name=name, version=__version__, module=module))
    text = card(trained, title=f"Sonoscale encoder {trained.hash} for HEAR", use=_USE.format(module=module))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return module
