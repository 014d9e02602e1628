"""The one accumulator behind every spectral estimator: count, mean and scatter of the rows, float64, in blocks."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._moments import About, Gram, Triangle, leave_one_out, merged
from sonoscale.rank._rows import NanPolicy, as_mask, as_rows, blocks_of, digest, dtype_name, usable, zero_rows

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from sonoscale.rank._device import DeviceGrams

Method = Literal["gram", "qr"]


def physical_memory() -> float:
    """Bytes of the machine, infinite where that is unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


class SpectralSketch:
    """Streaming, mergeable second moments of embeddings, kept in blocks so that an interval can be jackknifed.

    Rows are dealt to `blocks` groups in turn (row i of the stream goes to block i mod blocks), or by a hash of their
    group, if groups are given. For each block the sketch keeps the count, the mean, and the scatter about that mean,
    in float64 whatever the dtype of the embeddings. Memory is `blocks * dim**2` float64 numbers and a buffer of a few
    thousand rows, whatever the number of rows; small batches are collected in the buffer first, so the numbers do not
    depend on the size of the batches, to the last bit.

    Embeddings on a CUDA device are accumulated there.

    Arguments:
        dim: width of the embeddings.
        blocks: number of jackknife groups, at least 2.
        method: `"gram"` keeps Gram matrices, which resolve singular values down to 4e-8 of the largest. `"qr"` keeps
            triangular factors, at several times the cost, which resolve them down to dim * 2e-16.
        nan_policy: what to do with rows that hold NaN or infinity: `"raise"`, or `"omit"` and count them in `omitted`.

    Raises:
        SonoscaleError: arguments out of range.

    Example:
        >>> import numpy as np
        >>> from sonoscale.rank import rankme
        >>> sketch = SpectralSketch(32)
        >>> for batch in np.array_split(np.random.default_rng(0).standard_normal((1000, 32)), 10):
        ...     sketch.update(batch)
        >>> print(sketch.n, rankme(sketch).headline)
        1000 RankMe 31.86 [31.83, 31.89] of 1,000 x 32 embeddings
    """

    def __init__(self, dim: int, *, blocks: int = 16, method: Method = "gram", nan_policy: NanPolicy = "raise") -> None:
        check_arguments(SpectralSketch.__init__, locals())
        if dim < 1 or blocks < 2:
            raise SonoscaleError(f"a sketch needs dim >= 1 and blocks >= 2, not dim={dim}, blocks={blocks}")
        if method not in ("gram", "qr"):
            raise SonoscaleError(f'method must be "gram" or "qr", not {method!r}')
        if nan_policy not in ("raise", "omit"):
            raise SonoscaleError(f'nan_policy must be "raise" or "omit", not {nan_policy!r}')
        if 8 * blocks * dim**2 > physical_memory():
            raise SonoscaleError(
                f"a sketch of dim {dim} in {blocks} blocks needs {8 * blocks * dim**2 / 2**30:,.0f} GiB, more than "
                "this machine has: take fewer blocks, or transpose the embeddings if they are [dim, batch]"
            )
        self.dim = dim
        self.blocks = blocks
        self.method: Method = method
        self.nan_policy: NanPolicy = nan_policy
        self.omitted = 0
        self.omitted_rows = 0  # a digest of which: equal for the same rows
        self.zeros = 0  # rows taken in that hold nothing but zeros
        self.dtypes: set[str] = set()
        self.seen = 0  # rows offered, those omitted too
        form = Gram if method == "gram" else Triangle
        self._parts: list[Any] = [form.empty(dim) for _ in range(blocks)]
        self._device: DeviceGrams | None = None
        self._buffer: np.ndarray | None = None  # [capacity, dim]
        self._assigned = np.empty(0, dtype=np.int64)
        self._room: np.ndarray | None = None
        self._held = 0
        self._spectra: dict[tuple[About, int | None], np.ndarray] = {}

    @property
    def n(self) -> int:
        """Number of rows taken in."""
        return self.seen - self.omitted

    @property
    def dtype(self) -> str:
        """The dtype of the embeddings seen: `float32`, or `float16+float32` where they were mixed."""
        return "+".join(sorted(self.dtypes))

    def update(self, embeddings: np.ndarray | Tensor, groups: Sequence[Hashable] | np.ndarray | None = None) -> None:
        """Add rows.

        Arguments:
            embeddings: `[batch, dim]`, float16, bfloat16, float32 or float64, NumPy or torch, on the CPU or on CUDA,
                contiguous or not.
            groups: what each row belongs to (a recording, a speaker), one per row. Rows of a group go to one block,
                so that the interval is over groups; give them where clips of one group resemble each other.

        Raises:
            SonoscaleError: wrong shape or dtype, or NaN or infinity in a row (how many, and the first), unless they
                are to be omitted; the sketch is then unchanged.
        """
        rows: Any = as_rows(embeddings, self.dim)
        assigned = (
            np.arange(self.seen, self.seen + len(rows)) % self.blocks
            if groups is None
            else blocks_of(groups, len(rows), self.blocks)
        )
        self.update_blocks(rows, assigned, dtype=dtype_name(embeddings))

    def update_blocks(self, rows: Any, assigned: np.ndarray, *, dtype: str) -> None:
        """`update` with the block of each row given: rows as from `as_rows`, `assigned` `[batch]` in [0, blocks)."""
        if len(rows) == 0:
            return
        keep = usable(rows, seen=self.seen, policy=self.nan_policy)
        self.seen += len(rows)
        self.dtypes.add(dtype)
        self._spectra.clear()
        if keep is not None:
            rows, kept = rows[keep], as_mask(keep)
            self.omitted += len(assigned) - len(rows)
            self.omitted_rows ^= digest(self.seen - len(assigned) + np.flatnonzero(~kept))
            assigned = assigned[kept]
        self.zeros += zero_rows(rows)
        on_device = not isinstance(rows, np.ndarray)
        if self._device is None and on_device and self.method == "gram":
            from sonoscale.rank._device import DeviceGrams

            self._device = DeviceGrams(self.parts(), rows.device)
        if self._device is not None:
            if not on_device:
                import torch

                rows = torch.from_numpy(np.ascontiguousarray(rows))
            self._device.add(rows, assigned)
        else:
            self._take(rows.double().cpu().numpy() if on_device else rows, assigned)

    def merge(self, other: SpectralSketch) -> SpectralSketch:
        """A new sketch of the rows of both; associative and commutative up to rounding, counts exact.

        Raises:
            SonoscaleError: the sketches differ in dim, blocks or method.
        """
        for key in ("dim", "blocks", "method"):
            mine, theirs = getattr(self, key), getattr(other, key)
            if mine != theirs:
                raise SonoscaleError(f"cannot merge sketches of {key} {mine} and {theirs}")
        merged = SpectralSketch(self.dim, blocks=self.blocks, method=self.method, nan_policy=self.nan_policy)
        merged.seen, merged.omitted = self.seen + other.seen, self.omitted + other.omitted
        merged.omitted_rows = self.omitted_rows ^ other.omitted_rows
        merged.zeros = self.zeros + other.zeros
        merged.dtypes = self.dtypes | other.dtypes
        for i, (mine, theirs) in enumerate(zip(self.parts(), other.parts(), strict=True)):
            part = mine.copy()
            if theirs.count:
                part.merge(theirs)
            merged._parts[i] = part
        return merged

    def all_reduce(self, group: ProcessGroup | None = None) -> None:
        """Turn the sketch of each process into the sketch of the rows of all, by `torch.distributed`.

        A collective: every process of the group must call it, also one that has seen no rows.

        Arguments:
            group: the process group, the default one if None.

        Raises:
            SonoscaleError: no process group, or sketches of different shape (in every process).
        """
        from sonoscale.rank._distributed import all_reduce

        all_reduce(self, group)

    def save(self, path: Path | str) -> None:
        """Write to a safetensors file, by atomic rename."""
        from sonoscale.rank._storage import write

        write(Path(path), {"spectral": self})

    @classmethod
    def load(cls, path: Path | str) -> SpectralSketch:
        """Read what `save` wrote.

        Raises:
            SonoscaleError: no such file, or not a whole sketch.
        """
        from sonoscale.rank._storage import read

        return read(Path(path), ["spectral"])[0]["spectral"]

    def spectrum(self, *, centred: bool = False, standardised: bool = False) -> np.ndarray:
        """Singular values of the matrix of rows, descending.

        Arguments:
            centred: subtract the mean row first.
            standardised: subtract the mean row and divide each dimension by its standard deviation: the squares are n
                times the eigenvalues of the correlation matrix. A constant dimension counts as zero.

        Returns:
            float64 `[min(n, dim)]`. With `method="gram"` those under 4e-8 of the largest are zero.

        Raises:
            SonoscaleError: the sketch is empty.
        """
        about: About = "standardised" if standardised else "centred" if centred else "uncentred"
        if self.n == 0:
            raise SonoscaleError("the sketch is empty: it holds no embeddings")
        if (about, None) not in self._spectra:
            self._spectra[about, None] = self.total().spectrum(about)
        return self._spectra[about, None].copy()

    def leave_one_out(self, about: About) -> list[tuple[int, np.ndarray]]:
        """For each block that holds rows, the number of its rows and the spectrum of all other rows."""
        parts = self.parts()
        full = [i for i, part in enumerate(parts) if part.count]
        if len(full) > 1 and (about, full[0]) not in self._spectra:
            for i, rest in zip(full, leave_one_out([parts[i] for i in full]), strict=True):
                self._spectra[about, i] = rest.spectrum(about)
        return [(parts[i].count, self._spectra[about, i]) for i in full] if len(full) > 1 else []

    def mean_energy(self) -> float:
        """Share of the uncentred energy (sum of squared singular values) that lies in the mean, in [0, 1]."""
        total = float(np.square(self.spectrum()).sum())
        return max(0.0, 1.0 - float(np.square(self.spectrum(centred=True)).sum()) / total) if total > 0 else 0.0

    def mean_row(self) -> np.ndarray:
        """The mean of the rows, float64 `[dim]`."""
        return self.total().mean.copy()

    def parts(self) -> list[Any]:
        """The moments of each block, with everything taken in so far. Not to be changed."""
        self._flush()
        return self._device.pull() if self._device is not None else self._parts

    def adopt(
        self, parts: list[Any], *, seen: int, omitted: int = 0, omitted_rows: int = 0, zeros: int = 0, dtypes: set[str]
    ) -> None:
        """Replace everything taken in so far."""
        self.omitted_rows, self.zeros = omitted_rows, zeros
        self._parts, self._device, self._held = parts, None, 0
        self.seen, self.omitted, self.dtypes = seen, omitted, set(dtypes)
        self._spectra.clear()

    def __getstate__(self) -> dict[str, Any]:
        parts = self.parts()
        return {
            **self.__dict__,
            "_parts": parts,
            "_device": None,
            "_buffer": None,
            "_room": None,
            "_held": 0,
            "_spectra": {},
        }

    def total(self) -> Any:
        """The moments of all rows."""
        return merged([part for part in self.parts() if part.count])

    def _take(self, rows: np.ndarray, assigned: np.ndarray) -> None:
        """Absorb rows at fixed places of the stream, however they are cut into batches."""
        if self._buffer is None:
            per_block = self.dim if self.method == "qr" else min(512, max(64, 2**18 // self.dim))
            self._buffer = np.empty((per_block * self.blocks, self.dim))
            self._assigned = np.empty(len(self._buffer), dtype=np.int64)
        capacity, start = len(self._buffer), 0
        while start < len(rows):
            if self._held == 0 and len(rows) - start >= capacity:
                self._absorb(rows[start : start + capacity], assigned[start : start + capacity])
                start += capacity
                continue
            taken = min(capacity - self._held, len(rows) - start)
            self._buffer[self._held : self._held + taken] = rows[start : start + taken]
            self._assigned[self._held : self._held + taken] = assigned[start : start + taken]
            self._held += taken
            start += taken
            if self._held == capacity:
                self._flush()

    def _flush(self) -> None:
        if self._held and self._buffer is not None:
            held, self._held = self._held, 0
            self._absorb(self._buffer[:held], self._assigned[:held])

    def _absorb(self, rows: np.ndarray, assigned: np.ndarray) -> None:
        for block in np.unique(assigned):
            mine = np.flatnonzero(assigned == block)
            if self._room is None or len(self._room) <= len(mine):
                self._room = np.empty((len(mine) + 1, self.dim))
            room = self._room[: len(mine) + 1]
            steps = np.diff(mine)
            regular = len(steps) > 0 and bool((steps == steps[0]).all())  # then a view will do
            room[:-1] = rows[mine[0] :: steps[0]][: len(mine)] if regular else rows[mine]
            self._parts[block].add(room)
