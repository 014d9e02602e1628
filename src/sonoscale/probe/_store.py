"""Our own encoders on the kept log-mels of a task, as studies probe their checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sonoscale.probe._embeddings import probe_embeddings
from sonoscale.probe._protocols import find_protocol
from sonoscale.probe._results import ProbeResult
from sonoscale.probe._retrieval import Retrieval
from sonoscale.probe._targets import Targets, make_targets

if TYPE_CHECKING:
    from sonoscale.corpora import FeatureStore
    from sonoscale.encoders import AudioEncoder


def probe_store(
    encoder: AudioEncoder | Literal["logmel"],
    store: FeatureStore,
    labels: Sequence[Any] | np.ndarray | Targets,
    folds: Sequence[str] | np.ndarray,
    *,
    protocols: Sequence[str] = ("linear",),
    readouts: Sequence[str] = ("mean",),
    scheme: str = "folds",
    kind: str = "multiclass",
    metric: str | None = None,
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[tuple[str, str], ProbeResult]:
    """Score one of our encoders, or the log-mels themselves, on clips whose log-mels are computed already.

    Each clip is embedded once, over its whole length, for all readouts and protocols.

    Arguments:
        encoder: in eval mode; or `"logmel"` for the baseline, mean and deviation of each band over a clip (the mean
            alone for readout `frequency`).
        store: log-mels of the clips, by the encoder's front end.
        labels, folds, scheme, kind, groups, roles, seed: see `probe_embeddings`.
        protocols: names of `PROTOCOLS`.
        readouts: names of `READOUTS`.
        metric: name; see `probe_embeddings`. Retrieval on labels of another kind has metrics of its own.
        device: that protocols may use for large products: cpu, cuda, cuda:1; by default that of the encoder.
        progress: called with the protocol and the readout, how much of its fitting is done, and of how much.

    Returns:
        the result of each protocol and readout, by both names.

    Raises:
        SonoscaleError: a clip is shorter than one patch; no such readout; see `probe_embeddings`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sonoscale.audio import LogMelConfig
        >>> from sonoscale.corpora import ProceduralTaskConfig, build_features
        >>> task = ProceduralTaskConfig(name="pitch", train_clips=16, valid_clips=8, test_clips=8).load(None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = build_features(task.corpus, LogMelConfig(), Path(folder), dtype="float32")
        ...     results = probe_store("logmel", store, task.labels, task.folds, scheme="split", protocols=["knn"])
        >>> results["knn", "mean"].n
        32
    """
    from sonoscale.encoders import check_readout, read_store

    for name in readouts:
        check_readout(name)
    for name in protocols:
        find_protocol(name)
    if isinstance(encoder, str):
        statistics, device = logmel_statistics(store), device or "cpu"
        means = statistics[:, : statistics.shape[1] // 2]
        embedded = {name: means if name == "frequency" else statistics for name in readouts}
    else:
        embedded = {name: rows[0] for name, rows in read_store(encoder, store, readouts).items()}
        device = device or str(encoder.mean.device)
    return _scored(
        embedded, labels, folds, protocols=protocols, scheme=scheme, kind=kind, metric=metric, groups=groups,
        roles=roles, seed=seed, device=device, progress=progress,
    )  # fmt: skip


def probe_layers(
    encoder: AudioEncoder,
    store: FeatureStore,
    labels: Sequence[Any] | np.ndarray | Targets,
    folds: Sequence[str] | np.ndarray,
    *,
    layers: Sequence[int],
    readouts: Sequence[str] = ("mean",),
    **how: Any,
) -> dict[tuple[str, str, int], ProbeResult]:
    """Score layers of one of our encoders, as `probe_store` scores its output.

    Arguments:
        encoder, store, labels, folds, readouts: see `probe_store`.
        layers: which, 0 the patch embedding; the last is the output.
        how: further options of `probe_store`.

    Returns:
        the result of each protocol, readout and layer.

    Raises:
        SonoscaleError: see `probe_store`.
    """
    from sonoscale.encoders import check_readout, read_store

    for name in readouts:
        check_readout(name)
    progress = how.pop("progress", lambda what, done, total: None)
    found: dict[tuple[str, str, int], ProbeResult] = {}
    for name, rows in read_store(encoder, store, readouts, layers=True).items():
        for layer in layers:
            scored = _scored(
                {name: rows[layer]}, labels, folds, **{"device": str(encoder.mean.device), **how},
                progress=lambda what, done, total, layer=layer: progress(f"{what}, layer {layer}", done, total),
            )  # fmt: skip
            found |= {(protocol, readout, layer): result for (protocol, readout), result in scored.items()}
    return found


def _scored(
    embedded: Mapping[str, np.ndarray],
    labels: Sequence[Any] | np.ndarray | Targets,
    folds: Sequence[str] | np.ndarray,
    *,
    device: str,
    progress: Callable[[str, int, int], None],
    protocols: Sequence[str] = ("linear",),
    scheme: str = "folds",
    kind: str = "multiclass",
    metric: str | None = None,
    groups: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[tuple[str, str], ProbeResult]:
    """The result of each protocol on the embeddings `[clips, R]` of each readout."""
    targets = labels if isinstance(labels, Targets) else make_targets(labels, kind=kind)
    results = {}
    for readout, rows in embedded.items():
        for method in map(find_protocol, protocols):
            own = isinstance(method, Retrieval) and kind != "retrieval"
            what = method.name if readout == "mean" else f"{method.name} on {readout}"
            result = probe_embeddings(
                rows, targets, folds, protocol=method.name, scheme=scheme, metric=None if own else metric,
                groups=groups, roles=roles if isinstance(method, Retrieval) else None, seed=seed, device=device,
                progress=lambda done, total, what=what: progress(what, done, total),
            )  # fmt: skip
            results[method.name, readout] = replace(result, readout=readout)
    return results


def logmel_statistics(store: FeatureStore) -> np.ndarray:
    """The baseline embedding `logmel:BANDS` from kept log-mels: mean and deviation over time of each band.

    Returns:
        float32 `[clips, 2 * bands]`, in the order of the store.

    Example:
        >>> from sonoscale.corpora import FeatureStore
        >>> frames, ends = np.array([[1, 5], [3, 5], [0, 2]], dtype=np.float32), np.array([0, 2, 3])
        >>> logmel_statistics(FeatureStore(None, frames, ends, 0.01, 0.025, "")).tolist()
        [[2.0, 5.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    """
    import torch

    from sonoscale.encoders._baseline import band_statistics

    rows = np.empty((len(store), 2 * store.frames.shape[1]), dtype=np.float32)
    for i in range(len(store)):
        clip = torch.from_numpy(store.clip(i).astype(np.float64))  # [frames, bands]
        rows[i] = band_statistics(clip.T[None])[0].numpy()
    return rows
