"""Forward passes: of a batch that fails, clip by clip; and checked once for what no encoder may do."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

import numpy as np
import torch

from sonoscale.corpora import AudioCorpus
from sonoscale.encoders import Encoder
from sonoscale.errors import SonoscaleError, SonoscaleWarning
from sonoscale.processes import keep_freed_memory

ALONE, ALONE_HALF = 1e-3, 5e-2
"""Largest difference between a clip's embedding in a batch and alone that is rounding, in float32 and in half
precision, relative to the embedding's RMS or, where it is larger, the value itself."""
AUDIBLE = 1e-6
"""Standard deviation of a wave above which it is no silence."""
REFUSED = 8
"""So many clips refused one by one, and none taken, are the encoder's fault and not the clips'."""


SLOW = 120.0
"""Seconds in one batch after which it is said that an encoder has not returned."""


class _Watch:
    """An encoder that never returns cannot be stopped from here, but the user can be told; by one thread for all
    batches, as starting one takes longer than a small batch.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._ended = encoder, threading.Event()
        self._batch: tuple[float, tuple[int, ...]] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._ended.clear()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def over(self, waves: np.ndarray) -> Iterator[None]:
        self._batch = (time.monotonic(), waves.shape)
        try:
            yield
        finally:
            self._batch = None

    def _look(self) -> None:
        told = None
        while not self._ended.wait(SLOW / 4):
            batch = self._batch
            if batch is None or batch is told or time.monotonic() - batch[0] < SLOW:
                continue
            told, (clips, samples) = batch, batch[1]
            with suppress(SonoscaleWarning):  # where warnings are errors, which would end this thread
                warnings.warn(
                    f"{self._encoder.identity}: has not returned for {SLOW:g} s from a batch of {clips} clips, "
                    f"{clips * samples / self._encoder.sample_rate:.0f} s of audio; if it hangs, interrupt, and give "
                    "smaller batches (batch_seconds)",
                    SonoscaleWarning,
                    stacklevel=2,
                )


class Forward:
    """The encoder on batches of a corpus, in a `with` block.

    Arguments:
        encoder: see `Encoder`.
        corpus: names the clips.
        layers: embed with every layer.
    """

    def __init__(self, encoder: Encoder, corpus: AudioCorpus, layers: bool) -> None:
        if layers:
            need_layers(encoder)
        self._encoder, self._corpus, self._layers = encoder, corpus, layers
        self._unmixed, self._agree = False, not layers
        self._taken = self._refused = 0
        self._watch = _Watch(encoder)

    def __enter__(self) -> Forward:
        keep_freed_memory()
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._watch.stop()

    def __call__(self, where: np.ndarray, waves: np.ndarray) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """The embeddings of a batch, float32 `[layers, clips, dim]`, and the places and reasons of clips without one.

        Arguments:
            where: index of each clip.
            waves: float32 `[batch, samples]`.

        Raises:
            SonoscaleError: the encoder takes none of several clips, or the batch but each clip alone.
        """
        try:
            with self._watch.over(waves):
                stack = forward(self._encoder, waves, self._layers)
        except SonoscaleError as error:
            return self._one_by_one(where, waves, error)
        self._taken += len(where)
        return stack, []

    def check(self, waves: np.ndarray, stack: np.ndarray) -> None:
        """Check what a batch gave, until that has shown enough.

        Raises:
            SonoscaleError: an embedding depends on the other clips, or `embed` is not the last of `embed_layers`.
        """
        self._unmixed = self._unmixed or _check_alone(self._encoder, waves, stack, self._layers)
        self._agree = self._agree or _check_layers(self._encoder, waves)

    def _one_by_one(
        self, where: np.ndarray, waves: np.ndarray, error: SonoscaleError
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        made: list[np.ndarray] = []
        failed: list[tuple[int, SonoscaleError]] = [(0, error)] if len(where) == 1 else []
        for i in range(len(where) if len(where) > 1 else 0):
            try:
                made.append(forward(self._encoder, waves[i : i + 1], self._layers))
            except SonoscaleError as alone:
                failed.append((i, alone))
        if not failed:
            raise SonoscaleError(f"{error} (each of these {len(where)} clips passes alone)") from error
        self._taken += len(made)
        self._refused += len(failed)
        if not made and (len(where) > 1 or (not self._taken and self._refused >= REFUSED)):
            i, alone = failed[0]
            raise SonoscaleError(f"{alone} (processing {self._corpus.name(int(where[i]))})") from error
        nothing = np.empty((1, 0, self._encoder.dim), dtype=np.float32)
        return np.concatenate(made, axis=1) if made else nothing, [(i, str(alone)) for i, alone in failed]


def need_layers(encoder: Encoder) -> None:
    """Check that an encoder has layers.

    Raises:
        SonoscaleError: it has none.
    """
    if not getattr(encoder, "layers", None):
        raise SonoscaleError(f"{encoder.identity}: gives no layers to measure; measure its output alone")


def forward(encoder: Encoder, waves: np.ndarray, layers: bool) -> np.ndarray:
    """The embeddings of every layer, or of the output as the only one: float32 `[layers, batch, dim]`."""
    wave = torch.from_numpy(waves.copy())  # which the encoder may overwrite
    with torch.inference_mode():
        out = encoder.embed_layers(wave) if layers else encoder.embed(wave)[None]
    return out.float().cpu().numpy().copy()  # nor is it the encoder's to overwrite later


def _check_alone(encoder: Encoder, waves: np.ndarray, stack: np.ndarray, layers: bool) -> bool:
    """Embed one clip of a batch by itself too; False if the batch has no two clips that are not silent.

    Silence is no test, as its embedding may be rounding errors alone. Nor is the loudest clip, which an encoder that
    scales the batch by its peak leaves as it is. So it is a clip of middling loudness.

    Raises:
        SonoscaleError: the embedding is another than in the batch.
    """
    loudness = waves.std(axis=1)
    order = np.argsort(loudness, kind="stable")
    audible = order[loudness[order] > AUDIBLE]
    if len(audible) < 2:
        return False
    clip = int(audible[(len(audible) - 1) // 2])
    try:
        alone = forward(encoder, waves[clip : clip + 1], layers)[:, 0]
    except SonoscaleError as error:
        raise SonoscaleError(f"{error}; it took {len(waves)} clips at once: put the encoder into eval mode") from error
    difference = _difference(alone, stack[:, clip])
    if difference > _tolerance(encoder):
        raise SonoscaleError(
            f"{encoder.identity}: a clip's embedding depends on the other clips in its batch (alone it differs by "
            f"{difference:.1%}): put the encoder into eval mode"
        )
    return True


def _check_layers(encoder: Encoder, waves: np.ndarray) -> bool:
    """Compare the output with the last layer, of one clip alone; False if all are silent.

    Raises:
        SonoscaleError: they differ.
    """
    clip = int(waves.std(axis=1).argmax())
    if waves[clip].std() <= AUDIBLE:
        return False
    wave = waves[clip : clip + 1]
    difference = _difference(forward(encoder, wave, False)[0], forward(encoder, wave, True)[-1])
    if difference > _tolerance(encoder):
        raise SonoscaleError(
            f"{encoder.identity}: embed is not the last of embed_layers (they differ by {difference:.1%}), so the "
            "layers would say nothing of the output: let both pool and normalise alike, or measure without layers"
        )
    return True


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of `[rows, dim]`, relative to the RMS of a row of `other` or the value, if larger."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    rms = np.sqrt(np.square(b).mean(axis=1, keepdims=True))
    return float((np.abs(a - b) / np.maximum(np.abs(b), np.maximum(rms, 1e-12))).max())


def _tolerance(encoder: Encoder) -> float:
    half = getattr(encoder, "precision", "fp32") != "fp32" or any(_halves(encoder))
    return ALONE_HALF if half else ALONE


def _halves(found: object, depth: int = 4) -> Iterator[bool]:
    """Whether each of the weights, and each NumPy type, that an encoder or what it consists of holds is a half."""
    if isinstance(found, torch.nn.Module):
        yield from (weight.dtype in (torch.float16, torch.bfloat16) for weight in found.parameters())
    elif isinstance(found, type):
        yield found is np.float16  # what an ONNX file is fed with
    elif depth and not isinstance(found, ModuleType):
        bound = getattr(found, "__self__", None)  # a method that an adapter has taken over
        for each in [bound, *vars(found).values()] if hasattr(found, "__dict__") else [bound]:
            if each is not None:
                yield from _halves(each, depth - 1)
