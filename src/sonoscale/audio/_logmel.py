"""The log-mel front end, a torch module so that it can travel inside a model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sonoscale.audio._config import LogMelConfig
from sonoscale.errors import SonoscaleError


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangular mel filters, Slaney's scale and area normalisation (Slaney, Auditory Toolbox, 1998).

    Arguments:
        sample_rate: Hz.
        n_fft: FFT length in samples.
        n_mels: number of filters between 0 Hz and `sample_rate / 2`.

    Returns:
        float64 `[n_mels, n_fft // 2 + 1]`, each row with unit area in Hz.

    Example:
        >>> mel_filterbank(16_000, n_fft=512, n_mels=40).shape
        (40, 257)
    """
    linear_step, log_start, log_step = 200 / 3, 1000.0, np.log(6.4) / 27  # linear below 1 kHz, log above

    def to_hz(mel: np.ndarray) -> np.ndarray:
        knee = log_start / linear_step
        return np.where(mel < knee, mel * linear_step, log_start * np.exp(log_step * (mel - knee)))

    nyquist = sample_rate / 2
    top = (
        nyquist / linear_step
        if nyquist < log_start
        else log_start / linear_step + np.log(nyquist / log_start) / log_step
    )
    edges = to_hz(np.linspace(0.0, top, n_mels + 2))  # [n_mels + 2] Hz
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft  # [bins] Hz
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rise, fall))
    return triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]


class LogMel(nn.Module):
    """Waveform to natural-log mel power spectrogram.

    Only whole frames are made (no padding at the edges), so a frame never mixes audio with padding and the
    frames of a clip do not depend on what follows it in a batch. The log is `ln(power + 1e-8)`: the floor lies
    just above the quantisation noise of 16-bit audio.

    Agrees with `librosa.feature.melspectrogram(..., center=False, window="hann")` to 1e-4 after the log.
    """

    FLOOR = 1e-8
    filters: Tensor

    def __init__(self, config: LogMelConfig | None = None) -> None:
        super().__init__()
        self.config = config or LogMelConfig()
        c = self.config
        pad = c.n_fft - c.window
        window = torch.hann_window(c.window, dtype=torch.float64, device="cpu")
        self._window = torch.nn.functional.pad(window, (pad // 2, pad - pad // 2))  # [n_fft]
        self._placed = self._window  # where it was last needed: to copy it there every time would wait for a GPU
        filters = torch.from_numpy(mel_filterbank(c.sample_rate, c.n_fft, c.n_mels)).float()
        self.register_buffer("filters", filters, persistent=False)  # [mels, bins]

    def forward(self, wave: Tensor) -> Tensor:
        """float32 `[batch, samples]` -> float32 `[batch, mels, frames]`.

        Raises:
            SonoscaleError: the clip is shorter than one window.
        """
        c = self.config
        if wave.ndim != 2:
            raise SonoscaleError(f"a batch of waveforms must be [batch, samples], not {list(wave.shape)}")
        if wave.shape[-1] < c.n_fft:
            raise SonoscaleError(
                f"a clip of {wave.shape[-1]} samples is shorter than one analysis window "
                f"({c.n_fft} samples, {1000 * c.n_fft / c.sample_rate:.0f} ms)"
            )
        # In float64, where the device has it: rounding leaks from strong bins into weak ones 70 dB below.
        dtype = torch.float32 if wave.device.type == "mps" else torch.float64
        window = self._placed if self._placed.device == wave.device else self._window.to(wave.device, dtype)
        self._placed = window
        frames = wave.to(dtype).unfold(-1, c.n_fft, c.hop) * window  # [B, T, n_fft]
        spectrum = torch.view_as_real(torch.fft.rfft(frames))  # [B, T, bins, 2]
        power = spectrum.square().sum(-1).float()  # [B, T, bins]
        mel = torch.matmul(power, self.filters.T)  # [B, T, mels]
        return torch.log(mel + self.FLOOR).transpose(1, 2)
