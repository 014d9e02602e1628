"""Shape of an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from sonoscale.audio import LogMelConfig
from sonoscale.config import Config


class EncoderConfig(Config):
    """Blocks on patches of log-mels: a CNN with downsampling, a vision transformer, or a ConvNeXt without it.

    The transformer on time frames (1-D patches) is `backbone: vit` with `patch_mels` = `n_mels` and
    `patch_frames: 4`: then a patch holds all bands, and positions differ along time only.
    """

    # vit: transformer that drops hidden patches; conv: isotropic ConvNeXt over all patches; cnn: strided 3 x 3
    # convolutions down to one place a patch, where depth counts the residual blocks that follow
    backbone: Literal["vit", "conv", "cnn"] = "cnn"
    n_mels: int = Field(default=64, ge=8, le=256)  # mel bands of the front end
    patch_mels: int = Field(default=16, ge=1)  # height of a patch, in mel bands
    patch_frames: int = Field(default=16, ge=1)  # length of a patch, in frames of 10 ms
    width: int = Field(default=64, ge=8, le=4096)  # model dimension = dimension of the embedding
    depth: int = Field(default=1, ge=1, le=64)  # blocks; of vit and conv 4 by default
    heads: int | None = Field(default=None, ge=1)  # attention heads (vit); by default one per 32 dimensions
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)  # hidden width of the MLP / width (and so in a decoder)
    kernel: int = Field(default=7, ge=1, le=31)  # side of the depthwise kernel (conv), in patches; odd

    @model_validator(mode="before")
    @classmethod
    def _usual_depth(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "depth" not in raw and raw.get("backbone", "cnn") != "cnn":
            return {**raw, "depth": 4}
        return raw

    @model_validator(mode="after")
    def _check(self) -> EncoderConfig:
        if self.n_mels % self.patch_mels:
            raise ValueError(
                f"patch_mels = {self.patch_mels} must divide n_mels = {self.n_mels}, so that patches tile the bands"
            )
        if self.width % 4:
            raise ValueError(f"width = {self.width} must be a multiple of 4 (2-D sine-cosine positions)")
        if self.mlp_width < 4:
            raise ValueError(f"mlp_ratio = {self.mlp_ratio} of width = {self.width} leaves an MLP narrower than 4")
        if self.backbone != "vit" and self.heads is not None:
            raise ValueError(
                f"heads = {self.heads}: backbone = {self.backbone} has no attention; leave heads out, or use vit"
            )
        if self.backbone != "conv" and self.kernel != 7:
            what = "no convolution" if self.backbone == "vit" else "kernels of 3 x 3"
            raise ValueError(
                f"kernel = {self.kernel}: backbone = {self.backbone} has {what}; leave kernel out, or use conv"
            )
        if self.backbone == "cnn":
            self._check_cnn()
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel = {self.kernel} must be odd, so that it has a centre; try {self.kernel + 1}")
        if self.n_heads and self.width % self.n_heads:
            raise ValueError(f"heads = {self.n_heads} must divide width = {self.width}")
        return self

    def _check_cnn(self) -> None:
        for key in ("patch_mels", "patch_frames"):
            size = getattr(self, key)
            if size & (size - 1):
                raise ValueError(f"{key} = {size}: backbone = cnn halves the log-mel; give a power of two")
        if self.width % 8:
            raise ValueError(
                f"width = {self.width}: backbone = cnn begins with an eighth of its channels; give a multiple of 8"
            )

    @property
    def stem_strides(self) -> list[tuple[int, int]]:
        """Strides along time and mel of the convolutions that a CNN begins with; their products are a patch."""
        time, mel = self.patch_frames.bit_length() - 1, self.patch_mels.bit_length() - 1
        return [(1 + (i < time), 1 + (i < mel)) for i in range(max(time, mel, 1))]

    @property
    def stem_channels(self) -> list[int]:
        """Their channels: `width` at last, half before each, but no fewer than an eighth of it."""
        last = len(self.stem_strides) - 1
        return [self.width >> min(last - i, 3) for i in range(last + 1)]

    @property
    def n_heads(self) -> int:
        """Attention heads, the default resolved: one per 32 dimensions, or the nearest below that divides.

        0 for a backbone without attention.
        """
        if self.backbone != "vit":
            return 0
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
