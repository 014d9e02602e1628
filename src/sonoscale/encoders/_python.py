"""`python:module:factory`: an encoder of the user's own."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from sonoscale.encoders._adapter import Adapter, even_centres, probe_wave
from sonoscale.encoders._foreign import positive, query, ready
from sonoscale.encoders._identity import code_identity, identity, weights_identity
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import attribute, import_code, one_line


def load_python(rest: str, spec: str, device: torch.device) -> Adapter:
    """Load `module:name`, where `name` stands for one of:

    - a function or class that, called without arguments, returns one of the following;
    - an object with the attributes and methods of `Encoder` (`layers`, `identity`, `min_samples`, `embed_layers` and
      `embed_frames` may be missing);
    - a callable, wave `[batch, samples]` -> `[batch, dim]` or `[batch, steps, dim]`, with the attribute `sample_rate`
      or with `?rate=16000` behind its name.

    Torch modules are put into eval mode and on the device.

    Arguments:
        rest: `module:name` or `/path/file.py:name`, and perhaps `?rate=`.
        spec: for messages.
        device: for torch modules.

    Raises:
        SonoscaleError: no such module or name, it fails, or what it gives is none of these.
    """
    target, settings = query(rest, spec, {"rate"})
    module_name, _, name = target.rpartition(":")
    if not module_name or not name:
        raise SonoscaleError(f"{spec}: write python:module:factory or python:file.py:factory")
    made = attribute(import_code(module_name, spec), name, spec, where=module_name)
    if _is_factory(made):
        try:
            made = made()
        except (Exception, SystemExit) as error:
            raise SonoscaleError(f"{spec}: {name}() failed: {one_line(error)}") from error
    made = ready(made, device)
    own = made.identity if isinstance(getattr(made, "identity", None), str) else None
    who = identity(spec, code_identity(module_name), own or weights_identity(made))
    rate = positive(settings["rate"], "rate", spec) if "rate" in settings else None
    if callable(getattr(made, "embed", None)) and not isinstance(made.embed, nn.Module):
        return _Given(made, spec, who, rate)
    if callable(made):
        return _Callable(made, spec, who, rate, device)
    raise SonoscaleError(
        f"{spec}: {name} gives type {type(made).__name__}, neither an encoder with embed() nor a callable of a wave"
    )


def _is_factory(made: Any) -> bool:
    """Whether it is to be called without arguments, rather than with a wave."""
    if isinstance(made, nn.Module) or not callable(made):
        return False
    if inspect.isclass(made):
        return True
    if callable(getattr(made, "embed", None)):
        return False
    try:
        inspect.signature(made).bind()
    except TypeError:
        return False  # needs an argument: the wave
    except ValueError:
        return True  # has no signature to ask
    return True


class _Given(Adapter):
    """An object with the methods of `Encoder`; pooling is its own."""

    def __init__(self, made: Any, spec: str, who: str, rate: int | None) -> None:
        where = type(made).__name__
        self.sample_rate = positive(attribute(made, "sample_rate", spec, where=where), "sample_rate", spec)
        self.dim = positive(attribute(made, "dim", spec, where=where), "dim", spec)
        if rate not in (None, self.sample_rate):
            raise SonoscaleError(
                f"{spec}: rate = {rate}, but the encoder's sample_rate is {self.sample_rate}; drop ?rate"
            )
        layers = getattr(made, "layers", None)
        self.layers = None if layers is None else positive(layers, "layers", spec)
        self.min_samples = positive(getattr(made, "min_samples", 1), "min_samples", spec)
        longest = getattr(made, "max_samples", None)
        self.max_samples = None if longest is None else positive(longest, "max_samples", spec)
        self.identity = who
        self.why_no_layers = self.why_no_frames = f"{where} does not define them"
        self.embed = made.embed
        if self.layers is not None:
            self.embed_layers = attribute(made, "embed_layers", spec, where=where)
        if hasattr(made, "embed_frames"):
            self.embed_frames = made.embed_frames


class _Callable(Adapter):
    """A plain callable. If it gives steps, a clip's embedding is the mean over all of them, in float32: all are
    taken to lie within the clip, and for `embed_frames` to divide it evenly."""

    def __init__(self, call: Any, spec: str, who: str, rate: int | None, device: torch.device) -> None:
        if rate is None:
            if not hasattr(call, "sample_rate"):
                raise SonoscaleError(f"{spec}: at which rate? add ?rate=16000, or an attribute sample_rate")
            rate = positive(call.sample_rate, "sample_rate", spec)
        self.sample_rate, self.identity = rate, who
        self.min_samples = positive(getattr(call, "min_samples", 1), "min_samples", spec)
        self._call = call
        try:
            with torch.inference_mode():
                out = self._output(probe_wave(self, device))
        except SonoscaleError as error:
            raise SonoscaleError(f"{spec}: {error}") from None
        except Exception as error:
            raise SonoscaleError(f"{spec}: failed on a second of noise: {one_line(error)}") from error
        self.dim = out.shape[-1]
        self.why_no_frames = "it gives [batch, dim]"

    def _output(self, wave: Tensor) -> Tensor:
        out = torch.as_tensor(self._call(wave))
        if out.ndim not in (2, 3) or len(out) != len(wave) or not out.numel():
            raise SonoscaleError(
                f"gave a shape of {list(out.shape)} for waves of {list(wave.shape)}, "
                "not [batch, dim] or [batch, steps, dim]"
            )
        return out.float()

    def embed(self, wave: Tensor) -> Tensor:
        out = self._output(wave)
        return out.mean(dim=1) if out.ndim == 3 else out

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        out = self._output(wave)
        if out.ndim != 3:
            return super().embed_frames(wave)
        return out, even_centres(out.shape[1], wave.shape[1], self.sample_rate)
