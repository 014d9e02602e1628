"""Sketches as safetensors files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.errors import SonoscaleError
from sonoscale.files import replacing
from sonoscale.rank._moments import Gram, Triangle

if TYPE_CHECKING:
    from sonoscale.rank._sketch import SpectralSketch

FORMAT = "sonoscale-sketch/2"


def write(path: Path, sketches: Mapping[str, SpectralSketch], **about: Any) -> None:
    """Write named sketches to one file, with anything else about them that is JSON-able."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors, described = {}, {}
    for name, sketch in sketches.items():
        parts = sketch.parts()
        tensors[f"{name}.count"] = np.array([part.count for part in parts], dtype=np.int64)
        tensors[f"{name}.mean"] = np.stack([part.mean for part in parts])
        # Blocks that hold no rows are left out.
        tensors |= {f"{name}.factor.{i}": np.ascontiguousarray(p.factor) for i, p in enumerate(parts) if p.count}
        described[name] = {
            "dim": sketch.dim, "blocks": sketch.blocks, "method": sketch.method, "nan_policy": sketch.nan_policy,
            "seen": sketch.seen, "omitted": sketch.omitted, "omitted_rows": sketch.omitted_rows,
            "zeros": sketch.zeros,            "dtypes": sorted(sketch.dtypes),
        }  # fmt: skip
    if not path.parent.is_dir():
        raise SonoscaleError(f"{path}: no folder {path.parent} to write it to")
    metadata = {"format": FORMAT, "sketches": json.dumps(described), "about": json.dumps(about)}
    metadata["digest"] = _digest(tensors, metadata)
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata=metadata)
    except SafetensorError as error:
        raise SonoscaleError(f"{path}: cannot be written: {error}") from None


def read(path: Path, names: Collection[str]) -> tuple[dict[str, SpectralSketch], dict[str, Any]]:
    """The sketches of a file, which must be those named, and what else it says.

    Raises:
        SonoscaleError: no such file, cut off, or not of these sketches.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SonoscaleError(f"{path}: no such file")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
        described = json.loads(metadata.get("sketches", "{}"))
        if metadata.get("format") != FORMAT or set(described) != set(names):
            raise SonoscaleError(f"{path}: holds no {' and '.join(names)} sketch of the format {FORMAT}")
        if metadata.pop("digest", None) != _digest(tensors, metadata):
            raise SonoscaleError(f"{path}: damaged or changed: its content does not match its digest")
        sketches = {name: _unpack(tensors, name, about) for name, about in described.items()}
        return sketches, json.loads(metadata["about"])
    except SonoscaleError:
        raise
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SonoscaleError(f"{path}: cannot be read as a sketch: {reason}") from None


def _digest(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 over all that a file holds."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _unpack(tensors: Mapping[str, np.ndarray], name: str, about: dict[str, Any]) -> SpectralSketch:
    from sonoscale.rank._sketch import SpectralSketch

    numbers = ("dim", "blocks", "seen", "omitted", "omitted_rows", "zeros")
    for key in numbers:
        if not isinstance(about[key], int) or isinstance(about[key], bool) or not 0 <= about[key] < 1 << 62:
            raise ValueError(f"{key} = {str(about[key])[:80]} is no count")
    if not all(isinstance(name, str) for name in about["dtypes"]):
        raise ValueError("dtypes are names")
    if tensors[f"{name}.mean"].shape != (about["blocks"], about["dim"]):
        raise ValueError(f"blocks = {about['blocks']} and dim = {about['dim']} are not those of its tensors")
    sketch = SpectralSketch(
        about["dim"], blocks=about["blocks"], method=about["method"], nan_policy=about["nan_policy"]
    )
    parts = []
    counts, means = tensors[f"{name}.count"], tensors[f"{name}.mean"]
    for i, (count, mean) in enumerate(zip(counts, means, strict=True)):
        form = Gram if sketch.method == "gram" else Triangle
        parts.append(form(int(count), mean, tensors[f"{name}.factor.{i}"]) if count else form.empty(sketch.dim))
    numbers = {key: about[key] for key in ("seen", "omitted", "omitted_rows", "zeros")}
    sketch.adopt(parts, **numbers, dtypes=set(about["dtypes"]))
    return sketch
