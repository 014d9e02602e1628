"""Python modules of one encoder, which run without Sonoscale: for HEAR, X-ARES and MTEB."""

from __future__ import annotations

from pathlib import Path

import torch

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.export._card import card
from sonoscale.export._code import hear, mteb_model, xares
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

_HEAR_USE = """A package with the [HEAR API](https://hearbenchmark.com/hear-api.html); it needs PyTorch and NumPy only.

```
pip install .
hear-validator {module}
python -m heareval.embeddings.runner {module} --tasks-dir tasks
```

Scene embeddings are the readout `{readout}` of all patches; of clips over 30 s, taken in pieces of 30 s.
Timestamp embeddings come every 50 ms or less, from copies of the clip that begin a part of a patch later, and stand at
the centre of their patch. Clips shorter than one patch are followed by silence."""


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
    code = standalone(hear, constants={"CONFIG": trained.shape, "WEIGHTS": "weights.pt", "READOUT": trained.readout})
    (package / "__init__.py").write_text(code, encoding="utf-8")
    torch.save(trained.state, package / "weights.pt")
    name = module.replace("_", "-")
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(name=name, version=__version__, module=module))
    text = card(
        trained,
        title=f"Sonoscale encoder {trained.hash} for HEAR",
        use=_HEAR_USE.format(module=module, readout=trained.readout),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return module


_XARES_USE = """`{name}.py` holds one class for [X-ARES](https://github.com/jimbozhang/xares), which needs PyTorch and
NumPy only, and reads its weights from `{name}.pt` beside it: keep the two together.

```
python -m xares.run {name}.py TASK.py      # from this folder
```

A frame is one patch long, and none stems from padding alone. Clips over 30 s are taken in pieces of 30 s, whose frames
follow one another; clips shorter than one patch are followed by silence. X-ARES keeps embeddings by the name of the
class, which therefore ends with a hash of the weights and `Encoder`."""


def write_xares(trained: TrainedEncoder, folder: Path) -> str:
    """Write `sonoscale_<hash>.py`, its weights `sonoscale_<hash>.pt` and `README.md`.

    The weights lie beside the code and not in it: as text they would be a third larger, and a Python file of a
    hundred megabytes takes long to import and breaks editors.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        name of the .py file.

    Raises:
        SonoscaleError: the readout is none that a mean over frames can be.
    """
    name = f"sonoscale_{trained.hash}"
    if trained.readout.endswith("+std"):
        raise SonoscaleError(
            f"readout {trained.readout}: X-ARES takes the mean over frames, which holds no deviation; export it with "
            "mean or frequency"
        )
    constants = {"CONFIG": trained.shape, "WEIGHTS": f"{name}.pt", "READOUT": trained.readout}
    code = standalone(xares, constants=constants, rename={"SonoscaleEncoder": f"Sonoscale_{trained.hash}_Encoder"})
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    torch.save(trained.state, folder / f"{name}.pt")
    text = card(trained, title=f"Sonoscale encoder {trained.hash} for X-ARES", use=_XARES_USE.format(name=name))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return f"{name}.py"


_MTEB_USE = """`{name}.py` is a model for [MTEB](https://github.com/embeddings-benchmark/mteb); it needs PyTorch, NumPy
and mteb, and soxr for audio of other rates than {rate} Hz. It reads its weights from `{name}.pt` beside it.

```python
import mteb
from {name} import load_model  # from this folder

mteb.evaluate(load_model(), tasks)
```

Pass the model, not its metadata: given metadata alone, MTEB requires torchaudio before it loads an audio model."""


def write_mteb(trained: TrainedEncoder, folder: Path) -> str:
    """Write `sonoscale_mteb_<hash>.py`, its weights beside it, and `README.md`.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        name of the .py file.
    """
    name = f"sonoscale_mteb_{trained.hash}"
    constants = {"CONFIG": trained.shape, "WEIGHTS": f"{name}.pt", "HASH": trained.hash, "READOUT": trained.readout}
    (folder / f"{name}.py").write_text(standalone(mteb_model, constants=constants), encoding="utf-8")
    torch.save(trained.state, folder / f"{name}.pt")
    use = _MTEB_USE.format(name=name, rate=trained.encoder.sample_rate)
    text = card(trained, title=f"Sonoscale encoder {trained.hash} for MTEB", use=use)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return f"{name}.py"
