"""AdamW whose rates follow the width, weight decay on matrices only, and a warm-up, constant, decay schedule.

The maximal-update parametrisation (muP; Yang et al., arXiv 2203.03466) lets every layer's output change equally much
in a step whatever the width, so that a learning rate tuned at one width holds at another. Which rule a parameter
falls under is read off the model itself: `base`, the same model at the width where the rate was tuned, has other
sizes exactly along those axes that grow with the width. Both functions here take such a base; on the meta device it
costs nothing:

    with torch.device("meta"):
        base = build(config_at_lr_width)
    apply_parametrisation(model, base, "mup")
    optimiser = make_optimiser(model, base, config)

The rules, for Adam (table 3 of the paper); n and n0 are a matrix's inputs in the model and in the base:

    ==================  =======================  ==============================  ===============
    parameter           sizes that grow          variance of the initial values  learning rate
    ==================  =======================  ==============================  ===============
    hidden matrix       inputs and outputs       base's * n0 / n                 rate * n0 / n
    output matrix       inputs                   base's * (n0 / n)^2             rate * n0 / n
    input matrix        outputs                  base's                          rate
    all others          one at most              base's                          rate
    ==================  =======================  ==============================  ===============

"All others" are biases, norms, mask tokens and depthwise kernels. At the base's own width nothing changes. The size
of an attention head does not grow here, so attention keeps its 1 / sqrt(d); where it would grow, muP needs 1 / d, and
that is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sonoscale.encoders import Block
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain._config import HEAD_SIZE, TrainConfig, head_grows


@dataclass(frozen=True)
class _Scale:
    """What the maximal-update parametrisation does to one parameter."""

    lr: float  # factor of the learning rate
    gain: float  # of initial values, over those of `init_weights`
    deviation: float | None = None  # that `init_weights` gives, of matrices that grow


@torch.no_grad()
def apply_parametrisation(model: nn.Module, base: nn.Module, kind: str) -> None:
    """Scale the initial weights of a model, once, right after it was made.

    Frozen parameters are scaled too, so that a teacher that began as a copy of a student remains one. Matrices of
    zeros remain zeros. Nothing is drawn at random.

    Arguments:
        model: initialised with `init_weights`; changed in place.
        base: the same model at `lr_width`, on any device; looked at under `mup` only.
        kind: `mup`, or `standard`, which leaves all as it is.

    Raises:
        SonoscaleError: under `mup`, attention heads grow with the width, or a parameter falls under no rule.
        ValueError: `base` is another model, or a matrix that grows was not initialised with `init_weights`.
    """
    if kind == "standard":
        return
    _check_heads(model, base)
    for name, parameter, scale in list(_scales(model, base)):
        if scale.deviation is None or not parameter.any():
            continue
        found = parameter.float().std().item()
        chance = 5 / math.sqrt(2 * max(parameter.numel() - 1, 1))  # five standard errors of a deviation
        if abs(found / scale.deviation - 1) > max(0.25, chance):  # a narrow CNN begins with 9 values
            raise ValueError(
                f"{name} has deviation {found:.3g}, not the {scale.deviation:.3g} of init_weights: it was initialised "
                "in another way, or parametrised before"
            )
        parameter.mul_(scale.gain)


def make_optimiser(model: nn.Module, base: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the parameters that are not frozen, one group for each learning rate and weight decay.

    A group's `factor` is what `set_lr` multiplies the rate with. Under `mup` the weight decay of a matrix is divided
    by its factor: AdamW multiplies the two, and what a step shrinks a weight by is to be the same at every width (as
    `MuAdam` of the authors' package does by default).

    Arguments:
        model: after `apply_parametrisation`.
        base: the same model at `config.lr_width`, on any device; looked at under `mup` only.
        config: gives `parametrisation`, `lr`, `betas` and `weight_decay`.

    Raises:
        SonoscaleError: under `mup`, a parameter falls under no rule.
        ValueError: `base` is another model.
    """
    factors: dict[str, float] = {}
    if config.parametrisation == "mup":
        factors = {name: scale.lr for name, _, scale in _scales(model, base)}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = factors.get(name, 1.0)
            decay = config.weight_decay / factor if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": config.lr * factor, "weight_decay": decay, "factor": factor}
            for (factor, decay), parameters in groups.items()
        ],
        betas=config.betas,
        fused=True,
    )


def set_lr(optimiser: torch.optim.Optimizer, config: TrainConfig, step: int, budget: int | None) -> float:
    """Set the learning rate for a step (0-based) and return its value before the groups' factors.

    `budget` is None on the trunk, where the rate stays constant after the warm-up; on a branch it falls linearly
    from the step where the branch leaves the trunk to 0 at the budget.
    """
    lr = config.lr * min(1.0, (step + 1) / max(1, config.warmup_steps))
    if budget is not None:
        lr *= (budget - step) / (budget - config.decay_start(budget) + 1)
    for group in optimiser.param_groups:
        group["lr"] = lr * group["factor"]
    return lr


def _scales(model: nn.Module, base: nn.Module) -> Iterator[tuple[str, Tensor, _Scale]]:
    """Each parameter with its name and rule."""
    matrices = {id(m.weight) for m in model.modules() if _is_matrix(m)}
    others = dict(base.named_parameters())
    for name, parameter in model.named_parameters():
        other = others.pop(name, None)
        if other is None or other.ndim != parameter.ndim:
            raise ValueError(f"the base is no model of the same kind: {name} has no counterpart of as many axes")
        yield name, parameter, _scale(name, parameter.shape, other.shape, matrix=id(parameter) in matrices)
    if others:
        raise ValueError(f"the base is no model of the same kind: it alone has {', '.join(others)}")


def _is_matrix(module: nn.Module) -> bool:
    """Whether its weight is a matrix between features: of a linear layer, or at each place of a dense convolution."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _scale(name: str, shape: torch.Size, base: torch.Size, *, matrix: bool) -> _Scale:
    grows = [a != b for a, b in zip(shape, base, strict=True)]
    if not matrix:
        if sum(grows) > 1:
            raise SonoscaleError(
                f"parametrisation = mup: no rule for {name}, which grows from {tuple(base)} to {tuple(shape)} and is "
                "no matrix of a linear layer; use parametrisation = standard"
            )
        return _Scale(lr=1.0, gain=1.0)
    if not any(grows):
        return _Scale(lr=1.0, gain=1.0)
    inputs = base[1] / shape[1]  # n0 / n
    gain = inputs**0.5 if grows[0] else inputs  # 1 where the inputs do not grow
    first, now = (_deviation(each) for each in (base, shape))
    return _Scale(lr=inputs, gain=gain * first / now, deviation=now)


def _deviation(shape: torch.Size) -> float:
    """Of the values that `init_weights` draws: Xavier's for matrices, and for kernels what keeps the variance."""
    return (2 / sum(shape)) ** 0.5 if len(shape) == 2 else shape[1:].numel() ** -0.5


def _check_heads(model: nn.Module, base: nn.Module) -> None:
    others = dict(base.named_modules())
    for name, block in model.named_modules():
        other = others.get(name)
        if isinstance(block, Block) and isinstance(other, Block):
            size, before = (b.out.in_features // b.heads for b in (block, other))
            if head_grows(size, before):
                raise SonoscaleError(
                    f"parametrisation = mup: {name} has attention heads of {size} dimensions, {before} at lr_width, "
                    "and their size must not grow with the width; leave encoder.heads out, take widths that are "
                    f"multiples of {HEAD_SIZE}, or use parametrisation = standard"
                )
