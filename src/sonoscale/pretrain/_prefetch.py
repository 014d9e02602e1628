"""Batches that are read while the step before them runs."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from sonoscale.pretrain._batches import Batches


class Movable(Protocol):
    """A batch."""

    def pin_memory(self) -> Self:
        """The same in memory that a GPU can read by itself."""
        ...

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Self:
        """The same on a device."""
        ...


Batch = TypeVar("Batch", bound=Movable)


class Prefetch(Generic[Batch]):
    """The batches of a stream, on the device, of which a thread prepares the next ones.

    It gives what the stream alone would give, and its state is that after the last batch given, whatever is prepared
    beyond. Where reading fails, `next` raises what the thread met, again and again until something is restored.
    Nothing is read before the first `next`.

    Arguments:
        stream: read by nobody else from now on.
        device: on CUDA the memory is pinned, and the copy waits for nothing.
        ahead: batches prepared beyond the one given; 0 for none, and no thread.
    """

    def __init__(self, stream: Batches[Batch], device: torch.device, *, ahead: int = 2) -> None:
        self._stream, self._device, self._ahead = stream, device, ahead
        self._state = stream.state()
        self._coming: deque[Future[tuple[Batch, dict[str, Any]]]] = deque()
        self._pin = device.type == "cuda"
        on_gpu = {"initializer": torch.cuda.set_device, "initargs": (device,)} if self._pin else {}
        self._pool = ThreadPoolExecutor(1, "batches", **on_gpu) if ahead else None  # ends with its last reference

    @property
    def batch_size(self) -> int:
        """Examples in a batch, of all processes together."""
        return self._stream.batch_size

    @property
    def clips_seen(self) -> int:
        """In all batches given."""
        return self._state["clips_seen"]

    def next(self) -> Batch:
        """The next batch of the stream, on the device.

        Raises:
            SonoscaleError: audio could not be read (named).
        """
        if self._pool is None:
            batch, self._state = _prepare(self._stream, self._pin)
        else:
            self._request(1)
            batch, self._state = self._coming[0].result()
            self._coming.popleft()
            self._request(self._ahead)
        return batch.to(self._device, non_blocking=self._pin)

    def state(self) -> dict[str, Any]:
        """See `Batches.state`: after the last batch given."""
        return self._state

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`; what was prepared is thrown away."""
        self._drop()
        self._stream.restore(state)
        self._state = self._stream.state()

    def close(self) -> None:
        """End the thread; there is no next batch."""
        self._drop()
        if self._pool is not None:
            self._pool.shutdown()

    def _request(self, count: int) -> None:
        assert self._pool is not None
        while len(self._coming) < count:
            self._coming.append(self._pool.submit(_prepare, self._stream, self._pin))

    def _drop(self) -> None:
        """Forget what is being prepared; the thread no longer touches the stream."""
        wait([each for each in self._coming if not each.cancel()])
        self._coming.clear()


def _prepare(stream: Batches[Batch], pin: bool) -> tuple[Batch, dict[str, Any]]:
    batch = stream.next()
    return batch.pin_memory() if pin else batch, stream.state()
