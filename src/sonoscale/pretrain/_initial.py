"""Weights that a training begins with instead of drawing them, and layers that keep theirs."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.encoders import AudioEncoder, EncoderConfig, own_encoder
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.pretrain._config import RunConfig
    from sonoscale.pretrain._objective import Objective

__all__ = ["begin_with", "check_initial", "freeze_layers", "initial_identity", "initial_place"]


def initial_place(config: RunConfig) -> str | None:
    """Where the weights of a run lie, whatever folder a process works in; None where they are drawn."""
    if config.train.init is None:
        return None
    return str(Path(config.train.init.removeprefix("hf:")).expanduser().absolute())


def check_initial(config: RunConfig) -> None:
    """Whether the encoder that a run begins with is there, and of the shape that the run trains.

    Raises:
        SonoscaleError: it is not; the message names the key that differs.
    """
    if config.train.init is None:
        return
    source = config.train.init
    try:
        shape, _ = _known(*_version(source))
    except SonoscaleError as error:
        raise SonoscaleError(f"train.init = {error}") from None
    there, wanted = (_content(one) for one in (EncoderConfig.model_validate(shape), config.encoder))
    different = [key for key, value in there.items() if wanted[key] != value]
    if different:
        key = different[0]
        right = ", ".join(f"{name}: {there[name]}" for name in different)
        raise SonoscaleError(
            f"train.init = {source}: its encoder has {key} = {there[key]}, and encoder.{key} = {wanted[key]}; give "
            f"encoder: {{{right}}}"
        )


def initial_identity(config: RunConfig) -> str | None:
    """Hash of the weights that a run begins with, the same wherever they lie; None where they are drawn.

    Raises:
        SonoscaleError: see `check_initial`.
    """
    if config.train.init is None:
        return None
    check_initial(config)
    return _known(*_version(config.train.init))[1]


def begin_with(objective: Objective, place: str, identity: str | None) -> None:
    """Give the encoder of an objective, and a teacher that copies it, weights that were trained before.

    The normalisation of the log-mels comes with the weights, so that nothing has changed at step 0. Decoder and
    projector begin anew.

    Arguments:
        objective: newly built.
        place: see `initial_place`.
        identity: what `initial_identity` found there.

    Raises:
        SonoscaleError: other weights are there by now.
    """
    encoder = own_encoder(place)
    if encoder.identity != identity:
        raise SonoscaleError(f"{place}: is not the encoder that this run was to begin with; run it again")
    objective.take_encoder(encoder.state_dict())


def freeze_layers(encoder: AudioEncoder, layers: int) -> None:
    """Let the first layers of an encoder keep their weights.

    Arguments:
        encoder: any of ours.
        layers: how many: the patch embedding (of a CNN, all strided convolutions), then the blocks; with all of them
            the final norm is frozen too.
    """
    if layers == 0:
        return
    backbone = encoder.backbone
    trained: list[Any] = list(backbone.blocks)[layers - 1 :]
    if layers <= len(backbone.blocks):
        trained.append(backbone.norm)
    kept = {id(parameter) for module in trained for parameter in module.parameters()}
    for parameter in backbone.parameters():
        if id(parameter) not in kept:
            parameter.requires_grad_(False)


def _content(config: EncoderConfig) -> dict[str, Any]:
    return config.model_dump() | {"heads": config.n_heads}


def _version(source: str) -> tuple[str, tuple[Any, ...]]:
    """A source, and when its files were last changed: they are read once for however many runs."""
    path = Path(source.removeprefix("hf:")).expanduser()
    files = (path, *(path / name for name in ("checkpoint.pt", "model.safetensors", "config.json")))
    return source, tuple((str(file.absolute()), file.stat().st_mtime_ns) for file in files if file.is_file())


@functools.lru_cache(maxsize=256)
def _known(source: str, version: tuple[Any, ...]) -> tuple[dict[str, Any], str]:
    """Shape and hash of the encoder there."""
    encoder = own_encoder(source)
    return encoder.config.model_dump(), encoder.identity
