"""A trained encoder -> HEAR module, X-ARES encoder, MTEB model, Hugging Face folder, ONNX file."""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.export._export import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]

__getattr__ = lazy(__name__)
make_callable(__name__)
