"""Signals during a training: when they are obeyed."""

import signal
from types import SimpleNamespace

import pytest

from sonoscale.pretrain import _state
from sonoscale.pretrain._state import stop_requests


class Stopped(BaseException):
    """By the handler that was there before."""


@pytest.fixture
def clock(monkeypatch):
    """Its `now` is the time; and handlers that raise `Stopped` stand in for the command's."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(_state, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def stop(number, frame):
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    yield clock
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_sent_at_once_are_one(clock):
    with stop_requests(together=True) as request:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # as schedulers and terminals send them
            signal.raise_signal(number)
            clock.now += 0.3
        request.obey()
        assert request.agreed == 0  # the other processes do not know yet


def test_ctrl_c_twice_does_not_wait(clock):
    with stop_requests(together=True) as request:
        signal.raise_signal(signal.SIGINT)
        clock.now += 3
        with pytest.raises(Stopped, match=str(int(signal.SIGINT))):
            signal.raise_signal(signal.SIGINT)
        assert len(request.signals) == 2


def test_a_scheduler_may_repeat_itself(clock):
    with stop_requests(together=True) as request:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            clock.now += 30
        assert request.agreed == 0


def test_a_single_process_stops_after_its_step_and_no_sooner(clock):
    with stop_requests(together=False) as request:
        request.obey()  # nobody asked
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match=str(int(signal.SIGTERM))):
            request.obey()
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)  # the handlers are back
