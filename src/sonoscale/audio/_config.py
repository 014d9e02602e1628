"""Settings of the log-mel front end, without what computes it."""

from __future__ import annotations

from pydantic import Field

from sonoscale.config import Config


class LogMelConfig(Config):
    """Settings of the front end."""

    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)  # Hz
    n_mels: int = Field(default=64, ge=8, le=256)  # mel bands from 0 Hz to sample_rate / 2
    window_ms: float = Field(default=25.0, gt=0, le=200)  # length of the Hann window
    hop_ms: float = Field(default=10.0, gt=0, le=100)  # step between frames

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Hop in samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    @property
    def n_fft(self) -> int:
        """FFT length in samples: the power of two at or above the window."""
        return 1 << (self.window - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Number of whole frames in a waveform of `samples` samples."""
        return max(0, 1 + (samples - self.n_fft) // self.hop)

    def samples(self, frames: int) -> int:
        """Number of samples that `frames` whole frames need."""
        return self.n_fft + (frames - 1) * self.hop if frames > 0 else 0
