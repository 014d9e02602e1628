"""What an encoder must beat: statistics of log-mels, and itself before any training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sonoscale.audio import LogMel, LogMelConfig
from sonoscale.encoders._adapter import Adapter
from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._foreign import query
from sonoscale.encoders._identity import identity
from sonoscale.encoders._own import OwnEncoder
from sonoscale.errors import SonoscaleError


class LogMelStatistics(Adapter):
    """`logmel` or `logmel:128`: mean and deviation over time of each log-mel band, 2 x 64 numbers by default.

    Its frames are the log-mels themselves, one token for all bands of a frame: so its readout `frequency` is the mean
    of each band, and `mean+std` and `frequency+std` are the statistics, as `mean` (what `embed` gives) is too.
    """

    def __init__(self, rest: str, spec: str, device: torch.device) -> None:
        bands = rest or "64"
        if not bands.isdigit() or not 8 <= int(bands) <= 256:
            raise SonoscaleError(f"{spec}: write logmel or logmel:BANDS, with 8 to 256 bands")
        config = LogMelConfig(n_mels=int(bands))
        self._front_end = LogMel(config).to(device)
        self.sample_rate, self.dim, self.min_samples = config.sample_rate, 2 * config.n_mels, config.n_fft
        self.frame_dim, self.frequency_patches = config.n_mels, 1
        self.identity = identity(spec, f"log-mel statistics, {config.n_mels} bands")

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        mels = self._log_mels(wave).transpose(1, 2)  # [B, T, M]
        config = self._front_end.config
        centres = config.n_fft / 2 + config.hop * torch.arange(mels.shape[1], dtype=torch.float64)
        return mels, (1000 / config.sample_rate * centres).float()

    def embed_tokens(self, wave: Tensor) -> Tensor:
        return self._log_mels(wave).transpose(1, 2)  # [B, T, M]

    def _log_mels(self, wave: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            return self._front_end(wave)  # [B, M, T]

    def embed(self, wave: Tensor) -> Tensor:
        return band_statistics(self._log_mels(wave))


def band_statistics(log_mels: Tensor) -> Tensor:
    """Mean and standard deviation over time of each band: `[B, mels, frames]` -> `[B, 2 * mels]`, in the same dtype."""
    return torch.cat([log_mels.mean(dim=2), log_mels.std(dim=2, correction=0)], dim=1)


def untrained(rest: str, spec: str, device: torch.device, *, load: Callable[[Path], AudioEncoder]) -> Adapter:
    """`untrained:RUN` or `untrained:RUN?seed=1`: an encoder of the shape of one of ours, its weights drawn anew.

    It takes log-mels normalised with the mean and deviation of the trained one.

    Arguments:
        rest: a run folder or checkpoint file, and perhaps a seed.
        spec: for messages.
        device: of the model.
        load: reads the trained one.

    Raises:
        SonoscaleError: no such run, or a seed that is no whole number.
    """
    target, settings = query(rest, spec, {"seed"})
    seed = settings.get("seed", "0")
    if not seed.isdigit():
        raise SonoscaleError(f"{spec}: seed = {seed}: must be a whole number")
    trained = load(Path(target))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        fresh = AudioEncoder(trained.config, mean=float(trained.mean), std=float(trained.std))
    return OwnEncoder(fresh.eval().to(device), spec)
