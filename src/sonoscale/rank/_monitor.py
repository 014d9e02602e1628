"""The rank of a fixed probe set while a model trains, in any loop, without leaving a trace in the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError
from sonoscale.rank._at_rest import at_rest, device_of, own_randomness, seed_all
from sonoscale.rank._estimators import Estimator, get_estimator
from sonoscale.rank._measure import DEFAULT, measure_rank
from sonoscale.rank._record import RankRecord
from sonoscale.rank._rows import as_rows, dtype_name
from sonoscale.rank._sketch import Method, SpectralSketch

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Reading:
    """What a monitor read at one step.

    Attributes:
        step: training steps done.
        records: by estimator, in the order in which they were asked for.
        sketch: of the embeddings, for spectra and further estimators.
    """

    step: int
    records: dict[str, RankRecord]
    sketch: SpectralSketch


class RankMonitor:
    """Effective rank of a model on inputs that never change, read now and then during training.

    A reading leaves the training bit for bit as it would have been: it runs in eval mode (the training flag of each
    submodule is put back as it was), without gradients or autocast, and the random states of Python, NumPy and torch
    (CPU and CUDA) are put back, all that also if `embed` raises. Inside, they are seeded by the index of the batch, so
    that a reading can be repeated.

    Where `torch.distributed` is initialised, a call that is due is a collective: every process of the group must make
    it, at the same step. Each embeds its share of the batches, with the buffers of process 0 (the statistics of a
    BatchNorm differ between processes), and all return the same record, which up to rounding is that of one process
    alone. All call `embed` equally often, the last time for nothing where the batches do not divide evenly, so that a
    sharded model, whose forward pass is itself a collective, can be read. DDP is taken off before `embed`.

    Nothing but the records is kept from one reading to the next: all rows of a number come from the same weights.

    Arguments:
        probe: a tensor `[n, ...]`, split into batches, or batches of any kind that `embed` takes. Kept as given; on
            their way to `embed` they are moved to the device of the model's first parameter (tensors by a copy).
        every: a reading is due at steps that this divides.
        embed: (model, batch) -> `[b, dim]` embeddings, `model(batch)` if None. It may enter an autocast of its own.
            The embeddings are kept until the whole probe is embedded, and then accumulated, on the device they are on.
        batch_size: how to split a tensor; without meaning otherwise.
        estimators: one, or several, all of which are read in one pass over the probe; see `rankme`.
        interval, level, encoder, corpus: see `rankme`.
        blocks, method: see `SpectralSketch`; row i of the probe goes to block i mod blocks, whoever embeds it.
        group: the processes that share the work, all if None.

    Attributes:
        history: (step, record) of every reading, in order; of several estimators one after the other.
        names: of the estimators.

    Raises:
        SonoscaleError: an empty probe, or arguments out of range.

    Example:
        >>> import torch
        >>> monitor = RankMonitor(torch.randn(256, 8), every=100, estimators=("rankme", "rankme_centred"))
        >>> model = torch.nn.Linear(8, 4)
        >>> monitor(model, 99) is None  # not due
        True
        >>> monitor(model, 100).estimator
        'rankme'
        >>> [(step, record.estimator) for step, record in monitor.history]
        [(100, 'rankme'), (100, 'rankme_centred')]
    """

    def __init__(
        self,
        probe: Tensor | Iterable[Any],
        *,
        every: int = 1,
        embed: Callable[[Any, Any], Any] | None = None,
        batch_size: int = 256,
        estimators: str | Estimator | Iterable[str | Estimator] = DEFAULT,
        interval: bool = True,
        level: float = 0.95,
        blocks: int = 16,
        method: Method = "gram",
        encoder: str = "",
        corpus: str = "",
        group: ProcessGroup | None = None,
    ) -> None:
        check_arguments(RankMonitor.__init__, locals())
        for name, value in (("every", every), ("batch_size", batch_size)):
            if value < 1:
                raise SonoscaleError(f"{name} must be at least 1, not {value}")
        if not 0 < level < 1:
            raise SonoscaleError(f"level must be between 0 and 1, not {level}")
        SpectralSketch(1, blocks=blocks, method=method)  # refuses what is out of range
        # As given, as those of the table cannot be pickled.
        self.estimators = (estimators,) if isinstance(estimators, str | Estimator) else tuple(estimators)
        self.names = tuple((get_estimator(e) if isinstance(e, str) else e).name for e in self.estimators)
        if not self.names or len(set(self.names)) < len(self.names):
            raise SonoscaleError(f"estimators must be at least one, each once, not {list(self.names)}")
        self.every = every
        self.embed = embed or forward
        self.batches = _batches(probe, batch_size)
        self.group = group
        self.history: list[tuple[int, RankRecord]] = []
        self._sketch: dict[str, Any] = {"blocks": blocks, "method": method}
        self._about: dict[str, Any] = {"interval": interval, "level": level, "encoder": encoder, "corpus": corpus}

    def __call__(self, model: Any, step: int) -> RankRecord | None:
        """Read the rank of the model, if it is due.

        Arguments:
            model: a `torch.nn.Module`, or anything else that `embed` takes.
            step: training steps done.

        Returns:
            the record of the (first) estimator; None if none is due. `history` has those of all.

        Raises:
            As `read`.
        """
        if step % self.every:
            return None
        records = self.read(model, step).records
        self.history += [(step, record) for record in records.values()]
        return records[self.names[0]]

    def read(self, model: Any, step: int) -> Reading:
        """Read the rank of the model, due or not, and leave `history` as it is.

        Arguments:
            model: a `torch.nn.Module`, or anything else that `embed` takes.
            step: training steps done.

        Raises:
            SonoscaleError: in every process, and naming the step: processes at different steps; embeddings that are
                not `[b, dim]`, of several widths, or hold NaN or infinity; a rank that is not defined for them.
            Exception: what `embed` raised, in the process where it did; SonoscaleError in the others.
        """
        check_arguments(RankMonitor.read, locals())
        try:
            processes = _Processes(self.group)
            sketch = self._sketched(model, step, processes)
            records: list[RankRecord] = []
            with _caught() as faults:
                records = [measure_rank(sketch, estimator, **self._about) for estimator in self.estimators]
            # Training may turn on a record, so that it has to be the same to the last bit.
            records = processes.agree(step, faults, records)[0]
        except SonoscaleError as error:
            raise SonoscaleError(f"rank at step {step}: {error}") from error
        return Reading(step, dict(zip(self.names, records, strict=True)), sketch)

    def _sketched(self, model: Any, step: int, processes: _Processes) -> SpectralSketch:
        """The sketch of all rows of the probe.

        A process that failed must not keep the others waiting, so each reports how it fared before the next thing that
        they do together.
        """
        mine: dict[int, Any] = {}
        with _caught() as faults, own_randomness(), at_rest(model, processes.share if processes.size > 1 else None):
            mine = self._embedded(model, processes)
        found = processes.agree(step, faults, {i: tuple(rows.shape) for i, rows in mine.items()})
        shapes = dict(sorted(chain.from_iterable(each.items() for each in found)))
        widths = sorted({dim for _, dim in shapes.values()})
        if len(widths) > 1:
            raise SonoscaleError(f"embed returned embeddings of widths {widths}: they must be of one width")

        sketch = SpectralSketch(widths[0], **self._sketch)
        start = 0  # of the batch in the probe
        with _caught() as faults:
            for i, (rows, width) in shapes.items():
                if i in mine:
                    assigned = np.arange(start, start + rows) % sketch.blocks
                    sketch.update_blocks(as_rows(mine[i], width), assigned, dtype=dtype_name(mine[i]))
                start += rows
        processes.agree(step, faults)
        if processes.size > 1:
            sketch.all_reduce(self.group)
        return sketch

    def _embedded(self, model: Any, processes: _Processes) -> dict[int, Tensor | np.ndarray]:
        """The embeddings of this process' share of the batches, by their index in the probe."""
        from torch.nn.parallel import DistributedDataParallel

        if isinstance(model, DistributedDataParallel):
            model = model.module  # the forward pass of DDP broadcasts buffers
        target, rows = device_of(model), {}
        for first in range(0, len(self.batches), processes.size):
            i = first + processes.rank
            spare = i >= len(self.batches)  # called for nothing, as other processes still have one to go
            i = first if spare else i
            seed_all(i)
            found = _checked(self.embed(model, _moved(self.batches[i], target)), i)
            if not spare:
                rows[i] = found
        return rows


def forward(model: Any, batch: Any) -> Any:
    """What a model gives for a batch."""
    return model(batch)


class _Processes:
    """Those that take part in a reading: a process group, or just this process where there is none."""

    def __init__(self, group: ProcessGroup | None) -> None:
        import torch.distributed as dist

        self.group, self.rank, self.size = group, 0, 1
        if dist.is_available() and dist.is_initialized():
            self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
            if self.rank < 0:
                raise SonoscaleError("this process is not in the group that shares the reading")

    def gather(self, mine: Any) -> list[Any]:
        """What every process has, in order."""
        if self.size == 1:
            return [mine]
        import torch.distributed as dist

        all_of: list[Any] = [None] * self.size
        dist.all_gather_object(all_of, mine, group=self.group)
        return all_of

    def agree(self, step: int, faults: list[Exception], about: Any = None) -> list[Any]:
        """What every process has to report, if all are at one step and none has failed; else all raise."""
        reason = f"{type(faults[0]).__name__}: {' '.join(str(faults[0]).split())[:300]}" if faults else None
        steps, reasons, abouts = zip(*self.gather((int(step), reason, about)), strict=True)
        if len(set(steps)) > 1:
            found = ", ".join(f"process {i} is at step {each}" for i, each in enumerate(steps))
            raise SonoscaleError(f"{found}: call the monitor at the same step in every process")
        if faults:
            raise faults[0]
        failed = [f"process {i} failed with {why}" for i, why in enumerate(reasons) if why]
        if failed:
            raise SonoscaleError("; ".join(failed))
        return list(abouts)

    def share(self, tensors: list[Tensor]) -> None:
        """Overwrite with what process 0 has."""
        import torch
        import torch.distributed as dist

        for tensor in tensors:
            wire = torch.device("cuda" if dist.get_backend(self.group) == "nccl" else "cpu")
            sent = tensor.to(wire, copy=True).contiguous()
            dist.broadcast(sent, dist.get_process_group_ranks(self.group or dist.group.WORLD)[0], self.group)
            tensor.copy_(sent)


@contextmanager
def _caught() -> Iterator[list[Exception]]:
    """Keep an exception for later."""
    faults: list[Exception] = []
    try:
        yield faults
    except Exception as error:
        faults.append(error)


def _batches(probe: Any, batch_size: int) -> list[Any]:
    import torch

    if isinstance(probe, np.ndarray):
        probe = torch.from_numpy(probe)
    tensor = isinstance(probe, torch.Tensor)
    if isinstance(probe, str | Mapping) or not (probe.ndim if tensor else hasattr(probe, "__iter__")):
        raise SonoscaleError(f"a probe must be a tensor [n, ...] or a list of batches, not {_described(probe)}")
    with own_randomness():  # to go through a DataLoader draws from it
        batches = list(probe.split(batch_size) if tensor and len(probe) else probe)
    if not batches:
        raise SonoscaleError("the probe is empty: give a tensor [n, ...] or a list of batches")
    return batches


def _moved(batch: Any, target: device | None) -> Any:
    """A batch on the device, its tensors copied, so that `embed` can write into them."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.to(target or batch.device, copy=True)
    if target is not None and hasattr(batch, "to"):
        return batch.to(target)
    if isinstance(batch, Mapping):
        return {key: _moved(value, target) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [_moved(value, target) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


def _checked(rows: Any, i: int) -> Tensor | np.ndarray:
    """A copy of what `embed` returned: it may be part of something larger, or of what is used again."""
    import torch

    finite: Any
    if isinstance(rows, np.ndarray):
        fits, finite = np.issubdtype(rows.dtype, np.floating), np.isfinite
    else:
        fits, finite = isinstance(rows, torch.Tensor) and rows.is_floating_point(), torch.isfinite
    if not fits or rows.ndim != 2:
        raise SonoscaleError(
            f"embed must return floating-point embeddings [b, dim], not {_described(rows)} (batch {i})"
        )
    bad = int((~finite(rows).all(1)).sum())
    if bad:
        raise SonoscaleError(f"{bad} of the {len(rows)} embeddings of batch {i} hold NaN or infinity")
    return rows.copy() if isinstance(rows, np.ndarray) else rows.detach().clone()


def _described(value: Any) -> str:
    """An object in a message."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
