"""Waveform -> embedding: our own backbones, and the protocol that every encoder follows."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.encoders._audio_encoder import AudioEncoder
    from sonoscale.encoders._backbone import make_backbone
    from sonoscale.encoders._checked import CheckedEncoder
    from sonoscale.encoders._checkpoint import checkpoint_content, checkpoint_encoder, checkpoint_path
    from sonoscale.encoders._config import EncoderConfig
    from sonoscale.encoders._cost import block_flops, block_params, encoder_flops, encoder_params, linear_params
    from sonoscale.encoders._device import find_device
    from sonoscale.encoders._extract import embed_store, read_store
    from sonoscale.encoders._initial import own_encoder
    from sonoscale.encoders._load import load_encoder
    from sonoscale.encoders._pool import pool, pool_dim
    from sonoscale.encoders._positions import sincos_positions
    from sonoscale.encoders._protocol import Encoder
    from sonoscale.encoders._readout import READOUTS, Readout, ReadoutEncoder, check_readout, readout, with_readouts
    from sonoscale.encoders._vit import Block, gather_rows, init_weights, patchify

__all__ = [
    "READOUTS",
    "AudioEncoder",
    "Encoder",
    "EncoderConfig",
    "encoder_flops",
    "encoder_params",
    "load_encoder",
    "make_backbone",
]

__getattr__ = lazy(__name__)
