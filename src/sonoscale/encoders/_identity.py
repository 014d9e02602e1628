"""Which weights and which code an encoder consists of."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import torch
from torch import nn

DIGITS = 16  # hexadecimal digits of a hash that are kept: 64 bits


def weights_hash(module: nn.Module, *more: str) -> str:
    """SHA-256 of names, types, shapes and values of all weights, in the order of their names.

    Arguments:
        module: on any device.
        more: settings that belong to the weights.

    Returns:
        16 hexadecimal digits; the same whatever file the weights came from.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
        else:  # extra state
            digest.update(repr(value).encode())
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:DIGITS]


def weights_identity(module: object) -> str | None:
    """`weights:` and the hash, None for what is no torch module or holds no weights."""
    return f"weights:{weights_hash(module)}" if isinstance(module, nn.Module) and module.state_dict() else None


def file_hash(path: Path) -> str:
    """SHA-256 of a file, 16 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def package_version(module: str) -> str | None:
    """`distribution==version` of the package that a module belongs to, None if it was not installed as one."""
    names = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    return " ".join(f"{name}=={importlib.metadata.version(name)}" for name in sorted(set(names))) or None


def code_identity(module: str) -> str | None:
    """Which code a module name or the path of a .py file stands for: the file's hash, or the package's version."""
    if module.endswith(".py"):
        path = Path(module).expanduser()
        return f"{path.name}:{file_hash(path)}"
    return package_version(module)


def identity(spec: str, *parts: str | None) -> str:
    """The spec, and what is known of its content: `hear:pkg.model pkg==1.2 weights:0123456789abcdef`."""
    return " ".join([spec, *(part for part in parts if part)])
