"""An encoder file for X-ARES."""

from __future__ import annotations

from pathlib import Path

import torch

from sonoscale.export._card import card
from sonoscale.export._code import xares
from sonoscale.export._source import TrainedEncoder
from sonoscale.export._standalone import standalone

_USE = """`{name}.py` holds one class for [X-ARES](https://github.com/jimbozhang/xares), which needs PyTorch and NumPy
only, and reads its weights from `{name}.pt` beside it: keep the two together.

```
python -m xares.run {name}.py TASK.py      # from this folder
```

A frame is one patch long, and none stems from padding alone. Clips over 30 s are heard in pieces of 30 s, whose frames
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
    """
    name = f"sonoscale_{trained.hash}"
    constants = {"CONFIG": trained.shape, "WEIGHTS": f"{name}.pt"}
    code = standalone(xares, constants=constants, rename={"SonoscaleEncoder": f"Sonoscale_{trained.hash}_Encoder"})
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    torch.save(trained.state, folder / f"{name}.pt")
    text = card(trained, title=f"Sonoscale encoder {trained.hash} for X-ARES", use=_USE.format(name=name))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return f"{name}.py"
