"""The one rule of what a device may be called."""

from __future__ import annotations

import torch

from sonoscale.errors import SonoscaleError

__all__ = ["find_device"]


def find_device(device: str | torch.device) -> str:
    """Where something is computed.

    Arguments:
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, one GPU of several (`cuda:1`), or another kind that
            PyTorch has here.

    Returns:
        The same, with `auto` resolved to `cuda` or `cpu`.

    Raises:
        SonoscaleError: there is no such device.

    Example:
        >>> find_device("cpu")
        'cpu'
        >>> find_device("tpu")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: device = 'tpu': must be auto, cpu, cuda or one of several, such as cuda:1
    """
    name = str(device)
    kind, colon, index = name.partition(":")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if gpus else "cpu"
    if kind == "cuda" and (not colon or index.isdecimal()):  # nothing is asked of the GPU yet
        if not gpus:
            raise SonoscaleError(f"device = {name!r}: PyTorch finds no GPU here; use cpu")
        if index and int(index) >= gpus:
            raise SonoscaleError(f"device = {name!r}: PyTorch finds {gpus} GPU(s) here, the last is cuda:{gpus - 1}")
        return name
    try:
        if kind == "meta" or (kind == "cpu" and colon) or not torch.empty(0, device=name).device.type:
            raise RuntimeError
    except (RuntimeError, AssertionError, NotImplementedError):
        shown = name if len(name) <= 80 else f"{name[:80]}..."
        raise SonoscaleError(f"device = {shown!r}: must be auto, cpu, cuda or one of several, such as cuda:1") from None
    return name
