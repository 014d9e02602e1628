"""A trained encoder -> HEAR module, X-ARES encoder, MTEB model, Hugging Face folder, ONNX file."""

from sonoscale.export._export import FORMATS, Exported, Format, export_encoder
from sonoscale.export._hear import write_hear
from sonoscale.export._hf import write_hf
from sonoscale.export._mteb import write_mteb
from sonoscale.export._onnx import write_onnx
from sonoscale.export._source import TrainedEncoder, read_trained
from sonoscale.export._standalone import standalone
from sonoscale.export._xares import write_xares

__all__ = [
    "FORMATS",
    "Exported",
    "Format",
    "TrainedEncoder",
    "export_encoder",
    "read_trained",
    "standalone",
    "write_hear",
    "write_hf",
    "write_mteb",
    "write_onnx",
    "write_xares",
]
