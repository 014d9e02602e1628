"""LiDAR: the effective rank of the differences between clips, relative to what augmentation changes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale import __version__
from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._formulas import entropy_rank
from sonoscale.rank._interval import NO_INTERVAL, from_left_out
from sonoscale.rank._moments import EPS, leave_one_out
from sonoscale.rank._record import RankRecord
from sonoscale.rank._rows import as_rows, dtype_name, usable
from sonoscale.rank._sketch import SpectralSketch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup


class LidarSketch:
    """Streaming, mergeable scatter matrices between and within groups of augmented clips.

    Thilak et al., "LiDAR: sensing linear probing performance in joint embedding SSL architectures", arXiv 2312.04000.
    With `mu_x` the mean embedding of the augmented views of clip x, and `mu` the mean of those,

        S_b = mean over x of (mu_x - mu)(mu_x - mu)^T
        S_w = mean over x and its views e of (e - mu_x)(e - mu_x)^T + delta I
        LiDAR = exp(-sum p ln p),  p = l / sum(l) + eps,  l the eigenvalues of S_w^(-1/2) S_b S_w^(-1/2)

    Arguments:
        dim: width of the embeddings.
        blocks: number of jackknife groups, at least 2; all views of a clip are in one.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> clips = rng.standard_normal((200, 1, 8))
        >>> sketch = LidarSketch(8)
        >>> sketch.update(clips + 0.1 * rng.standard_normal((200, 4, 8)))  # [clips, views, dim]
        >>> print(f"{sketch.measure().value:.2f}")
        7.79
    """

    def __init__(self, dim: int, *, blocks: int = 16) -> None:
        check_arguments(LidarSketch.__init__, locals())
        self._between = SpectralSketch(dim, blocks=blocks)
        self._within = SpectralSketch(dim, blocks=blocks)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self._between.dim

    @property
    def n(self) -> int:
        """Number of clips (not views) taken in."""
        return self._between.n

    def update(self, views: np.ndarray | Tensor) -> None:
        """Add clips.

        Arguments:
            views: `[clips, views, dim]`, floating point, NumPy or torch; at least 2 views.

        Raises:
            SonoscaleError: wrong shape or dtype, or NaN or infinity in it; the sketch is then unchanged.
        """
        if len(views.shape) != 3 or views.shape[1] < 2 or views.shape[2] != self.dim:
            raise SonoscaleError(
                f"views must be [clips, views, {self.dim}] with at least 2 views of a clip, not {list(views.shape)}"
            )
        clips, each, dim = views.shape
        rows: Any = as_rows(views.reshape(clips * each, dim), dim)
        double = rows.astype(np.float64) if isinstance(rows, np.ndarray) else rows.double()
        groups = double.reshape(clips, each, dim)
        means = groups.mean(1)
        rest = (groups - means[:, None]).reshape(clips * each, dim)
        for part in (rows, means, rest):  # refused before anything is taken in
            usable(part, seen=self.n * each, policy="raise")
        assigned = np.arange(self.n, self.n + clips) % self._between.blocks
        self._between.update_blocks(means, assigned, dtype=dtype_name(views))
        self._within.update_blocks(rest, np.repeat(assigned, each), dtype=dtype_name(views))

    def merge(self, other: LidarSketch) -> LidarSketch:
        """A new sketch of the clips of both; associative and commutative up to rounding, counts exact."""
        merged = LidarSketch(self.dim, blocks=self._between.blocks)
        merged._between = self._between.merge(other._between)
        merged._within = self._within.merge(other._within)
        return merged

    def all_reduce(self, group: ProcessGroup | None = None) -> None:
        """See `SpectralSketch.all_reduce`."""
        self._between.all_reduce(group)
        self._within.all_reduce(group)

    def save(self, path: Path | str) -> None:
        """Write to a safetensors file, by atomic rename."""
        from sonoscale.rank._storage import write

        write(Path(path), {"between": self._between, "within": self._within})

    @classmethod
    def load(cls, path: Path | str) -> LidarSketch:
        """Read what `save` wrote.

        Raises:
            SonoscaleError: no such file, or not a whole sketch.
        """
        from sonoscale.rank._storage import read

        sketches, _ = read(Path(path), ["between", "within"])
        loaded = cls(sketches["between"].dim, blocks=sketches["between"].blocks)
        loaded._between, loaded._within = sketches["between"], sketches["within"]
        return loaded

    def eigenvalues(self, *, delta: float = 1e-4) -> np.ndarray:
        """Eigenvalues of `S_w^(-1/2) S_b S_w^(-1/2)`, descending, float64 `[dim]`.

        Arguments:
            delta: added to the diagonal of `S_w`, in squared units of the embeddings, so the result changes with
                their scale; as small as keeps `S_w` invertible.

        Raises:
            SonoscaleError: fewer than 2 clips, or `S_w` is singular.
        """
        if self.n < 2:
            raise SonoscaleError(f"LiDAR needs at least 2 clips, not {self.n}")
        return _eigenvalues(self._between.total(), self._within.total(), delta)

    def measure(
        self, *, delta: float = 1e-4, eps: float = 0.0, level: float = 0.95, encoder: str = "", corpus: str = ""
    ) -> RankRecord:
        """LiDAR with a block-jackknife interval over clips.

        Arguments:
            delta: see `eigenvalues`; part of the record's estimator name.
            eps: added to every normalised eigenvalue (the paper does; the default does not).
            level: coverage of the interval.
            encoder, corpus: identities to keep with the number.

        Raises:
            SonoscaleError: as `eigenvalues`, or no clip differs from another.
        """
        value = self._rank(self.eigenvalues(delta=delta), eps)
        between, within = self._between, self._within
        full = [(b, w) for b, w in zip(between.parts(), within.parts(), strict=True) if b.count]
        rest = zip(leave_one_out([b for b, _ in full]), leave_one_out([w for _, w in full]), strict=True)
        half = from_left_out(
            value, self.n, [b.count for b, _ in full],
            lambda: [self._rank(_eigenvalues(b, w, delta), eps) for b, w in rest],
        ).half_width(level)  # fmt: skip
        most = float(min(self.n - 1, self.dim))
        warnings = [] if math.isfinite(half) else [NO_INTERVAL]
        if self.n < self.dim:
            warnings.append(f"{self.n} clips are fewer than dim = {self.dim}: LiDAR cannot exceed clips - 1")
        if within.n < 2 * self.dim:
            warnings.append(f"{within.n} views are few for a scatter matrix of dim {self.dim}: delta decides the rest")
        views = within.n / self.n
        return RankRecord(
            estimator=f"lidar(delta={delta:g}, views={views:g})", value=value, low=max(1.0, value - half),
            high=min(max(value, most), value + half), level=level, eps=eps, centred=True, n=self.n, dim=self.dim,
            mean_energy=between.mean_energy(), dtype=between.dtype, encoder=encoder, corpus=corpus,
            version=__version__, warnings=tuple(warnings),
        )  # fmt: skip

    @staticmethod
    def _rank(eigenvalues: np.ndarray, eps: float) -> float:
        if not eigenvalues.any():
            raise SonoscaleError("no clip differs from another: their mean embeddings are all equal")
        return entropy_rank(eigenvalues, eps=eps)


def _eigenvalues(between: Any, within: Any, delta: float) -> np.ndarray:
    import scipy.linalg

    dim = len(between.mean)
    noise = within.factor / within.count + delta * np.eye(dim)
    try:
        values = scipy.linalg.eigh(between.factor / between.count, noise, lower=False, eigvals_only=True)[::-1]
    except scipy.linalg.LinAlgError:
        raise SonoscaleError(
            f"the scatter within clips is singular with delta = {delta:g}: take a larger delta or more views"
        ) from None
    values = np.where(values > 8 * EPS * max(values[0], 0.0), values, 0.0)
    values[between.count - 1 :] = 0.0  # so many clips cannot span more
    return values
