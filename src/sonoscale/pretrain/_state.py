"""All that changes during a training, and how it is stopped."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sonoscale.pretrain._objective import Objective
from sonoscale.pretrain._prefetch import Prefetch
from sonoscale.pretrain._runtime import load_whole, whole

if TYPE_CHECKING:
    from sonoscale.pretrain._runtime import Runtime

REMEMBERED = 0.95
"""Of the smoothed loss, from one step to the next."""


class Training:
    """Weights, optimiser, streams and counters of a run, which can be kept and put back.

    Arguments:
        objective, optimiser: not wrapped.
        stream: of examples.
        draws: of the randomness of the objective, on the CPU.
        device: of the smoothed loss.

    Attributes:
        segment, step: where in the schedule the run is: the index of the segment, and the next step.
        measured: the last step of the trunk at which the rank was read, -1 before the first.
        smooth: the loss, smoothed over steps; a tensor, so that nobody waits for the device.
        lowest: it has been.
        lr: learning rate of the last step.
        grad_norm: of all gradients of the last step, before it was clipped; a tensor.
    """

    def __init__(
        self,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        stream: Prefetch[Any],
        draws: torch.Generator,
        device: torch.device,
    ) -> None:
        self._objective, self._optimiser, self._stream, self.draws = objective, optimiser, stream, draws
        self.segment, self.step, self.measured = 0, 0, -1
        self.smooth = torch.full((), float("nan"), dtype=torch.float64, device=device)
        self.lowest, self.lr = float("inf"), 0.0
        self.grad_norm = torch.zeros(())
        self._loss: Tensor | None = None
        self._trunk: dict[str, Any] | None = None
        self._before, self._started = 0.0, time.monotonic()

    def add_loss(self, loss: Tensor) -> None:
        """A part of the loss of the step."""
        self._loss = loss.double() if self._loss is None else self._loss + loss

    def end_step(self, step: int) -> None:
        """All parts of the loss are there, and `step` is the next one."""
        assert self._loss is not None
        first = self.step == 0
        self.smooth = self._loss if first else REMEMBERED * self.smooth + (1 - REMEMBERED) * self._loss
        self._loss, self.step = None, step

    def seconds(self) -> float:
        """Of training, over all stops."""
        return self._before + time.monotonic() - self._started

    def leave_trunk(self) -> None:
        """A branch begins: remember the trunk."""
        if self._trunk is None:
            self._trunk = copy.deepcopy(self._changing())

    def return_to_trunk(self) -> None:
        """The branch has ended."""
        assert self._trunk is not None
        self._put_back(self._trunk)
        self._trunk = None

    def state(self) -> dict[str, Any]:
        """Everything, as tensors and plain values; called by all processes together."""
        generators = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            generators |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        return {
            "now": whole(self._changing()), "trunk": whole(self._trunk), "segment": self.segment,
            "seconds": self.seconds(), "generators": generators,
        }  # fmt: skip

    def restore(self, state: dict[str, Any] | None) -> None:
        """Resume from `state`, or begin.

        Raises:
            ValueError: it is not a state of this training.
        """
        self._started = time.monotonic()
        if state is None:
            return
        like = whole(self._changing())
        for each in (state["now"], state["trunk"]):
            if each is not None:
                _check_alike(like, each, "state")
        _check_alike({"segment": 0, "seconds": 0.0}, {name: state[name] for name in ("segment", "seconds")}, "state")
        self._put_back(state["now"])
        self._trunk, self.segment, self._before = state["trunk"], state["segment"], state["seconds"]
        for name, kept in state["generators"].items():
            if name == "torch":
                torch.set_rng_state(kept)
            elif int(name.removeprefix("cuda")) < torch.cuda.device_count():  # there may be fewer now
                torch.cuda.set_rng_state(kept, int(name.removeprefix("cuda")))

    def _changing(self) -> dict[str, Any]:
        return {
            "objective": self._objective.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "stream": self._stream.state(),
            "draws": self.draws.get_state(),
            "smooth": self.smooth,
            "lowest": self.lowest,
            "step": self.step,
            "measured": self.measured,
        }

    def _put_back(self, kept: dict[str, Any]) -> None:
        load_whole(self._objective, self._optimiser, kept["objective"], kept["optimiser"])
        self._stream.restore(kept["stream"])
        self.draws.set_state(kept["draws"])
        self.smooth = kept["smooth"].to(self.smooth.device)
        self.lowest, self.step, self.measured = kept["lowest"], kept["step"], kept["measured"]


def _check_alike(like: Any, given: Any, where: str) -> None:
    """Whether a kept value has the keys, types and shapes of another; what can be told of a value by itself only
    (moments of the optimiser, the order of clips) is checked where it is put back.

    Raises:
        ValueError: it has not; where.
    """
    if isinstance(like, dict):
        if not isinstance(given, dict) or given.keys() != like.keys():
            raise ValueError(where)
        for name, each in like.items():
            if name not in ("optimiser", "order"):
                _check_alike(each, given[name], f"{where}.{name}")
    elif isinstance(like, Tensor):
        if not isinstance(given, Tensor) or (given.shape, given.dtype, given.layout) != (
            like.shape, like.dtype, like.layout,
        ):  # fmt: skip
            raise ValueError(where)
    elif type(given) is not type(like) and not (isinstance(like, float) and type(given) is int):
        raise ValueError(where)


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask for a stop; schedulers send the last two shortly before a time limit."""

AT_ONCE = 2.0
"""Seconds in which several signals count as one."""


@dataclass
class StopRequest:
    """Whether somebody asked for a stop.

    Attributes:
        together: whether other processes must stop at the same step.
        signals: received by this process.
        agreed: the signal to obey, 0 if none.
        due: whether the state is to be kept, which all processes do at the same step.
        first: when one came.
        handlers: of signals, as they were before.
    """

    together: bool
    signals: list[int] = field(default_factory=list)
    agreed: int = 0
    due: bool = False
    first: float = 0.0
    handlers: dict[int, Any] = field(default_factory=dict)

    def receive(self, number: int, frame: Any = None) -> None:
        """A signal. A second Ctrl-C does not wait, but what comes at once is the same one, sent twice by schedulers."""
        self.first = self.first or time.monotonic()
        impatient = number == signal.SIGINT and time.monotonic() - self.first > AT_ONCE
        self.signals.append(number)
        if not self.together or impatient:
            self.agreed = self.signals[0]
        if impatient:
            self.obey()

    def agree(self, fabric: Runtime, due: bool) -> None:
        """Stop all processes, if one of them was asked to; called by all of them at the same step.

        Arguments:
            fabric: of all processes.
            due: whether this one thinks that the state should be kept.
        """
        self.due = due
        if self.together:
            wishes = torch.tensor([max(self.signals, default=0), int(due)], device=fabric.device)
            agreed = torch.as_tensor(fabric.all_reduce(wishes, reduce_op="max")).tolist()
            self.agreed, self.due = int(agreed[0]), bool(agreed[1])

    def obey(self) -> None:
        """Stop, if agreed: as the signal would have without `stop_requests`, or with its exit status."""
        if not self.agreed:
            return
        handler = self.handlers.get(self.agreed)
        if callable(handler):
            handler(self.agreed, None)
        raise SystemExit(128 + self.agreed)


@contextmanager
def stop_requests(*, together: bool) -> Iterator[StopRequest]:
    """Signals that end a process wait for the end of a step until the block ends: also those before a time limit."""
    request = StopRequest(together)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    request.handlers = {number: signal.signal(number, request.receive) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in request.handlers.items():
            signal.signal(number, handler)
