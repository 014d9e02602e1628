"""What is learnt from unlabelled sound: the keys of each objective."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from sonoscale.config import Config
from sonoscale.pretrain._masking import MASKS

_MASKED = ("mask", "mask_ratio", "decoder_depth", "decoder_width_ratio")
OBJECTIVE_KEYS = {
    "mae": _MASKED,
    "latent": (*_MASKED, "teacher_decay", "teacher_layers", "teacher_sees"),
    "contrastive": ("view_fraction", "fade_db", "projection_width", "temperature"),
}
"""Keys that apply to each kind of objective; the others are not looked at."""


class ObjectiveConfig(Config):
    """What is learnt from unlabelled sound.

    `mae`: reconstruct hidden patches, each normalised by its own mean and deviation. `latent`: predict what a slowly
    moving copy of the encoder makes of them. `contrastive`: tell two views of a clip from those of all other clips.
    Keys that do not apply to the kind are not looked at, so that a study can sweep the kind alone.
    """

    kind: Literal["mae", "latent", "contrastive"] = "mae"
    # mae and latent
    mask: str = "random"  # which patches are hidden: one of the names in `MASKS`
    mask_ratio: float = Field(default=0.75, gt=0, lt=1)  # share of patches hidden from the encoder
    decoder_depth: int = Field(default=1, ge=1, le=16)  # transformer blocks
    decoder_width_ratio: float = Field(default=0.5, gt=0, le=4)  # decoder width / encoder width
    # latent
    teacher_decay: float = Field(default=0.99, ge=0, lt=1)  # share of the old teacher that a step leaves
    teacher_layers: int | None = Field(default=None, ge=1)  # last blocks averaged; by default all it can give
    teacher_sees: Literal["all", "hidden"] = "all"  # patches shown to the teacher; of hidden ones it gives its output
    # contrastive
    view_fraction: float = Field(default=0.75, gt=0, le=1)  # length of a view / length of an example
    fade_db: float = Field(default=6.0, ge=0, le=40)  # dB, largest change of level at either end of a view
    projection_width: int = Field(default=128, ge=2, le=4096)  # dimension in which views are compared
    temperature: float = Field(default=0.1, gt=0, le=10)  # cosines are divided by it

    @field_validator("mask")
    @classmethod
    def _known(cls, mask: str) -> str:
        if mask not in MASKS:
            raise ValueError(f"choose one of {', '.join(MASKS)}")
        return mask
