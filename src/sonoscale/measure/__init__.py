"""Any encoder on any audio, or embeddings in files -> effective ranks, at the speed of the encoder.

`sonoscale.measure(...)` is the verb; what needs torch or audio is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sonoscale._callable import make_callable
from sonoscale.measure._measure import measure
from sonoscale.measure._measured import Measured, MeasuredDifference, Measurement

if TYPE_CHECKING:
    from sonoscale.measure._embed import Embedded, embed_corpus
    from sonoscale.measure._embed import readable_clips as readable_clips
    from sonoscale.measure._encoder import measure_encoder
    from sonoscale.measure._forward import need_layers as need_layers
    from sonoscale.measure._save import EmbeddingWriter
    from sonoscale.measure._sketches import Pass

_WHERE = {
    "Embedded": "_embed",
    "EmbeddingWriter": "_save",
    "Pass": "_sketches",
    "embed_corpus": "_embed",
    "measure_encoder": "_encoder",
    "need_layers": "_forward",  # for other floors, as the next
    "readable_clips": "_embed",
}

__all__ = [
    "Embedded",
    "EmbeddingWriter",
    "Measured",
    "MeasuredDifference",
    "Measurement",
    "Pass",
    "embed_corpus",
    "measure",
    "measure_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


make_callable(__name__)
