"""One run: everything that decides its outcome, each key with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sonoscale.config import Config
from sonoscale.corpora import DataConfig, ProceduralData
from sonoscale.encoders import EncoderConfig
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._flops import training_cost
from sonoscale.pretrain._objective_config import OBJECTIVE_KEYS, ObjectiveConfig, check_mask, kept_patches

MOST_STEPS = 10**9
Share = Annotated[float, Field(ge=0, lt=1)]


class TrainConfig(Config):
    """How long, how fast, on how much at a time."""

    other_words: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("steps", "max_steps", "iterations", "epochs", "budget"), "budgets"),
        **dict.fromkeys(("learning_rate", "rate"), "lr"), "batch": "batch_size", "warmup": "warmup_steps",
        **dict.fromkeys(("init_from", "initial", "pretrained", "checkpoint", "weights", "resume_from"), "init"),
        **dict.fromkeys(("freeze", "frozen"), "frozen_layers"),
    }  # fmt: skip

    clip_seconds: float = Field(default=1.0, ge=0.2, le=30)  # length of a training example; cut to whole patches
    log_mels: Literal["cached", "on_device"] = "cached"  # made once and kept in float16, or of waveforms in every step
    batch_size: int = Field(default=128, ge=1)  # training examples a step, of all processes together
    accumulate: int = Field(default=1, ge=1)  # micro-batches that a step is cut into, to save memory
    budgets: tuple[int, ...] = (100, 200, 400)  # steps; each is trained to its end on a decay of its own
    flops: tuple[float, ...] | None = None  # budgets as floating-point operations of the training, instead of steps
    warmup_steps: int = Field(default=40, ge=0)  # linear, from 0
    decay_fraction: float = Field(default=0.2, gt=0, le=1)  # last part of a budget, linear to 0
    lr: float = Field(default=2e-3, gt=0, le=1)  # peak learning rate at lr_width
    lr_width: int = Field(default=64, ge=1, le=100_000_000)  # width at which lr holds (mup)
    parametrisation: Literal["mup", "standard"] = "mup"  # how rates and initial weights follow the width
    weight_decay: float = Field(default=0.05, ge=0, le=1)  # on matrices only
    betas: tuple[Share, Share] = (0.9, 0.95)  # AdamW
    grad_clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of products; auto: bf16 where the machine has it
    rank_points: int = Field(default=5, ge=2)  # rank measurements along the trunk, log-spaced, step 0 included
    checkpoint_minutes: float = Field(default=5.0, ge=0)  # between two writings of the state to resume from
    init: str | None = None  # encoder to begin with: run folder, checkpoint, hf export of ours; null: weights are drawn
    frozen_layers: int = Field(default=0, ge=0)  # of the encoder that keep their weights, the patch embedding first

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate = {self.accumulate} must divide batch_size = {self.batch_size}")
        if self.flops is None:
            self.check_budgets(self.budgets, f"train.budgets = {list(self.budgets)}")
        elif self.budgets != type(self).model_fields["budgets"].default:
            raise ValueError(f"budgets = {list(self.budgets)} and flops = {list(self.flops)}: give one of them")
        elif not self.flops or list(self.flops) != sorted(set(self.flops)) or self.flops[0] <= 0:
            raise ValueError(f"flops = {list(self.flops)}: give at least one number, all above 0 and increasing")
        return self

    def check_budgets(self, budgets: Sequence[int], what: str) -> None:
        """Whether these numbers of steps can be trained.

        Raises:
            ValueError: they cannot; the message begins with `what`.
        """
        if not budgets or any(b < 2 for b in budgets):
            raise ValueError(f"{what}: give at least one number of steps, each 2 or more")
        if budgets[-1] > MOST_STEPS:
            raise ValueError(f"{what}: {budgets[-1]:,} steps are more than anybody can train ({MOST_STEPS:,})")
        if list(budgets) != sorted(set(budgets)):
            raise ValueError(f"{what}: the numbers of steps must increase")
        starts = [self.decay_start(b) for b in budgets]
        if len(set(starts)) < len(starts):
            raise ValueError(
                f"{what} with train.decay_fraction = {self.decay_fraction}: two of them would start to decay at the "
                "same step; put them further apart or lower train.decay_fraction"
            )
        if self.warmup_steps > starts[0]:
            raise ValueError(
                f"{what}: train.warmup_steps = {self.warmup_steps} reaches beyond step {starts[0]}, where the smallest "
                f"budget ({budgets[0]} steps) starts to decay, and no result may come from inside the warm-up; lower "
                "train.warmup_steps or give more"
            )

    def decay_start(self, budget: int) -> int:
        """Step at which the decay of a budget branches off the trunk."""
        return budget - max(1, round(budget * self.decay_fraction))

    def share(self, processes: int) -> int:
        """Examples of a micro-batch that each process takes.

        Raises:
            SonoscaleError: the batch cannot be divided so.
        """
        share, uneven = divmod(self.batch_size, processes * self.accumulate)
        if uneven:
            raise SonoscaleError(
                f"train.batch_size = {self.batch_size} must be a multiple of {processes} processes times "
                f"train.accumulate = {self.accumulate}: change one of the three"
            )
        return share


RUN_FORMAT = 4
"""Of what a run folder holds: runs of another format are other runs."""


class RunConfig(Config):
    """A pre-training run."""

    name: str | None = Field(default=None, max_length=80)  # for people, in `sonoscale runs`; decides nothing
    data: DataConfig = ProceduralData()
    encoder: EncoderConfig = EncoderConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    seed: int = Field(default=0, ge=0, lt=2**63 - 1)  # of initialisation, order of clips, crops, masks and views

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        if self.time_patches < 1:
            raise ValueError(
                f"train.clip_seconds = {self.train.clip_seconds} is shorter than one patch of "
                f"{self.encoder.patch_frames} frames: lengthen it, or lower encoder.patch_frames"
            )
        if self.objective.kind == "contrastive":
            self._check_contrast()
        else:
            check_mask(self.objective.mask, self.time_patches, self.encoder.mel_patches, self.kept)
        if self.objective.kind == "latent":
            self._check_teacher()
        if self.train.frozen_layers > self.encoder.depth + 1:
            raise ValueError(
                f"train.frozen_layers = {self.train.frozen_layers}: the encoder has {self.encoder.depth + 1} layers "
                f"(the patch embedding, and encoder.depth = {self.encoder.depth} blocks): give no more"
            )
        if self.train.parametrisation == "mup":
            heads, width = self.encoder.heads or 1, self.train.lr_width
            if width % 4 or width % heads:
                raise ValueError(
                    f"train.lr_width = {width} is no width that the encoder could have: with train.parametrisation = "
                    f"mup, give a multiple of 4{f' and of encoder.heads = {heads}' if heads > 1 else ''}"
                )
            check_heads(self)
        if isinstance(self.data, ProceduralData) and self.train.clip_seconds > self.data.seconds:
            raise ValueError(
                f"train.clip_seconds = {self.train.clip_seconds} is longer than data.seconds = {self.data.seconds}: "
                "shorten it, or make longer clips"
            )
        if self.data.clips_asked is not None:
            self.check_clips(self.data.clips_asked)
        if self.train.flops is not None:
            what = f"train.flops = {list(self.train.flops)}, which is {list(self.budgets)} steps"
            self.train.check_budgets(self.budgets, what)
        return self

    def check_clips(self, clips: int) -> None:
        """Whether so many training clips are enough.

        Raises:
            ValueError: they are fewer than a batch.
        """
        if self.train.batch_size > clips:
            hours = "" if self.data.hours is None else f" (data.hours = {self.data.hours})"
            raise ValueError(
                f"train.batch_size = {self.train.batch_size} is more than data.clips = {clips}{hours}, so that a clip "
                "would be in one batch twice: lower train.batch_size, or raise data.clips or data.hours"
            )

    def _check_contrast(self) -> None:
        if self.train.batch_size < 2:
            raise ValueError("train.batch_size = 1: a contrast needs other clips in the batch; give 2 or more")
        if self.train.accumulate > 1:
            raise ValueError(
                f"train.accumulate = {self.train.accumulate}: objective.kind = contrastive contrasts a clip with all "
                "others of its batch, which cannot be cut; set train.accumulate = 1, or lower train.batch_size"
            )

    def _check_teacher(self) -> None:
        asked, sees = self.objective.teacher_layers, self.objective.teacher_sees
        if sees == "hidden" and self.patches - self.kept < 2:
            raise ValueError(
                f"objective.mask_ratio = {self.objective.mask_ratio} hides 1 of {self.patches} patches, but a teacher "
                "that sees the hidden patches only needs two to contrast: raise it, or set "
                "objective.teacher_sees = all"
            )
        if asked is not None and sees == "hidden" and asked > 1:
            raise ValueError(
                f"objective.teacher_layers = {asked}: a teacher that sees the hidden patches only gives its output "
                "alone; leave teacher_layers out, or set objective.teacher_sees = all"
            )
        if asked is not None and asked > self.encoder.depth:
            raise ValueError(
                f"objective.teacher_layers = {asked} is more than the encoder.depth = {self.encoder.depth} blocks: "
                "lower it, or leave it out for all blocks"
            )

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
        """Visible patches of a training example, where some are masked."""
        o = self.objective
        return kept_patches(o.mask, self.time_patches, self.encoder.mel_patches, o.mask_ratio)

    @property
    def decoder_width(self) -> int:
        """Width of the decoder: a multiple of 4 that follows the encoder's, at least 16."""
        return max(16, 4 * round(self.encoder.width * self.objective.decoder_width_ratio / 4))

    @property
    def decoder_heads(self) -> int:
        """Attention heads of the decoder: one per 32 dimensions, or the nearest below that divides."""
        return next(h for h in range(max(1, self.decoder_width // 32), 0, -1) if self.decoder_width % h == 0)

    @property
    def decoder_mlp_width(self) -> int:
        """Hidden width of the MLPs of the decoder."""
        return round(self.decoder_width * self.encoder.mlp_ratio)

    @property
    def teacher_layers(self) -> int:
        """Blocks of the teacher whose mean is predicted: all, or the last one where only hidden patches are seen."""
        default = self.encoder.depth if self.objective.teacher_sees == "all" else 1
        return self.objective.teacher_layers or default

    @property
    def view_time_patches(self) -> int:
        """Patches along the time of a view, at least one."""
        return max(1, round(self.time_patches * self.objective.view_fraction))

    @property
    def view_frames(self) -> int:
        """Frames of a view."""
        return self.view_time_patches * self.encoder.patch_frames

    @property
    def is_frozen(self) -> bool:
        """Whether all layers of the encoder keep their weights, so that only what reads it is trained."""
        return self.train.frozen_layers == self.encoder.depth + 1

    @property
    def budgets(self) -> tuple[int, ...]:
        """Steps of each budget, however they are given."""
        if self.train.flops is None:
            return self.train.budgets
        step = training_cost(self).flops * self.train.batch_size
        return tuple(round(flops / step) for flops in self.train.flops)

    def outcome(self) -> dict[str, Any]:
        """All that decides the outcome but the data, resolved: equal for two ways of writing the same run.

        `train.precision` is resolved by `in_precision` before, for a machine; `auto` counts as fp32 here.

        What only decides how a step is carried out (micro-batches, how often the state is written) is left out.
        """
        content = self.model_dump(mode="json", exclude={"data", "name"})
        content["encoder"]["heads"] = self.encoder.n_heads
        content["objective"] = self._objective_outcome()
        train = content["train"]
        for key in ("accumulate", "checkpoint_minutes", "flops", "init"):
            del train[key]  # the weights that it begins with are part of the run's identity, wherever they lie
        train["budgets"] = list(self.budgets)
        for key, usual in (("log_mels", "cached"), ("precision", "fp32"), ("frozen_layers", 0)):
            if train[key] in (usual, "auto"):  # so that runs from before there was a choice keep their names
                del train[key]
        if self.encoder.width == self.train.lr_width or train["parametrisation"] == "standard":
            train["parametrisation"], train["lr_width"] = "standard", None  # mup changes nothing at its own width
        content["format"] = RUN_FORMAT
        return content

    def _objective_outcome(self) -> dict[str, Any]:
        resolved = {
            "mask_ratio": (self.patches - self.kept) / self.patches,
            "decoder_width_ratio": self.decoder_width / self.encoder.width,
            "teacher_layers": self.teacher_layers,
            "view_fraction": self.view_time_patches / self.time_patches,
        }
        kind = self.objective.kind
        return {"kind": kind} | {key: resolved.get(key, getattr(self.objective, key)) for key in OBJECTIVE_KEYS[kind]}


HEAD_SIZE = 32
"""Dimensions of an attention head by default."""


def head_grows(size: int, before: int) -> bool:
    """Whether attention heads of `size` dimensions, `before` at the width of the learning rate, follow the width.

    Default heads do not, but stray from their size where the width has few divisors.
    """
    return size > 2 * max(before, HEAD_SIZE)


def check_heads(config: RunConfig) -> None:
    """Whether the heads of encoder and decoder keep their size, of a run under `mup`.

    Raises:
        ValueError: they do not; the message names key and remedy.
    """
    encoder = config.encoder.model_copy(update={"width": config.train.lr_width})
    base = config.model_copy(update={"encoder": encoder})
    grow = "under train.parametrisation = mup their size must not grow with the width"
    other = f"a multiple of {HEAD_SIZE}, or use train.parametrisation = standard"
    if config.encoder.n_heads:
        size, before = (e.width // e.n_heads for e in (config.encoder, encoder))
        if head_grows(size, before):
            remedy = "" if config.encoder.heads is None else "raise encoder.heads or leave it out, "
            raise ValueError(
                f"encoder.width = {config.encoder.width} gives {config.encoder.n_heads} attention heads of {size} "
                f"dimensions, and train.lr_width = {config.train.lr_width} heads of {before}: {grow}; {remedy}give a "
                f"width that is {other}"
            )
    size, before = (c.decoder_width // c.decoder_heads for c in (config, base))
    if config.objective.kind != "contrastive" and head_grows(size, before):
        raise ValueError(
            f"objective.decoder_width_ratio = {config.objective.decoder_width_ratio:g} gives a decoder of "
            f"{config.decoder_width} dimensions with attention heads of {size}, and train.lr_width = "
            f"{config.train.lr_width} heads of {before}: {grow}; change it so that the decoder's width is {other}"
        )
