"""The backbones, by their names in a configuration."""

from __future__ import annotations

from sonoscale.encoders._cnn import PatchCNN
from sonoscale.encoders._config import EncoderConfig
from sonoscale.encoders._conv import PatchConvNeXt
from sonoscale.encoders._vit import PatchViT

Backbone = PatchViT | PatchConvNeXt | PatchCNN


def make_backbone(config: EncoderConfig) -> Backbone:
    """The backbone that a configuration names, initialised from torch's generator.

    Every backbone is called as `backbone(patches, visible=None)` and has `forward_layers(patches)`, see
    `PatchViT.forward`; what lies in hidden patches never reaches its result.

    Arguments:
        config: shape of the encoder.

    Returns:
        The backbone, in training mode.

    Example:
        >>> import torch
        >>> config = EncoderConfig(width=32, depth=1)
        >>> make_backbone(config)(torch.zeros(2, 12, config.patch_size)).shape
        torch.Size([2, 12, 32])
    """
    kinds: dict[str, type[Backbone]] = {"vit": PatchViT, "conv": PatchConvNeXt, "cnn": PatchCNN}
    return kinds[config.backbone](config)
