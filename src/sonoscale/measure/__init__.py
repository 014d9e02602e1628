"""Any encoder on any audio -> effective ranks, at the speed of the encoder."""

from sonoscale.measure._compare import compare_encoders, every_estimator, write_encoders
from sonoscale.measure._measure import Measurement, check_broken, identity_of, measure_encoder
from sonoscale.measure._ray import ray_sketcher
from sonoscale.measure._save import EmbeddingWriter
from sonoscale.measure._sketches import Pass, Sketches, block_of_each, sketch_clips

__all__ = [
    "EmbeddingWriter",
    "Measurement",
    "Pass",
    "Sketches",
    "block_of_each",
    "check_broken",
    "compare_encoders",
    "every_estimator",
    "identity_of",
    "measure_encoder",
    "ray_sketcher",
    "sketch_clips",
    "write_encoders",
]
