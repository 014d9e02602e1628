"""What the runs of a study do, counted from their configurations: no model is built, no audio is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonoscale.encoders import EncoderConfig, encoder_flops
from sonoscale.pretrain import Cost, RunConfig, training_cost
from sonoscale.pretrain._schedule import make_schedule

__all__ = ["Scan", "Work", "embedding", "reading", "step", "training_memory", "work_of"]

Array = NDArray[np.float64]

_TRAINED, _KEPT = 16, 4  # bytes of a parameter that is trained (weight, gradient, two moments), and of one that is not
_ACTIVATIONS = 60  # bytes that a block keeps of each number of a token for the way back, to the order
_LOSS_EXAMPLES = 128  # of a batch of the held-out loss
_LOSS_BATCHES = 8


@dataclass(frozen=True)
class Scan:
    """What there is to hear: clips, and how long they are.

    Attributes:
        clips: number of them.
        seconds: mean length.
    """

    clips: int
    seconds: float

    @property
    def hours(self) -> float:
        """All together."""
        return self.clips * self.seconds / 3600

    def frames(self, config: RunConfig) -> int:
        """Frames of a clip."""
        front_end = config.encoder.front_end
        return front_end.frames(round(self.seconds * front_end.sample_rate))

    def bytes(self, config: RunConfig, width: int) -> float:
        """Of the log-mels, in numbers so wide."""
        return float(self.clips * self.frames(config) * config.encoder.n_mels * width)


@dataclass(frozen=True)
class Work:
    """What one run does.

    Attributes:
        config: the run.
        cost: of one training example.
        steps: trained in all, branches included.
        readings: of the rank.
        budgets: steps of each.
        examples: seen in training by the last budget.
        flops: training operations of the last budget; trained_flops: of all steps.
        epochs: how often the last budget goes through the clips.
    """

    config: RunConfig
    cost: Cost
    steps: int
    readings: int
    budgets: tuple[int, ...]
    examples: int
    flops: float
    trained_flops: float
    epochs: float

    @property
    def kind(self) -> str:
        """Backbone and objective: what is alike in the way it is computed."""
        return f"{self.config.encoder.backbone}, {self.config.objective.kind}"


def work_of(config: RunConfig, audio: Scan) -> Work:
    """Count a run's work, given its training clips."""
    cost, schedule, budgets = training_cost(config), make_schedule(config), config.budgets
    examples = budgets[-1] * config.train.batch_size
    front_end = config.encoder.front_end
    seconds = config.frames * front_end.hop / front_end.sample_rate
    return Work(
        config=config,
        cost=cost,
        steps=schedule.steps,
        readings=len(schedule.rank_at) + len(budgets),
        budgets=budgets,
        examples=examples,
        flops=float(examples * cost.flops),
        trained_flops=float(schedule.steps * config.train.batch_size * cost.flops),
        epochs=examples * max(1.0, seconds / audio.seconds) / audio.clips,
    )


def step(work: Work) -> Array:
    """What the time of a training step is linear in: kernels, numbers that pass through blocks, FLOPs, parameters."""
    config, batch = work.config, work.config.train.batch_size
    blocks, numbers = _passes(config)
    cost = work.cost
    params = cost.params_encoder + cost.params_decoder + cost.params_head + cost.params_teacher
    return np.array([config.train.accumulate * (blocks + 2), batch * numbers, batch * cost.flops, params], np.float64)


def embedding(encoder: EncoderConfig, audio: Sequence[Scan], frames: Sequence[int]) -> Array:
    """What the time to embed clips is linear in: kernels, numbers that pass through blocks, FLOPs."""
    total = np.zeros(3)
    for scan, length in zip(audio, frames, strict=True):
        time = max(1, length // encoder.patch_frames)
        tokens = time * encoder.mel_patches
        batches = scan.clips / max(1, 1024 // tokens)
        numbers = scan.clips * (tokens * encoder.width * encoder.depth + _stem(encoder, tokens))
        total += [batches * (encoder.depth + 2), numbers, scan.clips * encoder_flops(encoder, time, tokens)[0]]
    return total


def reading(width: int, clips: int) -> Array:
    """What the time of a reading of the rank is linear in, besides the embedding: calls, products, decompositions."""
    return np.array([1.0, clips * width**2, width**3])


def loss_examples(clips: int) -> int:
    """Examples of the held-out loss."""
    return _LOSS_EXAMPLES * min(_LOSS_BATCHES, max(1, clips // _LOSS_EXAMPLES))


def training_memory(work: Work) -> float:
    """Bytes of weights, gradients, moments and activations, to the order: what memory grows with."""
    config, cost = work.config, work.cost
    trained = cost.params_encoder + cost.params_decoder + cost.params_head
    examples = max(config.train.batch_size // config.train.accumulate, _LOSS_EXAMPLES)
    return _TRAINED * trained + _KEPT * cost.params_teacher + _ACTIVATIONS * examples * _passes(config)[1]


def _stem(encoder: EncoderConfig, patches: int) -> int:
    """Numbers that pass through the convolutions that a CNN begins with."""
    if encoder.backbone != "cnn":
        return 0
    places, numbers = patches * encoder.patch_size, 0
    for (along_time, along_mel), channels in zip(encoder.stem_strides, encoder.stem_channels, strict=True):
        places //= along_time * along_mel
        numbers += places * channels
    return numbers


def _passes(config: RunConfig) -> tuple[float, float]:
    """Of a training example: blocks that are passed, and numbers that pass through them."""
    e, o = config.encoder, config.objective
    per_block = e.width * e.depth
    if o.kind == "contrastive":
        patches = config.view_time_patches * e.mel_patches
        return 2 * e.depth, 2 * (patches * per_block + _stem(e, patches))
    seen = config.kept if e.backbone == "vit" else config.patches
    decoder = config.patches * config.decoder_width * o.decoder_depth
    blocks, numbers = e.depth + o.decoder_depth, seen * per_block + decoder + _stem(e, config.patches)
    if o.kind == "latent":
        seen = config.patches if o.teacher_sees == "all" else config.patches - config.kept
        return blocks + e.depth / 3, numbers + seen * per_block / 3  # forward only
    return blocks, numbers
