"""One layer of checks around every adapter."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sonoscale.encoders._adapter import Adapter
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import one_line

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class CheckedEncoder:
    """An adapter whose inputs and outputs are checked; implements `Encoder`.

    Calls run in inference mode with the random generators of torch, NumPy and Python seeded alike and put back
    afterwards, so nothing depends on, or changes, the state of the program around them. In fp32, TF32 is off. What
    comes back is float32, finite, of the promised shape, on the encoder's device, and may be used in training.

    Arguments:
        adapter: what does the work.
        spec: for messages.
        device: where waves are sent.
        precision: `bf16` or `fp16` run the model under autocast, on the CPU only `bf16`; pooling stays in float32.
        layer: stop at this layer, counted from 0 or, if negative, from the end: it is then the last of
            `embed_layers`, and what `embed` gives; None for the encoder's own output.

    Attributes:
        max_samples: longest clip that can be embedded, in samples; None if any length can be.

    Raises:
        SonoscaleError: there is no such layer, or the device does not do this precision.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        spec: str,
        device: torch.device,
        precision: Precision = "fp32",
        layer: int | None = None,
    ) -> None:
        if precision not in DTYPES:
            raise SonoscaleError(f"precision {precision!r} is not known; known: {', '.join(DTYPES)}")
        if precision == "fp16" and device.type == "cpu":
            raise SonoscaleError("precision fp16 needs a GPU; on the CPU use fp32 or bf16")
        self._adapter, self.spec, self.device = adapter, spec, device
        self.precision: Precision = precision
        self.sample_rate, self.dim = adapter.sample_rate, adapter.dim
        self.min_samples, self.max_samples = adapter.min_samples, adapter.max_samples
        self.layers, self._layer = adapter.layers, None
        self.frequency_patches = adapter.frequency_patches
        self.layer_tokens, self.embed_is_token_mean = adapter.layer_tokens, adapter.embed_is_token_mean
        self.identity = adapter.identity
        if layer is not None:
            self.layers = self._layer_index(layer) + 1
            self._layer = self.layers - 1
            self.identity += f" layer={self._layer}"
        self.identity = identity_at(self.identity, precision)

    def embed(self, wave: Tensor) -> Tensor:
        """See `Encoder.embed`.

        Raises:
            SonoscaleError: a wave or an embedding is not what `Encoder` says, or the foreign code fails; so too below.
        """
        if self._layer is not None:
            return self.embed_layers(wave)[-1]
        wave = self._wave(wave)
        out = self._tensor(self._run(self._adapter.embed, wave), "embed")
        self._check(out, "embed", (len(wave), self.dim), ("clips", "dimensions"), batch_axis=0)
        return out

    def embed_layers(self, wave: Tensor) -> Tensor:
        """See `Encoder.embed_layers`."""
        wave = self._wave(wave)
        out = self._tensor(self._run(self._adapter.embed_layers, wave), "embed_layers")
        shape = (self._adapter.layers or out.shape[0], len(wave), self.dim)
        self._check(out, "embed_layers", shape, ("layers", "clips", "dimensions"), batch_axis=1)
        return out[: self.layers]

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """See `Encoder.embed_frames`."""
        if self._layer is not None:
            raise SonoscaleError(f"{self.spec}: frames are of the encoder's output; load it without layer=")
        wave = self._wave(wave)
        out = self._run(self._adapter.embed_frames, wave)
        if not isinstance(out, tuple) or len(out) != 2:
            raise SonoscaleError(
                f"{self.spec}: embed_frames gave no pair of frames and times but a {type(out).__name__}"
            )
        frames, times = self._tensor(out[0], "embed_frames"), self._tensor(out[1], "the times of embed_frames")
        width = self._adapter.frame_dim or self.dim
        steps = frames.shape[1] if frames.ndim == 3 else 1
        self._check(frames, "embed_frames", (len(wave), steps, width), ("clips", "steps", "dimensions"), batch_axis=0)
        times = times.reshape(-1) if times.ndim == 1 else self._shared_times(times)
        if len(times) != steps or not torch.isfinite(times).all() or (times.diff() <= 0).any():
            raise SonoscaleError(f"{self.spec}: embed_frames gave {steps} steps but not as many ascending times in ms")
        return frames, times

    def embed_tokens(self, wave: Tensor) -> Tensor:
        """All tokens, time-major: float32 `[batch, steps * frequency_patches, dim]`, of encoders that have patches."""
        if self._layer is not None:
            raise SonoscaleError(f"{self.spec}: tokens are of the encoder's output; load it without layer=")
        wave = self._wave(wave)
        out = self._tensor(self._run(self._adapter.embed_tokens, wave), "embed_tokens")
        tokens = out.shape[1] if out.ndim == 3 else 1
        shape = (len(wave), tokens, self._adapter.frame_dim or self.dim)
        self._check(out, "embed_tokens", shape, ("clips", "tokens", "dimensions"), batch_axis=0)
        return out

    def embed_layer_tokens(self, wave: Tensor) -> Tensor:
        """All tokens (or frames) of every layer: float32 `[layers, batch, tokens, dim]`, of encoders that give them."""
        wave = self._wave(wave)
        out = self._tensor(self._run(self._adapter.embed_layer_tokens, wave), "embed_layer_tokens")
        tokens = out.shape[2] if out.ndim == 4 else 1
        shape = (self._adapter.layers or out.shape[0], len(wave), tokens, self.dim)
        names = ("layers", "clips", "tokens", "dimensions")
        self._check(out, "embed_layer_tokens", shape, names, batch_axis=1)
        return out[: self.layers]

    def _shared_times(self, times: Tensor) -> Tensor:
        """Times given for each clip, `[batch, steps]`: clips of one length have the same ones."""
        if times.ndim != 2 or not len(times) or (times != times[:1]).any():
            raise SonoscaleError(f"{self.spec}: embed_frames gave clips of one length different times")
        return times[0]

    def _layer_index(self, layer: int) -> int:
        count = self._adapter.layers
        if count is None:
            why = getattr(self._adapter, "why_no_layers", "its interface has none")
            raise SonoscaleError(f"{self.spec}: no layer {layer}: the encoder gives no layers: {why}")
        if not -count <= layer < count:
            raise SonoscaleError(f"{self.spec}: no layer {layer}: there are {count}, 0 to {count - 1} (-1 is the last)")
        return layer % count

    def _wave(self, wave: Tensor) -> Tensor:
        """The wave on the device, or an error if it is not what `Encoder` says."""
        if not isinstance(wave, Tensor) or wave.ndim != 2 or wave.dtype != torch.float32 or not len(wave):
            found = f"{wave.dtype} {list(wave.shape)}" if isinstance(wave, Tensor) else type(wave).__name__
            raise SonoscaleError(f"{self.spec}: a wave is a float32 tensor [clips, samples], not {found}")
        samples, rate = wave.shape[1], self.sample_rate
        if samples < self.min_samples:
            raise SonoscaleError(
                f"{self.spec}: a clip of {samples} samples is shorter than the {self.min_samples} "
                f"({self.min_samples / rate:.3f} s at {rate} Hz) that the encoder needs"
            )
        if self.max_samples is not None and samples > self.max_samples:
            raise SonoscaleError(
                f"{self.spec}: a clip of {samples} samples is longer than the {self.max_samples} "
                f"({self.max_samples / rate:.3f} s at {rate} Hz) that the encoder takes; cut it"
            )
        if not _finite(wave):
            bad = ~torch.isfinite(wave).all(dim=1)
            raise SonoscaleError(
                f"{self.spec}: clip {int(bad.nonzero()[0])} of {len(wave)} has NaN or infinite samples"
            )
        return wave.detach().to(self.device)

    def _run(self, method: Callable[[Tensor], Any], wave: Tensor) -> Any:
        try:
            with isolated(self.device), _precision(self.device, self.precision), torch.inference_mode():
                return method(wave)
        except SonoscaleError as error:
            raise SonoscaleError(f"{self.spec}: {error}") from error
        except torch.OutOfMemoryError as error:
            raise SonoscaleError(
                f"{self.spec}: out of memory on {self.device} for {len(wave)} clips of {wave.shape[1]} samples; "
                "put fewer into a batch (batch_seconds)"
            ) from error
        except (Exception, SystemExit) as error:  # foreign code may raise anything
            name = getattr(method, "__name__", "the call")
            raise SonoscaleError(f"{self.spec}: {name} failed on {list(wave.shape)}: {one_line(error)}") from error

    def _tensor(self, out: Any, what: str) -> Tensor:
        if isinstance(out, np.ndarray):
            out = torch.from_numpy(np.ascontiguousarray(out))
        if not isinstance(out, Tensor):
            raise SonoscaleError(f"{self.spec}: {what} gave a {type(out).__name__}, not a tensor")
        # Copied, as tensors made in inference mode cannot be trained on.
        return out.detach().to(self.device, torch.float32, copy=True)

    def _check(
        self, out: Tensor, what: str, shape: tuple[int, ...], names: tuple[str, ...], *, batch_axis: int
    ) -> None:
        if tuple(out.shape) != shape:
            right = ", ".join(f"{size} {name}" for size, name in zip(shape, names, strict=True))
            raise SonoscaleError(f"{self.spec}: {what} gave a shape of {list(out.shape)}, not {list(shape)} ({right})")
        if not _finite(out):
            clips = torch.isfinite(out).transpose(0, batch_axis).flatten(1).all(dim=1)
            bad = int((~clips).nonzero()[0])
            raise SonoscaleError(f"{self.spec}: {what} gave NaN or infinity for clip {bad} of {len(clips)}")


def _finite(values: Tensor) -> bool:
    """Whether all are, by the extremes, which are NaN if any is: several times as fast as asking each."""
    return not values.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(values.detach()))).all())


def identity_at(identity: str, precision: Precision) -> str:
    """The identity of an encoder that runs in this precision, given that in fp32."""
    return identity if precision == "fp32" else f"{identity} {precision}"


@contextlib.contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Seed all random generators with 0, and put them back at the end."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - foreign code draws from it
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.manual_seed(0)
        else:
            torch.default_generator.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


@contextlib.contextmanager
def _precision(device: torch.device, precision: Precision) -> Iterator[None]:
    """Autocast for bf16 and fp16; for fp32 convolutions and matrix products without TF32."""
    with contextlib.ExitStack() as stack:
        if precision != "fp32":
            stack.enter_context(torch.autocast(device.type, DTYPES[precision]))
        elif device.type == "cuda":
            before = torch.backends.cuda.matmul.allow_tf32
            stack.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", before)
            torch.backends.cuda.matmul.allow_tf32 = False
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
        yield
