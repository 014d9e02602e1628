"""One run: everything that decides its outcome, each key with its unit."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from sonoscale.config import Config
from sonoscale.corpora import DataConfig, ProceduralData
from sonoscale.encoders import EncoderConfig


class ObjectiveConfig(Config):
    """Masked autoencoding: reconstruct hidden patches, each normalised by its own mean and deviation."""

    mask_ratio: float = Field(default=0.75, gt=0, lt=1)  # share of patches hidden from the encoder
    decoder_depth: int = Field(default=1, ge=1, le=16)  # transformer blocks
    decoder_width_ratio: float = Field(default=0.5, gt=0, le=4)  # decoder width / encoder width


class TrainConfig(Config):
    """How long, how fast, on how much at a time."""

    clip_seconds: float = Field(default=2.0, ge=0.2, le=30)  # length of a training example; cut to whole patches
    batch_size: int = Field(default=128, ge=1)  # training examples a step
    budgets: tuple[int, ...] = (100, 200, 400)  # steps; each is trained to its end on a decay of its own
    warmup_steps: int = Field(default=40, ge=0)  # linear, from 0
    decay_fraction: float = Field(default=0.2, gt=0, le=1)  # last part of a budget, linear to 0
    lr: float = Field(default=2e-3, gt=0, le=1)  # peak learning rate at lr_width
    lr_width: int = Field(default=64, ge=1)  # width at which lr holds
    lr_rule: str = Field(default="inverse_width", pattern="^(inverse_width|constant)$")  # of hidden matrices
    weight_decay: float = Field(default=0.05, ge=0, le=1)  # on matrices only
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW
    grad_clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    rank_points: int = Field(default=5, ge=2)  # rank measurements along the trunk, log-spaced, step 0 included

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if not self.budgets or any(b < 2 for b in self.budgets):
            raise ValueError(f"budgets = {list(self.budgets)}: give at least one number of steps, each 2 or more")
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"budgets = {list(self.budgets)} must increase")
        starts = [self.decay_start(b) for b in self.budgets]
        if len(set(starts)) < len(starts):
            raise ValueError(
                f"budgets = {list(self.budgets)} with decay_fraction = {self.decay_fraction}: two of them would start "
                "to decay at the same step; put the budgets further apart or lower decay_fraction"
            )
        first = starts[0]
        if self.warmup_steps > first:
            raise ValueError(
                f"warmup_steps = {self.warmup_steps} reaches beyond step {first}, where the smallest budget "
                f"({self.budgets[0]} steps) starts to decay; no result may come from inside the warm-up"
            )
        return self

    def hidden_lr_factor(self, width: int) -> float:
        """What the learning rate of hidden matrices is multiplied by, at a width."""
        return self.lr_width / width if self.lr_rule == "inverse_width" else 1.0

    def decay_start(self, budget: int) -> int:
        """Step at which the decay of a budget branches off the trunk."""
        return budget - max(1, round(budget * self.decay_fraction))


RUN_FORMAT = 2
"""Of what a run folder holds: runs of another format are other runs."""


class RunConfig(Config):
    """A pre-training run."""

    data: DataConfig = ProceduralData()
    encoder: EncoderConfig = EncoderConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    seed: int = Field(default=0, ge=0)  # of initialisation, order of clips, crops and masks

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        if self.time_patches < 1:
            raise ValueError(
                f"train.clip_seconds = {self.train.clip_seconds} is shorter than one patch of "
                f"{self.encoder.patch_frames} frames"
            )
        if not 1 <= self.kept < self.patches:
            raise ValueError(
                f"objective.mask_ratio = {self.objective.mask_ratio} leaves {self.kept} of {self.patches} patches "
                "visible; at least one must be visible and one hidden"
            )
        if isinstance(self.data, ProceduralData) and self.train.clip_seconds > self.data.seconds:
            raise ValueError(
                f"train.clip_seconds = {self.train.clip_seconds} is longer than data.seconds = {self.data.seconds}"
            )
        return self

    @property
    def time_patches(self) -> int:
        """Whole patches along the time of a training example."""
        front_end = self.encoder.front_end
        samples = round(self.train.clip_seconds * front_end.sample_rate)
        return front_end.frames(samples) // self.encoder.patch_frames

    @property
    def frames(self) -> int:
        """Frames of a training example."""
        return self.time_patches * self.encoder.patch_frames

    @property
    def patches(self) -> int:
        """Patches of a training example."""
        return self.time_patches * self.encoder.mel_patches

    @property
    def kept(self) -> int:
        """Visible patches of a training example."""
        return round(self.patches * (1 - self.objective.mask_ratio))

    def outcome(self) -> dict[str, Any]:
        """All that decides the outcome but the data, resolved: equal for two ways of writing the same run."""
        content = self.model_dump(mode="json", exclude={"data"})
        content["encoder"]["heads"] = self.encoder.n_heads
        content["objective"]["mask_ratio"] = self.kept / self.patches
        content["train"]["lr_rule"] = content["train"]["lr_width"] = None
        content["train"]["hidden_lr"] = self.train.lr * self.train.hidden_lr_factor(self.encoder.width)
        content["format"] = RUN_FORMAT
        return content

    @property
    def decoder_width(self) -> int:
        """Width of the decoder: a multiple of 4 that follows the encoder's, at least 16."""
        return max(16, 4 * round(self.encoder.width * self.objective.decoder_width_ratio / 4))
