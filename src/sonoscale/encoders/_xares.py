"""`xares:file.py`: encoders written for X-ARES."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from sonoscale.encoders._adapter import Adapter
from sonoscale.encoders._foreign import positive, ready
from sonoscale.encoders._identity import code_identity, identity, weights_identity
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import attribute, import_code, one_line


class XaresEncoder(Adapter):
    """A torch module with `sampling_rate`, `output_dim`, `hop_size_in_ms`, and frames `[B, T', D]` of waves `[B, T]`.

    Its own frames are those that begin within the clip, by the declared hop: frame i is kept if `i * hop` is at most
    the clip's length. Frames after that come from padding (an encoder that always takes 10 s, say) and are left out
    of the mean. Frame i is taken to be centred at `(i + 1/2) * hop`. X-ARES asks that encoders pad short clips
    themselves, so `min_samples` is 1.

    Arguments:
        rest: `file.py`, or `file.py:Class` where the file has several classes whose names end with `Encoder`; a
            module name will do in place of the file.
        spec: for messages.
        device: for the module.

    Raises:
        SonoscaleError: no such file or class, it fails, or it lacks an attribute.
    """

    why_no_layers = "X-ARES's interface has none"

    def __init__(self, rest: str, spec: str, device: torch.device) -> None:
        name, _, wanted = rest.partition(":")
        made = _encoder_class(import_code(name, spec), wanted, name, spec)
        try:
            self._module = ready(made(), device)
        except Exception as error:
            raise SonoscaleError(f"{spec}: {made.__name__}() failed: {one_line(error)}") from error
        self.sample_rate, self.dim = (
            positive(attribute(self._module, key, spec, where=made.__name__), key, spec)
            for key in ("sampling_rate", "output_dim")
        )
        hop = attribute(self._module, "hop_size_in_ms", spec, where=made.__name__)
        try:
            self._hop = float(hop)
        except (TypeError, ValueError):
            self._hop = math.nan
        if not 0 < self._hop < math.inf:
            raise SonoscaleError(f"{spec}: hop_size_in_ms = {hop!r} is not a positive number")
        self.identity = identity(spec, code_identity(name), weights_identity(self._module))

    def _frames(self, wave: Tensor) -> Tensor:
        out = self._module(wave)
        if not isinstance(out, Tensor) or out.ndim != 3 or not out.shape[1]:
            found = f"a shape of {list(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
            raise SonoscaleError(f"forward gave {found}, not a tensor [batch, steps, {self.dim}]")
        milliseconds = 1000 * wave.shape[1] / self.sample_rate
        return out[:, : math.floor(milliseconds / self._hop) + 1].float()

    def embed(self, wave: Tensor) -> Tensor:
        return self._frames(wave).mean(dim=1)

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        frames = self._frames(wave)
        return frames, (torch.arange(frames.shape[1]) + 0.5) * self._hop


def _encoder_class(module: Any, wanted: str, name: str, spec: str) -> Any:
    """The class asked for, or the only torch module in the file whose name ends with `Encoder`, as X-ARES has it."""
    if wanted:
        found = getattr(module, wanted, None)
        if not inspect.isclass(found) or not issubclass(found, nn.Module):
            raise SonoscaleError(f"{spec}: {name} has no torch module class {wanted}")
        return found
    classes = [
        value
        for key, value in vars(module).items()
        if key.endswith("Encoder")
        and inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(c.__name__ for c in classes) or "none"
        raise SonoscaleError(
            f"{spec}: {name} has to define one torch module class whose name ends with Encoder; found {names}; "
            "name one: xares:file.py:Class"
        )
    return classes[0]
