"""File or array -> waveform -> log-mel. Knows nothing of models or corpora."""

from typing import TYPE_CHECKING

from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.audio._config import LogMelConfig
    from sonoscale.audio._logmel import LogMel, mel_filterbank
    from sonoscale.audio._read import AUDIO_SUFFIXES, read_audio

__all__ = ["LogMel", "LogMelConfig", "mel_filterbank", "read_audio"]

__getattr__ = lazy(__name__)
