"""Load an encoder from one string."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import overload

import torch

from sonoscale.arguments import check_arguments
from sonoscale.encoders._adapter import Adapter
from sonoscale.encoders._audio_encoder import AudioEncoder
from sonoscale.encoders._baseline import LogMelStatistics, untrained
from sonoscale.encoders._checked import CheckedEncoder, Precision, isolated
from sonoscale.encoders._checkpoint import checkpoint_encoder, checkpoint_path
from sonoscale.encoders._device import find_device
from sonoscale.encoders._hear import HearEncoder
from sonoscale.encoders._hf import load_hf
from sonoscale.encoders._onnx import OnnxEncoder
from sonoscale.encoders._own import OwnEncoder
from sonoscale.encoders._python import load_python
from sonoscale.encoders._xares import XaresEncoder
from sonoscale.errors import SonoscaleError, in_one_line


@overload
def load_encoder(spec: Path, *, device: str | torch.device = "cpu") -> AudioEncoder: ...


@overload
def load_encoder(
    spec: str,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    layer: int | None = None,
) -> CheckedEncoder: ...


@in_one_line
def load_encoder(
    spec: str | Path,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    layer: int | None = None,
) -> AudioEncoder | CheckedEncoder:
    """Load a trained encoder, ours or not, in eval mode.

    Arguments:
        spec: a `Path` is one of our run folders (its `checkpoint.pt` is read) or checkpoint files, and gives the
            `AudioEncoder` itself. A string gives any encoder, checked and in inference mode:

            - a run folder or checkpoint file of ours;
            - `hf:owner/name`, `hf:owner/name@revision`, `hf:/folder`: transformers (`load_hf`);
            - `hear:module`, `hear:module:weights`: the HEAR API (`HearEncoder`);
            - `xares:file.py`, `xares:file.py:Class`: X-ARES (`XaresEncoder`);
            - `onnx:file.onnx?rate=16000`: ONNX Runtime (`OnnxEncoder`);
            - `python:module:factory`, `python:file.py:factory`: your own (`load_python`);
            - `logmel`, `logmel:BANDS` (`LogMelStatistics`), `untrained:RUN` (`untrained`): what an encoder must beat.

            `hear:`, `xares:` and `python:` run the code that they name, and `hf:` does if asked to.
        device: of the model and the embeddings.
        precision: `fp32`, or `bf16` or `fp16` by autocast; pooling is in float32.
        layer: embed with this layer, see `CheckedEncoder`.

    Returns:
        The encoder: `sample_rate`, `dim`, `embed(waves)`, `embed_layers`, `embed_frames`.

    Raises:
        SonoscaleError: nothing there, not what the kind of spec asks for, or the device, precision or layer is not to
            be had.

    Example:
        >>> import torch
        >>> encoder = load_encoder("logmel:32")
        >>> encoder.sample_rate, encoder.dim, encoder.identity
        (16000, 64, 'logmel:32 log-mel statistics, 32 bands')
        >>> encoder.embed(torch.zeros(2, 16_000)).shape  # waves [clips, samples] to embeddings [clips, dim]
        torch.Size([2, 64])
    """
    check_arguments(load_encoder, locals())
    target = torch.device(find_device(device))
    if isinstance(spec, Path):
        if precision != "fp32" or layer is not None:
            raise SonoscaleError(f"{spec}: precision and layer are for specs given as text, not as a Path")
        return _checkpoint(spec).to(target)
    kind, colon, rest = spec.partition(":")
    with isolated(target):
        if (colon and kind in KINDS) or (spec == "logmel" and not Path(spec).exists()):
            adapter = KINDS[kind](rest, spec, target)
        elif re.fullmatch(r"[a-z]\w*", kind) and colon and not Path(spec).exists():
            raise SonoscaleError(f"{spec}: {kind}: is no kind of encoder; kinds: {', '.join(KINDS)}, or a run folder")
        else:
            adapter = OwnEncoder(_checkpoint(Path(spec)).to(target), spec)
    if precision != "fp32" and kind == "onnx":
        raise SonoscaleError(f"{spec}: an ONNX file has the precision that it was exported with; drop {precision}")
    return CheckedEncoder(adapter, spec=spec, device=target, precision=precision, layer=layer)


def _checkpoint(path: Path) -> AudioEncoder:
    return checkpoint_encoder(checkpoint_path(path))


def _untrained(rest: str, spec: str, device: torch.device) -> Adapter:
    return untrained(rest, spec, device, load=_checkpoint)


KINDS: dict[str, Callable[[str, str, torch.device], Adapter]] = {
    "hear": HearEncoder,
    "hf": load_hf,
    "logmel": LogMelStatistics,
    "onnx": OnnxEncoder,
    "python": load_python,
    "untrained": _untrained,
    "xares": XaresEncoder,
}
