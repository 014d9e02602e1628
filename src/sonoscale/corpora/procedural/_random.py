"""Random streams keyed by stable integers, and draws that keep training and test parameters apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPLITS", "Draw", "stream"]

T = TypeVar("T")

SPLITS = ("train", "heldout", "test")


def stream(*keys: int | str) -> np.random.Generator:
    """A generator that depends on its keys alone, the same in any process.

    Arguments:
        keys: integers and strings, order matters. They enter by their SHA-256.
    """
    text = "\0".join(key if isinstance(key, str) else f"{int(key)}" for key in keys)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))


@dataclass
class Draw:
    """Draws the parameters of one clip.

    A parameter with a `test` range is drawn from that range in the test split, and from the training range in
    the others; the two must be disjoint. What is drawn so is kept in `trace`, to be inspected.

    Arguments:
        rng: the clip's random stream.
        test: whether the clip belongs to the test split.
    """

    rng: np.random.Generator
    test: bool = False
    trace: dict[str, list[float | str]] = field(default_factory=dict)

    def span(
        self,
        name: str,
        low: float,
        high: float,
        *,
        test: tuple[float, float] | None = None,
        log: bool = False,
    ) -> float:
        """A number from [low, high), or in the test split from `test`; uniform, or so in its logarithm."""
        if test is not None and self.test:
            low, high = test
        value = float(np.exp(self.rng.uniform(np.log(low), np.log(high))) if log else self.rng.uniform(low, high))
        if test is not None:
            self.trace.setdefault(name, []).append(value)
        return value

    def pick(self, name: str, options: Sequence[T], *, test: Sequence[T] | None = None) -> T:
        """One of the options, or in the test split one of `test`."""
        if test is not None and self.test:
            options = test
        value = options[int(self.rng.integers(len(options)))]
        if test is not None:
            self.trace.setdefault(name, []).append(str(value))
        return value

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def uniform(self, low: float, high: float) -> float:
        """A number from [low, high), the same in all splits."""
        return float(self.rng.uniform(low, high))

    def uniforms(self, low: float, high: float, count: int) -> NDArray[np.float64]:
        """`count` numbers from [low, high), the same in all splits."""
        return self.rng.uniform(low, high, count)
