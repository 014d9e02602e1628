"""Shape of an encoder."""

from __future__ import annotations

from pydantic import Field, model_validator

from sonoscale.audio import LogMelConfig
from sonoscale.config import Config


class EncoderConfig(Config):
    """A 2-D patch vision transformer on log-mels."""

    n_mels: int = Field(default=64, ge=8, le=256)  # mel bands of the front end
    patch_mels: int = Field(default=16, ge=1)  # height of a patch, in mel bands
    patch_frames: int = Field(default=16, ge=1)  # length of a patch, in frames of 10 ms
    width: int = Field(default=64, ge=8, le=4096)  # model dimension = dimension of the embedding
    depth: int = Field(default=4, ge=1, le=64)  # transformer blocks
    heads: int | None = Field(default=None, ge=1)  # attention heads; by default one per 32 dimensions
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)  # hidden width of the MLP / width

    @model_validator(mode="after")
    def _check(self) -> EncoderConfig:
        if self.n_mels % self.patch_mels:
            raise ValueError(
                f"patch_mels = {self.patch_mels} must divide n_mels = {self.n_mels}, so that patches tile the bands"
            )
        if self.width % 4:
            raise ValueError(f"width = {self.width} must be a multiple of 4 (2-D sine-cosine positions)")
        if self.width % self.n_heads:
            raise ValueError(f"heads = {self.n_heads} must divide width = {self.width}")
        return self

    @property
    def n_heads(self) -> int:
        """Attention heads, the default resolved: one per 32 dimensions, or the nearest below that divides."""
        if self.heads is not None:
            return self.heads
        return next(h for h in range(max(1, self.width // 32), 0, -1) if self.width % h == 0)

    @property
    def mel_patches(self) -> int:
        """Patches along the mel axis."""
        return self.n_mels // self.patch_mels

    @property
    def patch_size(self) -> int:
        """Numbers in a patch."""
        return self.patch_mels * self.patch_frames

    @property
    def mlp_width(self) -> int:
        """Hidden width of the MLP."""
        return round(self.width * self.mlp_ratio)

    @property
    def front_end(self) -> LogMelConfig:
        """The log-mel front end that the encoder listens through."""
        return LogMelConfig(n_mels=self.n_mels)
