"""A model file for MTEB."""

from __future__ import annotations

from pathlib import Path

import torch

from sonoscale.export._card import card
from sonoscale.export._code import mteb_model
from sonoscale.export._source import TrainedEncoder
from sonoscale.export._standalone import standalone

_USE = """`{name}.py` is a model for [MTEB](https://github.com/embeddings-benchmark/mteb); it needs PyTorch, NumPy and
mteb, and soxr for audio of other rates than {rate} Hz. It reads its weights from `{name}.pt` beside it.

```python
import mteb
from {name} import load_model  # from this folder

mteb.evaluate(load_model(), tasks)
```

Pass the model, not its metadata: MTEB asks for torchaudio before it loads a model of audio by its metadata."""


def write_mteb(trained: TrainedEncoder, folder: Path) -> str:
    """Write `sonoscale_mteb_<hash>.py`, its weights beside it, and `README.md`.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        name of the .py file.
    """
    name = f"sonoscale_mteb_{trained.hash}"
    constants = {"CONFIG": trained.shape, "WEIGHTS": f"{name}.pt", "HASH": trained.hash}
    (folder / f"{name}.py").write_text(standalone(mteb_model, constants=constants), encoding="utf-8")
    torch.save(trained.state, folder / f"{name}.pt")
    use = _USE.format(name=name, rate=trained.encoder.sample_rate)
    text = card(trained, title=f"Sonoscale encoder {trained.hash} for MTEB", use=use)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return f"{name}.py"
