"""Sizes of attention heads, which must not grow with the width under the maximal-update parametrisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sonoscale.pretrain._config import RunConfig

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
