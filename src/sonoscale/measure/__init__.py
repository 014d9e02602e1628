"""Any encoder on any audio -> effective ranks, at the speed of the encoder."""

from sonoscale.measure._cluster import cluster_device
from sonoscale.measure._compare import compare_encoders, every_estimator, write_encoders
from sonoscale.measure._embed import Embedded, embed_corpus, readable_clips
from sonoscale.measure._facts import EncoderFacts, lengths_for_all
from sonoscale.measure._forward import need_layers
from sonoscale.measure._identity import identity_of
from sonoscale.measure._measure import Measurement, check_broken, measure_encoder
from sonoscale.measure._ray import ray_sketcher
from sonoscale.measure._save import EmbeddingWriter
from sonoscale.measure._sketches import Pass, Sketches, block_of_each, sketch_clips

__all__ = [
    "Embedded",
    "EmbeddingWriter",
    "EncoderFacts",
    "Measurement",
    "Pass",
    "Sketches",
    "block_of_each",
    "check_broken",
    "cluster_device",
    "compare_encoders",
    "embed_corpus",
    "every_estimator",
    "identity_of",
    "lengths_for_all",
    "measure_encoder",
    "need_layers",
    "ray_sketcher",
    "readable_clips",
    "sketch_clips",
    "write_encoders",
]
