"""What counts as embeddings: finite float rows of the right width, on the CPU or on a device."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import numpy as np

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from torch import Tensor

NanPolicy = Literal["raise", "omit"]

LARGEST, SMALLEST = 1e150, 1e-140  # whose squares, summed, stay within float64


def as_rows(embeddings: Any, dim: int) -> np.ndarray | Tensor:
    """Embeddings as a float32 or float64 array, or as a tensor if they lie on a device.

    Raises:
        SonoscaleError: not floating point, or not of shape `[batch, dim]`.
    """
    on_device = False
    if hasattr(embeddings, "detach"):  # a torch tensor, without importing torch
        embeddings = embeddings.detach()
        if embeddings.is_sparse or embeddings.device.type == "meta":
            raise SonoscaleError("embeddings are a sparse tensor or one without data: give a dense one (to_dense)")
        on_device = embeddings.device.type == "cuda"
        embeddings = embeddings if on_device else embeddings.cpu()
        floating, kind = embeddings.is_floating_point(), str(embeddings.dtype).removeprefix("torch.")
        if not on_device and floating:
            embeddings = (embeddings.float() if embeddings.element_size() < 4 else embeddings).numpy()
    else:
        embeddings = np.asarray(embeddings)
        floating, kind = embeddings.dtype.kind == "f", str(embeddings.dtype)
        if floating and embeddings.dtype.itemsize < 4:
            embeddings = embeddings.astype(np.float32)
    if not floating:
        raise SonoscaleError(f"embeddings are {kind}: they must be floating point (convert them if they really are)")
    if embeddings.ndim != 2 or embeddings.shape[1] != dim:
        raise SonoscaleError(f"embeddings must be [batch, {dim}], not {list(embeddings.shape)}")
    return embeddings


def dtype_name(embeddings: Any) -> str:
    """`float32`, `bfloat16`, ..., of an array or a tensor."""
    kind = embeddings.dtype if hasattr(embeddings, "dtype") else np.asarray(embeddings).dtype
    return str(kind).removeprefix("torch.")


def usable(rows: Any, *, seen: int, policy: NanPolicy) -> Any:
    """Which rows to keep: None for all of them, or a boolean mask.

    Arguments:
        rows: `[batch, dim]`, NumPy or torch.
        seen: how many rows came before, for the message.
        policy: `"raise"` refuses rows with NaN or infinity, `"omit"` leaves them out.

    Raises:
        SonoscaleError: the rows that hold NaN or infinity (their number and the first), or magnitudes whose squares
            leave float64.
    """
    high, low = float(rows.max()), float(rows.min())
    mask = None
    if not (np.isfinite(high) and np.isfinite(low)):
        mask = np.isfinite(rows).all(axis=1) if isinstance(rows, np.ndarray) else rows.isfinite().all(dim=1)
        bad = np.flatnonzero(~as_mask(mask))
        if policy == "raise":
            raise SonoscaleError(
                f"{len(bad)} of {len(rows)} embeddings hold NaN or infinity, the first is row {seen + int(bad[0])}; "
                'nan_policy="omit" leaves them out'
            )
        kept = rows[mask]
        if not len(kept):
            return mask
        high, low = float(kept.max()), float(kept.min())
    size = max(high, -low)
    if size > LARGEST or 0 < size < SMALLEST:
        raise SonoscaleError(
            f"embeddings of magnitude {size:.3g} cannot be squared in float64: scale them to between "
            f"{SMALLEST:g} and {LARGEST:g} first (a rank does not change with scale)"
        )
    return mask


def zero_rows(rows: Any) -> int:
    """How many rows `[batch, dim]`, NumPy or torch, hold nothing but zeros."""
    candidates = rows[rows[:, 0] == 0]  # most rows need no second look
    return int((~candidates.any(1)).sum()) if len(candidates) else 0


def blocks_of(groups: Sequence[Hashable] | np.ndarray, rows: int, blocks: int) -> np.ndarray:
    """The block of each row: rows of one group share a block, the same in every process and on every machine.

    Raises:
        SonoscaleError: not one group per row.
    """
    if len(groups) != rows:
        raise SonoscaleError(f"{len(groups)} groups for {rows} embeddings: give one per row")
    return np.fromiter((crc32(str(group).encode()) % blocks for group in groups), dtype=np.int64, count=rows)


def as_mask(mask: Any) -> np.ndarray:
    """A boolean mask, of NumPy or torch, as NumPy."""
    return np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)


def digest(indices: np.ndarray) -> int:
    """A number that identifies a set of row indices, in any order; that of a union is the exclusive or."""
    found = 0
    for index in indices.tolist():
        found ^= int.from_bytes(blake2b(index.to_bytes(8, "little"), digest_size=7).digest(), "little")
    return found
