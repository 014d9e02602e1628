"""`onnx:file.onnx`: exported models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonoscale.encoders._adapter import Adapter, even_centres, probe_wave
from sonoscale.encoders._foreign import positive, query
from sonoscale.encoders._identity import file_hash, identity
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.own_code import one_line

RANKS = {"BT": 2, "BCT": 3, "T": 1}  # of the input, by layout
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxEncoder(Adapter):
    """A file for ONNX Runtime: `onnx:file.onnx?rate=16000`, and after that, joined by `&`, if need be:

    - `rate`: Hz; not needed where the file's metadata hold `sample_rate`. They may hold `min_samples` too.
    - `layout`: of the input. `BT` is `[batch, samples]`, the default; `BCT` is `[batch, 1, samples]`; `T` is
      `[samples]`, one clip at a time. A file whose batch is fixed to 1 is also run clip by clip.
    - `input`, `output`: names, where the file has several.

    The output is `[batch, dim]`, or `[batch, steps, dim]` (without the batch for layout `T`), whose mean over all
    steps, in float32, is the embedding: the file gets the clip as it is, so all steps are taken to lie within it, and
    for `embed_frames` to divide it evenly. A file with a fixed number of samples takes clips of just that length;
    otherwise `min_samples` is what the metadata say, or 1, and what is too short for the file fails with its own
    message. There are no layers: name another output instead.

    Arguments:
        rest: the path and the settings.
        spec: for messages.
        device: the CPU, or a CUDA device if onnxruntime has been built for it.

    Raises:
        SonoscaleError: onnxruntime is missing; no such file, input or output; or a setting does not fit the file.
    """

    why_no_layers = "name another output of the file with output="

    def __init__(self, rest: str, spec: str, device: torch.device) -> None:
        name, settings = query(rest, spec, {"rate", "layout", "input", "output"})
        path = Path(name).expanduser()
        if not path.is_file():
            raise SonoscaleError(f"{spec}: no such file: {path}")
        self._layout = settings.get("layout", "BT")
        if self._layout not in RANKS:
            raise SonoscaleError(f"{spec}: layout {self._layout} is not known; known: {', '.join(RANKS)}")
        self._session = _session(path, spec, device)
        stored = self._session.get_modelmeta().custom_metadata_map
        if "rate" not in settings and "sample_rate" not in stored:
            raise SonoscaleError(f"{spec}: at which rate? add ?rate=16000")
        self.sample_rate = positive(settings.get("rate", stored.get("sample_rate")), "rate", spec)
        self.min_samples = positive(stored.get("min_samples", 1), "min_samples", spec)
        put = _chosen(self._session.get_inputs(), settings.get("input"), "input", spec)
        others = [node.name for node in self._session.get_inputs() if node.name != put.name]
        if others:
            raise SonoscaleError(
                f"{spec}: also needs the inputs {', '.join(others)}; wrap it with python:file.py:factory"
            )
        self._input, self._output = (
            put.name,
            _chosen(self._session.get_outputs(), settings.get("output"), "output", spec),
        )
        self._fit(put, spec)
        self.identity = identity(spec, *(f"{file.name}:{file_hash(file)}" for file in _files(path)))
        try:
            self.dim = self._run(probe_wave(self, torch.device("cpu"))).shape[-1]
        except SonoscaleError as error:
            raise SonoscaleError(f"{spec}: {error}") from None
        except Exception as error:
            raise SonoscaleError(f"{spec}: failed on noise: {one_line(error)}") from error
        self.why_no_frames = "the output is [batch, dim]"

    def _fit(self, put: Any, spec: str) -> None:
        """Take type, batch and length from the declared input."""
        if put.type not in TYPES:
            raise SonoscaleError(f"{spec}: input {put.name} is a {put.type}, not a tensor of floats")
        self._type = TYPES[put.type]
        shape = list(put.shape or [])
        if shape and len(shape) != RANKS[self._layout]:
            fitting = [layout for layout, rank in RANKS.items() if rank == len(shape)] or ["none"]
            raise SonoscaleError(f"{spec}: input {put.name} is {shape}, not {self._layout}; layout={fitting[0]} fits")
        channels = shape[1] if self._layout == "BCT" and shape else 1
        if isinstance(channels, int) and channels != 1:
            raise SonoscaleError(f"{spec}: input {put.name} is {shape}: {channels} channels, where waves are mono")
        batch = shape[0] if shape and self._layout != "T" else None
        if isinstance(batch, int) and batch != 1:
            raise SonoscaleError(
                f"{spec}: the batch of input {put.name} is fixed to {batch}; export it dynamic, or as 1"
            )
        self._one_by_one = self._layout == "T" or batch == 1
        if shape and isinstance(shape[-1], int) and shape[-1] > 0:
            self.min_samples = self.max_samples = shape[-1]

    def _run(self, wave: Tensor) -> Tensor:
        """Waves -> `[batch, dim]` or `[batch, steps, dim]`, float32."""
        array = wave.cpu().numpy()
        groups = [array[i : i + 1] for i in range(len(array))] if self._one_by_one else [array]
        made = [self._call(group) for group in groups]
        if len({part.shape[1:] for part in made}) != 1:
            raise SonoscaleError(f"output {self._output.name} has different shapes for clips of one length")
        return torch.from_numpy(np.concatenate(made).astype(np.float32))

    def _call(self, group: np.ndarray) -> np.ndarray:
        fed = {"BT": group, "BCT": group[:, None], "T": group[0] if len(group) else group}[self._layout]
        out = np.asarray(self._session.run([self._output.name], {self._input: fed.astype(self._type)})[0])
        given = out.shape
        if self._layout == "T" and not (out.ndim == 3 and len(out) == 1):
            out = out[None]  # [dim] or [steps, dim]
        if out.ndim not in (2, 3) or len(out) != len(group) or not out.size:
            raise SonoscaleError(
                f"output {self._output.name} has the shape {list(given)} for an input of {list(fed.shape)}, "
                "not [batch, dim] or [batch, steps, dim]"
            )
        return out

    def embed(self, wave: Tensor) -> Tensor:
        out = self._run(wave)
        return out.mean(dim=1) if out.ndim == 3 else out

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        out = self._run(wave)
        if out.ndim != 3:
            return super().embed_frames(wave)
        return out, even_centres(out.shape[1], wave.shape[1], self.sample_rate)


def _session(path: Path, spec: str, device: torch.device) -> Any:
    onnxruntime: Any = need("onnxruntime", what=spec)
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type != "cpu":
        if device.type != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise SonoscaleError(
                f"{spec}: onnxruntime cannot run on {device} here; use the CPU, or install onnxruntime-gpu"
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise SonoscaleError(f"{spec}: onnxruntime cannot load it: {one_line(error)}") from error


def _chosen(nodes: Any, wanted: str | None, what: str, spec: str) -> Any:
    """The input or output of that name, or the only one there is."""
    names = ", ".join(node.name for node in nodes)
    if wanted is None:
        if len(nodes) != 1:
            raise SonoscaleError(f"{spec}: which {what}? add {what}= and one of {names}")
        return nodes[0]
    for node in nodes:
        if node.name == wanted:
            return node
    raise SonoscaleError(f"{spec}: no {what} {wanted}; there is {names}")


def _files(path: Path) -> list[Path]:
    """The file, and those beside it that begin with its name: weights of a large model are kept apart."""
    beside = (file for file in path.parent.iterdir() if file.name.startswith(path.name) and file.is_file())
    return sorted(beside, key=lambda file: file.name)
