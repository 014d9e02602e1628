"""Which device a probe may use."""

from __future__ import annotations

from sonoscale.errors import SonoscaleError

__all__ = ["find_device"]


def find_device(device: str) -> str:
    """`auto` as what it stands for here: cuda where there is any, or cpu; any other name as it is.

    Raises:
        SonoscaleError: torch knows no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(device)
    except RuntimeError:
        raise SonoscaleError(f"device {device}: not there; use auto, cpu, cuda or cuda:1") from None
    return device
