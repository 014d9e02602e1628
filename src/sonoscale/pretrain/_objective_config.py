"""What is learnt from unlabelled sound: the keys of each objective, and the masks that a grid of patches allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sonoscale.config import Config

MASKS: tuple[str, ...] = ("random", "time", "frequency", "time-frequency", "block", "inverse-block", "grouped")
"""Names of the strategies."""
_BLOCK = 5  # patches; longest side of a rectangle
GROUP = 2  # patches; side of a tile

_MASKED = ("mask", "mask_ratio", "decoder_depth", "decoder_width_ratio")
OBJECTIVE_KEYS = {
    "mae": _MASKED,
    "latent": (*_MASKED, "teacher_memory", "teacher_decay", "teacher_layers", "teacher_sees"),
    "contrastive": (
        "view_fraction", "mixup", "resize_time", "resize_mels", "fade_db", "projection_width", "temperature",
    ),
}  # fmt: skip
"""Keys that apply to each kind of objective; the others are not looked at."""


class ObjectiveConfig(Config):
    """What is learnt from unlabelled sound.

    `mae`: reconstruct hidden patches, each normalised by its own mean and deviation. `latent`: predict what a slowly
    moving copy of the encoder makes of them. `contrastive`: match two views of a clip among those of all other clips.
    Keys that do not apply to the kind are not looked at, so that a study can sweep the kind alone.
    """

    kind: Literal["mae", "latent", "contrastive"] = "contrastive"
    # mae and latent
    mask: str = "random"  # which patches are hidden: one of the names in `MASKS`
    mask_ratio: float = Field(default=0.75, gt=0, lt=1)  # share of patches hidden from the encoder
    decoder_depth: int = Field(default=1, ge=1, le=16)  # transformer blocks
    decoder_width_ratio: float = Field(default=0.5, gt=0, le=4)  # decoder width / encoder width
    # latent
    # part of the steps so far that the teacher averages; 0: teacher_decay at every step
    teacher_memory: float = Field(default=0.2, ge=0, le=1)
    teacher_decay: float = Field(default=0.9998, ge=0, lt=1)  # largest share of the old teacher that a step leaves
    teacher_layers: int | None = Field(default=None, ge=1)  # last blocks averaged; by default all it can give
    teacher_sees: Literal["all", "hidden"] = "all"  # patches shown to the teacher; of hidden ones it gives its output
    # contrastive
    view_fraction: float = Field(default=1.0, gt=0, le=1)  # length of a view / length of an example
    mixup: float = Field(default=0.4, ge=0, lt=1)  # largest share of another example's power in a view
    resize_time: float = Field(default=0.6, gt=0, le=1)  # shortest stretch that is stretched to a view / its length
    resize_mels: float = Field(default=0.6, gt=0, le=1)  # narrowest band that is stretched to all bands
    fade_db: float = Field(default=6.0, ge=0, le=40)  # dB, largest change of level at either end of a view
    projection_width: int = Field(default=128, ge=2, le=4096)  # dimension in which views are compared
    temperature: float = Field(default=0.1, gt=0, le=10)  # cosines are divided by it

    @model_validator(mode="before")
    @classmethod
    def _kind_is_meant(cls, raw: Any) -> Any:
        """Keys of another kind alone would change nothing, unnoticed."""
        if isinstance(raw, Mapping) and raw and "kind" not in raw:
            usual = cls.model_fields["kind"].default
            for key in raw:
                kinds = [kind for kind, keys in OBJECTIVE_KEYS.items() if key in keys]
                if kinds and usual not in kinds:
                    raise ValueError(
                        f"{key} says nothing of kind = {usual}, the default; give kind: {' or '.join(kinds)}"
                    )
        return raw

    @field_validator("mask")
    @classmethod
    def _known(cls, mask: str) -> str:
        if mask not in MASKS:
            raise ValueError(f"choose one of {', '.join(MASKS)}")
        return mask


def kept_patches(strategy: str, time_patches: int, mel_patches: int, ratio: float) -> int:
    """Visible patches of an example: of the numbers that a strategy can give exactly, the nearest to a mask ratio.

    Whole columns or bands are rounded so that at least one is visible and one hidden. `time-frequency` takes the
    product of a number of columns and one of bands; of two equally near, the one that hides more alike shares of
    the columns and of the bands. All other strategies round to the nearest integer, which may be 0 or all patches,
    and so may any strategy on a grid that it cannot work on: `check_mask` refuses these.

    Arguments:
        strategy: one of `MASKS`.
        time_patches, mel_patches: columns and bands of the grid of patches.
        ratio: share of the patches to hide.

    Raises:
        ValueError: no such strategy.
    """
    _check_name(strategy)
    patches = time_patches * mel_patches
    if strategy == "time" and time_patches > 1:
        return min(max(round(time_patches * (1 - ratio)), 1), time_patches - 1) * mel_patches
    if strategy == "frequency" and mel_patches > 1:
        return min(max(round(mel_patches * (1 - ratio)), 1), mel_patches - 1) * time_patches
    target = patches * (1 - ratio)
    if strategy == "time-frequency" and min(time_patches, mel_patches) > 1:
        pairs = [
            (min(max(r, 1), time_patches - 1), c)
            for c in range(1, mel_patches)
            for r in (math.floor(target / c), math.ceil(target / c))
        ]
        r, c = min(pairs, key=lambda p: (round(abs(p[0] * p[1] - target), 6), _unlike(p, time_patches, mel_patches), p))
        return r * c
    return round(target)


def check_mask(strategy: str, time_patches: int, mel_patches: int, kept: int) -> None:
    """Refuse a mask that cannot be drawn.

    Arguments:
        strategy: one of `MASKS`.
        time_patches, mel_patches: columns and bands of the grid of patches.
        kept: visible patches of an example.

    Raises:
        ValueError: no such strategy, a grid too small for it, or a number of visible patches that it cannot give.
            The message names the keys of the run at fault, and what to change.
    """
    _check_name(strategy)
    longer, finer = "lengthen train.clip_seconds", "lower encoder.patch_mels"
    patches = time_patches * mel_patches
    if "time" in strategy and time_patches < 2:
        raise ValueError(
            f"objective.mask = {strategy} hides some columns of patches and leaves some, but a training example has "
            f"{time_patches}: {longer}, or choose another mask"
        )
    if "frequency" in strategy and mel_patches < 2:
        raise ValueError(
            f"objective.mask = {strategy} hides some bands of patches and leaves some, but the spectrogram has "
            f"{mel_patches}: {finer}, or choose another mask"
        )
    if "block" in strategy and max(block_shape(time_patches, mel_patches)) < 2:
        raise ValueError(
            f"objective.mask = {strategy}: a block on a grid of {time_patches} x {mel_patches} patches would be a "
            f"single patch: {longer}, {finer}, or choose objective.mask = random"
        )
    if strategy == "grouped" and max(time_patches, mel_patches) <= GROUP:
        raise ValueError(
            f"objective.mask = grouped hides some {GROUP} x {GROUP} groups of patches and leaves some, but a grid of "
            f"{time_patches} x {mel_patches} is one group: {longer}, {finer}, or choose objective.mask = random"
        )
    if not 1 <= kept < patches:
        raise ValueError(
            f"objective.mask_ratio leaves {kept} of {patches} patches visible; at least one must be visible and one "
            f"hidden: move it away from {1 if kept < 1 else 0}, or {longer}"
        )
    if strategy in ("time", "frequency", "time-frequency"):
        columns_and_bands(strategy, time_patches, mel_patches, kept)


def _check_name(strategy: str) -> None:
    if strategy not in MASKS:
        raise ValueError(f"objective.mask = {strategy!r}: choose one of {', '.join(MASKS)}")


def columns_and_bands(strategy: str, time_patches: int, mel_patches: int, kept: int) -> tuple[int, int]:
    """How many columns and how many bands are visible."""
    pairs = {
        "time": [(kept // mel_patches, mel_patches)],
        "frequency": [(time_patches, kept // time_patches)],
        "time-frequency": [(kept // c, c) for c in range(1, mel_patches) if 1 <= kept // c < time_patches],
    }[strategy]
    pairs = [(r, c) for r, c in pairs if r * c == kept]
    if not pairs:
        patches = time_patches * mel_patches
        near = kept_patches(strategy, time_patches, mel_patches, 1 - kept / patches)
        raise ValueError(
            f"objective.mask = {strategy} cannot leave {kept} patches visible on a grid of {time_patches} x "
            f"{mel_patches}: the nearest is {near}, at objective.mask_ratio = {1 - near / patches:.4g}"
        )
    return min(pairs, key=lambda p: (_unlike(p, time_patches, mel_patches), p))


def _unlike(pair: tuple[int, int], time_patches: int, mel_patches: int) -> int:
    """How far the visible share of the columns is from that of the bands, times the number of patches."""
    return abs(pair[0] * mel_patches - pair[1] * time_patches)


def block_shape(time_patches: int, mel_patches: int) -> tuple[int, int]:
    """Columns and bands of a block."""
    h, w = (max(1, min(_BLOCK, 2 * n // 3)) for n in (time_patches, mel_patches))
    return h, w
