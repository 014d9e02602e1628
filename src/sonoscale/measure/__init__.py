"""Any encoder on any audio, or embeddings in files -> effective ranks, at the speed of the encoder.

`sonoscale.measure(...)` is the verb; what needs torch or audio is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.measure._embed import Embedded, embed_corpus, readable_clips
    from sonoscale.measure._encoder import measure_encoder
    from sonoscale.measure._forward import need_layers
    from sonoscale.measure._measure import measure
    from sonoscale.measure._measured import Measured, MeasuredDifference, Measurement
    from sonoscale.measure._save import EmbeddingWriter
    from sonoscale.measure._sketches import Pass

__all__ = [
    "Embedded",
    "Measured",
    "MeasuredDifference",
    "Measurement",
    "Pass",
    "embed_corpus",
    "measure",
    "measure_encoder",
]

__getattr__ = lazy(__name__)
make_callable(__name__)
