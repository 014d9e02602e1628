"""The whole encoder: front end, normalisation and backbone in one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonoscale.audio import LogMel
from sonoscale.encoders._backbone import make_backbone
from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._identity import weights_hash
from sonoscale.encoders._vit import patchify
from sonoscale.errors import SonoscaleError


class AudioEncoder(nn.Module):
    """Waveform -> log-mel -> normalised with the corpus's mean and deviation -> patches -> tokens -> mean.

    Implements `Encoder`. Only whole patches are seen: up to `patch_frames - 1` frames at the end of a clip are
    dropped rather than padded.

    Arguments:
        config: shape; `config.backbone` says of what kind.
        mean, std: of the log-mels of the pre-training corpus, in natural-log units; stored with the weights.

    Example:
        >>> from sonoscale.encoders import EncoderConfig
        >>> encoder = AudioEncoder(EncoderConfig(backbone="vit", width=32, depth=2)).eval()
        >>> encoder.embed(torch.zeros(1, 16_000)).shape
        torch.Size([1, 32])
        >>> encoder.embed_layers(torch.zeros(1, 16_000)).shape
        torch.Size([3, 1, 32])
    """

    mean: Tensor
    std: Tensor
    layer_tokens = True  # `embed_layer_tokens` gives those of every layer
    embed_is_token_mean = True

    def __init__(self, config: EncoderConfig, *, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        self.backbone = make_backbone(config)
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.front_end.sample_rate

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return self.config.width

    @property
    def layers(self) -> int:
        """Layers that `embed_layers` gives: the patch embedding and each block."""
        return self.config.depth + 1

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that makes a patch."""
        return self.config.front_end.samples(self.config.patch_frames)

    @property
    def frequency_patches(self) -> int:
        """Patches along the mel axis: tokens for each step in time."""
        return self.config.mel_patches

    @property
    def identity(self) -> str:
        """Hash of shape, weights and normalisation."""
        return f"sonoscale weights:{weights_hash(self, self.config.model_dump_json())}"

    def patches(self, frames: Tensor) -> Tensor:
        """Log-mel frames `[batch, frames, mels]` (time first) -> normalised patches `[batch, n, patch]`.

        Raises:
            SonoscaleError: the clip is shorter than one patch.
        """
        c = self.config
        if frames.shape[1] < c.patch_frames:
            need = c.front_end.samples(c.patch_frames) / self.sample_rate
            raise SonoscaleError(
                f"a clip of {frames.shape[1]} frames is shorter than one patch of {c.patch_frames} frames "
                f"({need:.3f} s)"
            )
        return patchify((frames - self.mean).div_(self.std), c.patch_frames, c.patch_mels)

    def tokens(self, frames: Tensor) -> Tensor:
        """Log-mel frames `[batch, frames, mels]` -> tokens `[batch, n, width]` after the final norm."""
        return self.backbone(self.patches(frames))

    def layer_tokens_of(self, frames: Tensor) -> Tensor:
        """Log-mel frames `[batch, frames, mels]` -> tokens of every layer `[layers, batch, n, width]`."""
        return self.backbone.forward_layers(self.patches(frames))

    def embed_logmel(self, frames: Tensor) -> Tensor:
        """Log-mel frames `[batch, frames, mels]` -> embeddings `[batch, width]`."""
        return self.tokens(frames).mean(dim=1)

    def embed(self, wave: Tensor) -> Tensor:
        """See `Encoder.embed`."""
        return self.embed_logmel(self._frames(wave))

    def embed_layers(self, wave: Tensor) -> Tensor:
        """See `Encoder.embed_layers`: the patch embedding, then each block."""
        return self.embed_layer_tokens(wave).mean(dim=2)

    def embed_layer_tokens(self, wave: Tensor) -> Tensor:
        """All tokens of every layer, time-major: `[batch, samples]` -> `[layers, batch, tokens, width]`."""
        return self.layer_tokens_of(self._frames(wave))

    def embed_tokens(self, wave: Tensor) -> Tensor:
        """All tokens, time-major: `[batch, samples]` -> `[batch, steps * frequency_patches, width]`."""
        return self.tokens(self._frames(wave))

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """See `Encoder.embed_frames`: a step is one patch long; its mel bands are averaged."""
        steps = self.tokens(self._frames(wave)).unflatten(1, (-1, self.config.mel_patches)).mean(dim=2)
        return steps, self.centres(steps.shape[1])

    def centres(self, steps: int) -> Tensor:
        """Centres of the first `steps` patches along time, in ms."""
        c = self.config.front_end
        first = (c.n_fft + (self.config.patch_frames - 1) * c.hop) / 2  # centre of the first patch, samples
        centres = first + torch.arange(steps) * self.config.patch_frames * c.hop
        return centres.float() * 1000 / c.sample_rate

    def _frames(self, wave: Tensor) -> Tensor:
        return self.front_end(wave).transpose(1, 2)
