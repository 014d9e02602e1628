"""Parameters and floating-point operations of an encoder, counted exactly from its shape.

A multiply-add is two operations. Matrix products and convolutions are counted, as in `torch.utils.flop_counter`; norms,
activations and the front end are not. Convolutions are counted as if the zeros beyond the edges were multiplied.
"""

from __future__ import annotations

import itertools

from sonoscale.encoders._config import EncoderConfig
from sonoscale.errors import SonoscaleError


def encoder_params(config: EncoderConfig) -> int:
    """Trainable parameters of an `AudioEncoder`.

    Arguments:
        config: shape of the encoder.

    Returns:
        The number, without the fixed positions and the front end.

    Example:
        >>> encoder_params(EncoderConfig(backbone="vit", width=32, depth=2))
        33696
    """
    width = config.width
    if config.backbone == "cnn":
        stem = sum(linear_params(9 * a, b) + 2 * b for a, b in _stem_pairs(config))
        return stem + config.depth * (4 * width + 2 * linear_params(9 * width, width)) + 2 * width
    ends = linear_params(config.patch_size, width) + 2 * width  # patch embedding, final norm
    if config.backbone == "vit":
        return ends + config.depth * block_params(width, config.mlp_width)
    return ends + width + config.depth * _conv_block_params(width, config.mlp_width, config.kernel)


def encoder_flops(config: EncoderConfig, time_patches: int, visible: int, *, frozen: int = 0) -> tuple[int, int]:
    """Operations of the backbone on one example, forward and backward.

    A backward pass costs two products for each product, but one in the patch embedding, as patches need no gradient.
    It ends at the first layer that is trained.
    The transformer works on the visible patches alone, convolutions on the whole grid.

    `FlopCounterMode` of torch 2.6 to 2.13 counts the gradient of a depthwise kernel `width` times too high, as if
    the convolution were not grouped. Here it costs what the forward convolution costs, which is what is computed.

    Arguments:
        config: shape of the encoder.
        time_patches: patches along time.
        visible: visible patches, at most `time_patches * config.mel_patches`; all of them at inference.
        frozen: layers that are not trained, from the first, which is the patch embedding.

    Returns:
        Operations of the forward and of the backward pass; a multiplication and an addition count as two.

    Raises:
        SonoscaleError: there are not that many patches.

    Example:
        >>> config = EncoderConfig(backbone="vit", width=32, depth=2)
        >>> encoder_flops(config, time_patches=6, visible=6 * config.mel_patches)
        (1720320, 3047424)
    """
    patches = time_patches * config.mel_patches
    if not 0 <= visible <= patches:
        raise SonoscaleError(f"visible = {visible} is not between 0 and the {patches} patches of the grid")
    if config.backbone == "cnn":
        return _cnn_flops(config, patches, frozen)
    embed, unneeded = 2 * visible * config.patch_size * config.width, 0
    if config.backbone == "vit":
        forward, backward = block_flops(visible, config.width, config.mlp_width)
    else:
        depthwise = 2 * patches * config.width * config.kernel**2
        forward = depthwise + 2 * patches * config.width * 2 * config.mlp_width
        backward = 2 * forward
        unneeded = depthwise  # a block begins with it, and what comes from a frozen layer needs no gradient
    if not frozen:
        return embed + config.depth * forward, embed + config.depth * backward
    trained = config.depth + 1 - frozen
    return embed + config.depth * forward, trained * backward - (unneeded if trained else 0)


def _cnn_flops(config: EncoderConfig, patches: int, frozen: int) -> tuple[int, int]:
    """Over the whole grid; the log-mels need no gradient."""
    places = patches * config.patch_size
    layers = []
    for (inputs, outputs), (along_time, along_mel) in zip(_stem_pairs(config), config.stem_strides, strict=True):
        places //= along_time * along_mel
        layers.append(2 * places * 9 * inputs * outputs)
    block = 2 * (2 * patches * 9 * config.width**2)
    forward = sum(layers) + config.depth * block
    if frozen:
        return forward, 2 * (config.depth + 1 - frozen) * block
    return forward, 2 * forward - layers[0]


def _stem_pairs(config: EncoderConfig) -> list[tuple[int, int]]:
    """Input and output channels of the strided convolutions."""
    return list(itertools.pairwise([1, *config.stem_channels]))


def block_params(width: int, mlp_width: int) -> int:
    """Parameters of a transformer `Block`."""
    attention = linear_params(width, 3 * width) + linear_params(width, width)
    return 4 * width + attention + linear_params(width, mlp_width) + linear_params(mlp_width, width)


def block_flops(tokens: int, width: int, mlp_width: int) -> tuple[int, int]:
    """Operations of a transformer `Block` on one example, forward and backward.

    Attention takes two products of tokens by tokens forward and four backward: what fused kernels compute again is
    not counted.
    """
    matrices = 2 * tokens * width * (4 * width + 2 * mlp_width)
    attention = 2 * 2 * tokens * tokens * width
    return matrices + attention, 2 * (matrices + attention)


def linear_params(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with a bias."""
    return inputs * outputs + outputs


def _conv_block_params(width: int, mlp_width: int, kernel: int) -> int:
    return (
        linear_params(kernel**2, width) + 2 * width + linear_params(width, mlp_width) + linear_params(mlp_width, width)
    )
