"""Waveform -> embedding: our own backbone, and the protocol that every encoder follows."""

from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._checked import CheckedEncoder
from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._extract import embed_store
from sonoscale.encoders._load import load_encoder
from sonoscale.encoders._positions import sincos_positions
from sonoscale.encoders._protocol import Encoder
from sonoscale.encoders._vit import Block, PatchViT, init_weights, patchify

__all__ = [
    "AudioEncoder",
    "Block",
    "CheckedEncoder",
    "Encoder",
    "EncoderConfig",
    "PatchViT",
    "embed_store",
    "init_weights",
    "load_encoder",
    "patchify",
    "sincos_positions",
]
