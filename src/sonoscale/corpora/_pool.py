"""Real audio to train on: what is held out, nested subsets, shares of domains."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from sonoscale.config import Config
from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    import numpy as np

    from sonoscale.corpora._base import Corpus


class PoolData(Config):
    """Clips in an order that a seed decides: the first ones are held out, and of the rest the first `clips`, or the
    first `hours`, are trained on, so that smaller sets are nested in larger ones.

    Clips of one recording are never on both sides.
    """

    model_config = ConfigDict(ignored_types=(cached_property,))

    clips: int | None = Field(default=None, ge=8)  # training clips after shuffling; by default all
    hours: float | None = Field(default=None, gt=0, le=1e9)  # of training audio, instead of clips; cut to whole clips
    # never trained on: for the rank and the held-out loss; by default 1024, or a quarter of fewer than 4096 clips
    heldout_clips: int | None = Field(default=None, ge=32)
    seed: int = Field(default=0, ge=0)  # of the shuffle that picks held-out clips and nested subsets
    mixture: tuple[tuple[str, float], ...] = ()  # domain: its share of the training clips; by default as they come

    @field_validator("mixture", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return tuple(value.items()) if isinstance(value, dict) else value

    @field_validator("mixture")
    @classmethod
    def _shares(cls, pairs: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
        if not all(0 < share < float("inf") for _, share in pairs):
            raise ValueError("each share must be a number above 0; leave out the domains that are not wanted")
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError("each domain can be named once only")
        return pairs

    @model_validator(mode="after")
    def _one_volume(self) -> PoolData:
        if self.clips is not None and self.hours is not None:
            raise ValueError(f"clips = {self.clips} and hours = {self.hours}: give one of them")
        return self

    @property
    def clips_asked(self) -> int | None:
        """Training clips as far as the configuration alone determines them."""
        return self.clips if self.hours is None else None

    def training(self) -> Corpus:
        """The training clips, in shuffled order.

        Raises:
            SonoscaleError: there are fewer than asked for, or a domain of the mixture has none.
        """
        from sonoscale.corpora._base import take

        corpus = self._corpus()
        left = self._split(corpus)[1]
        mixed = self._mixed(corpus, left) if self.mixture else left
        where = f"{self._place()} has {len(corpus)} clips, of which {self._heldout(len(corpus))} are held out"
        short = "" if len(mixed) == len(left) else " in the proportions of data.mixture"
        if self.hours is not None:
            return take(corpus, mixed[: self._clips_of(corpus, mixed, f"{where};", short)].tolist())
        clips = self.clips or len(mixed)
        if clips > len(mixed):
            raise SonoscaleError(f"data.clips = {clips}: {where}; at most {len(mixed)} are left to train on{short}")
        return take(corpus, mixed[:clips].tolist())

    def everything(self) -> Corpus:
        """All clips, to train on or held out."""
        return self._corpus()

    def heldout(self) -> Corpus:
        """The first clips of the shuffled order."""
        from sonoscale.corpora._base import take

        corpus = self._corpus()
        return take(corpus, self._split(corpus)[0].tolist())

    def _clips_of(self, corpus: Corpus, order: np.ndarray, where: str, short: str) -> int:
        """How many clips of the order make the hours asked for, to the nearest."""
        import numpy as np

        assert self.hours is not None
        reached = np.cumsum(self._seconds(corpus, order.tolist())) / 3600
        if self.hours > reached[-1] * (1 + 1e-9):
            raise SonoscaleError(
                f"data.hours = {self.hours}: {where} at most {reached[-1]:.4g} hours are left to train on{short}"
            )
        clips = int(np.abs(reached - self.hours).argmin()) + 1
        if clips < 8:
            raise SonoscaleError(f"data.hours = {self.hours}: that is {clips} clips, and 8 are needed; raise it")
        return clips

    def _split(self, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
        """Held-out clips, and those to train on: of other recordings."""
        import numpy as np

        order = np.random.default_rng(self.seed).permutation(len(corpus))
        groups = np.unique(self._groups(corpus), return_inverse=True)[1][order]
        first = np.full(groups.max() + 1, len(order))
        np.minimum.at(first, groups, np.arange(len(order)))  # where each recording first comes up
        clips = np.bincount(groups)
        turns = np.argsort(first)
        wanted = self._heldout(len(order))
        enough = int(np.searchsorted(np.cumsum(clips[turns]), wanted)) + 1
        held = np.isin(groups, turns[:enough])
        if held.sum() < wanted or len(order) - held.sum() < 8:
            raise SonoscaleError(
                f"{self._place()}: {len(order)} audio clips of {len(clips)} recordings; data.heldout_clips = "
                f"{wanted} leaves fewer than 8 to train on"
            )
        return order[held][:wanted], order[~held]

    def _heldout(self, clips: int) -> int:
        """Clips to hold out of so many."""
        return max(32, min(1024, clips // 4)) if self.heldout_clips is None else self.heldout_clips

    def _mixed(self, corpus: Corpus, order: np.ndarray) -> np.ndarray:
        """Clips in an order of which every beginning has the shares asked for, until a domain has run out."""
        import numpy as np

        domains = np.array(self._domains(corpus))[order]
        for name, _ in self.mixture:
            if name not in domains:
                there = ", ".join(sorted(set(domains.tolist()) - {""})) or "none"
                raise SonoscaleError(f"data.mixture: there is no {self._called(name)}; there are {there}")
        shares = np.array([share for _, share in self.mixture])
        shares = shares / shares.sum()
        waiting = [order[domains == name] for name, _ in self.mixture]
        taken = np.zeros(len(shares), dtype=np.int64)
        mixed = []
        while True:
            most = int(np.argmax(shares * (len(mixed) + 1) - taken))  # the domain that is furthest behind
            if taken[most] == len(waiting[most]):
                return np.array(mixed, dtype=np.int64)
            mixed.append(waiting[most][taken[most]])
            taken[most] += 1

    def _place(self) -> str:
        """Where the audio lies, for messages."""
        raise NotImplementedError

    def _called(self, domain: str) -> str:
        """What a domain is, for messages."""
        raise NotImplementedError

    def _corpus(self) -> Corpus:
        """All clips."""
        raise NotImplementedError

    def _groups(self, corpus: Corpus) -> Sequence[str]:
        """The recording of each clip."""
        raise NotImplementedError

    def _domains(self, corpus: Corpus) -> Sequence[str]:
        """The domain of each clip; empty if it has none."""
        raise NotImplementedError

    def _seconds(self, corpus: Corpus, indices: Sequence[int]) -> Sequence[float]:
        """Length of these clips.

        Raises:
            SonoscaleError: that of one is not known (named).
        """
        raise NotImplementedError
