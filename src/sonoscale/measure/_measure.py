"""The verb: effective ranks of encoders on audio, or of embeddings in files."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.measure._files import SAMPLE, compare_files, measure_file, open_files
from sonoscale.measure._measured import Measured, MeasuredDifference, Measurement, short_names
from sonoscale.provenance import versions
from sonoscale.rank import ESTIMATORS, get_estimator
from sonoscale.rank._files import is_embedding_file
from sonoscale.rank._rows import NanPolicy
from sonoscale.rank._sketch import Method

if TYPE_CHECKING:
    from sonoscale.encoders import Encoder
    from sonoscale.encoders._checked import Precision
    from sonoscale.measure._sketches import Pass

    Specs = str | PathLike[str] | Encoder | Sequence[str | PathLike[str] | Encoder]

MOST_WORKERS = 16
"""Decoding beyond that is more than one process can take in."""
DEFAULT = ("rankme", "rankme_centred", "rankme_standardised")

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
Progress = Callable[[str, str, int, int], None]


@in_one_line
def measure(
    encoders: Specs | None = None,
    corpus: str | PathLike[str] | None = None,
    *,
    embeddings: Paths | None = None,
    compare: Specs = (),
    estimators: str | Sequence[str] = DEFAULT,
    baselines: bool = False,
    layers: bool = False,
    group: str | None = None,
    equal_n: bool = False,
    durations: Sequence[float] = (),
    kind: str | None = None,
    audio_root: str | PathLike[str] | None = None,
    max_seconds: float = 30.0,
    max_skipped: float = 0.05,
    save_embeddings: str | PathLike[str] | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_seconds: float = 64.0,
    workers: int | None = None,
    executor: Literal["local", "ray"] = "local",
    key: str | None = None,
    method: Method = "gram",
    nan_policy: NanPolicy = "raise",
    level: float = 0.95,
    tolerance: float = 0.01,
    blocks: int = 16,
    force: bool = False,
    json: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    each: Callable[[Measurement], None] | None = None,
) -> Measurement:
    """Effective ranks of encoders on audio, or of embeddings in files, and the differences between them.

    Encoders that are compared process the same clips: what is too long for one is cut for all, and what is too short
    for one is left out for all; their differences are paired clip by clip. Files need neither torch nor audio.

    Arguments:
        encoders: a spec for `load_encoder`, an `Encoder`, or several of them; or files of embeddings, if there is no
            corpus.
        corpus: the audio, a spec for `open_corpus`: a folder, a manifest, `hf:owner/name`, ...
        embeddings: in place of both: files that `open_embeddings` reads.
        compare: further encoders (or files), each of which is compared with the first.
        estimators: names of `ESTIMATORS`, `renyi_<order>[_centred]`; the first is that of layers, groups, durations
            and the limit. `"all"` stands for every one there is, and the baselines.
        baselines: other label-free metrics too, which need pairs of clips or neighbours: LiDAR (encoders only), TwoNN
            and uniformity.
        layers: measure every layer.
        group: column of the corpus whose groups are measured separately.
        equal_n: measure groups on equally many clips each, of the larger ones on a random part: a rank grows with n.
        durations: beginnings of clips to measure, in seconds.
        kind, audio_root: see `open_corpus`.
        max_seconds: longer recordings are cut into clips of at most so many seconds.
        max_skipped: largest share of clips that may be skipped as they cannot be processed.
        save_embeddings: a `.parquet` or `.npy` file for the embeddings of the only encoder.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`.
        precision: of the forward pass: `fp32`, `bf16`, `fp16`.
        batch_seconds: seconds of audio in a batch.
        workers: threads or, if it takes long, processes of low priority that decode; by default one for each core, at
            most 16 (a quarter of the cores for each task of a cluster).
        executor: `local`, or `ray` for a cluster.
        key: which array of the files.
        method, nan_policy: as for `SpectralSketch` (files only).
        level: coverage of the intervals.
        tolerance: share of the limit that the clips needed are for.
        blocks: jackknife groups.
        force: compare also files that were measured differently.
        json: a `.json` or `.parquet` file for the records, written after each encoder (see `Measurement.write`).
        progress: called with the encoder or file, what is being done, how much of it is done, and of how much.
        each: called with what has been measured so far, after each encoder or file.

    Returns:
        records, differences, and an account of skipped clips and time.

    Raises:
        SonoscaleError: neither encoders and corpus nor embeddings, what cannot be loaded or read, too many clips that
            cannot be processed, options that do not fit.

    Example:
        >>> import numpy as np, tempfile
        >>> rng = np.random.default_rng(0)
        >>> clips = rng.standard_normal((500, 16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/a.npy", clips)
        ...     np.save(f"{folder}/b.npy", clips * np.linspace(1, 3, 16))
        ...     measured = measure(embeddings=[f"{folder}/a.npy", f"{folder}/b.npy"], estimators="rankme")
        >>> print(measured.headline)
        a.npy: RankMe 15.93 [15.9, 15.97] of 500 x 16 embeddings; b.npy: RankMe 15.15 [15.07, 15.24] of 500 x 16 \
embeddings; 1 of 1 differs significantly from a.npy
        >>> measured.to_json()[:14], measured.rows()[0]["estimator"]
        ('{\\n "records": ', 'rankme')
    """
    check_arguments(measure, locals())
    names, everything = _estimators(estimators)
    if not 0 < level < 1 or blocks < 2 or not tolerance > 0:
        raise SonoscaleError(
            f"level = {level}, blocks = {blocks}, tolerance = {tolerance}: must be between 0 and 1, at least 2, and "
            "positive"
        )
    if not 0 <= max_skipped <= 1 or not 0 < batch_seconds < math.inf or not max_seconds > 0:
        raise SonoscaleError(
            f"max_skipped = {max_skipped}, batch_seconds = {batch_seconds}, max_seconds = {max_seconds}: must be "
            "from 0 to 1, positive and positive"
        )
    if workers is not None and workers < 1:
        raise SonoscaleError(f"workers = {workers}: must be at least 1")
    given = {"level": level, "tolerance": tolerance, "blocks": blocks}
    path = _records_path(json)
    if embeddings is None and corpus is None and encoders is not None and _are_files(_listed(encoders)):
        encoders, embeddings = None, encoders  # pyright: ignore[reportAssignmentType]
    if embeddings is not None:
        if encoders is not None or corpus is not None:
            raise SonoscaleError("measure takes encoders and a corpus, or embeddings, and not both")
        files = _as_files(embeddings, "embeddings") + _as_files(compare, "compare")
        return _measure_files(
            files, names, key=key, baselines=baselines or everything, method=method, nan_policy=nan_policy, force=force,
            out=path, progress=progress, each=each, **given,
        )  # fmt: skip
    if encoders is None or corpus is None:
        raise SonoscaleError("measure needs encoders and a corpus, or embeddings")
    specs = _listed(encoders) + _listed(compare)
    if not specs:
        raise SonoscaleError("measure needs at least one encoder")
    if save_embeddings is not None and (len(specs) > 1 or executor == "ray"):
        raise SonoscaleError("save_embeddings is for one encoder, measured here")
    if equal_n and group is None:
        raise SonoscaleError("equal_n is for groups: name the column of the groups (group)")
    if executor not in ("local", "ray"):
        raise SonoscaleError(f"executor {executor!r} is not known; known: local, ray")
    wanted = _Wanted(
        specs, str(corpus), names, baselines or everything, layers, group, tuple(durations), kind,
        None if audio_root is None else Path(audio_root), max_seconds, max_skipped,
        None if save_embeddings is None else Path(save_embeddings), device, precision, batch_seconds, workers, executor,
        equal_n=equal_n, **given,
    )  # fmt: skip
    return _measure_encoders(wanted, path, progress or (lambda *_: None), each)


@dataclass(frozen=True)
class _Wanted:
    """What `measure` was asked for of encoders; its arguments of the same names."""

    specs: list[Any]
    audio: str
    estimators: list[str]
    baselines: bool
    layers: bool
    group: str | None
    durations: tuple[float, ...]
    kind: str | None
    audio_root: Path | None
    max_seconds: float
    max_skipped: float
    save_embeddings: Path | None
    device: str
    precision: Precision
    batch_seconds: float
    workers: int | None
    executor: str
    level: float
    tolerance: float
    blocks: int
    min_seconds: float = 0.0
    equal_n: bool = False

    def options(self) -> dict[str, Any]:
        """Everything to measure it again with, and the versions that it was measured with."""
        return {
            "encoders": [_named(spec) for spec in self.specs], "audio": self.audio, "kind": self.kind,
            "audio_root": self.audio_root, "max_seconds": self.max_seconds, "min_seconds": self.min_seconds,
            "blocks": self.blocks, "level": self.level, "tolerance": self.tolerance, "estimators": self.estimators,
            "baselines": self.baselines, "layers": self.layers, "group": self.group, "equal_n": self.equal_n,
            "durations": list(self.durations),
            "max_skipped": self.max_skipped, "device": self.device, "precision": self.precision,
            "executor": self.executor, "workers": self.workers, "batch_seconds": self.batch_seconds,
            "versions": versions("torch", "numpy"),
        }  # fmt: skip


def _estimators(given: str | Sequence[str]) -> tuple[list[str], bool]:
    """Their names, and whether all there are were asked for; the first asked for stays first."""
    names = [given] if isinstance(given, str) else list(given)
    everything = "all" in names
    names = [name for name in names if name != "all"]
    for name in names:
        get_estimator(name)
    if everything:
        names = list(dict.fromkeys([*names[:1], *ESTIMATORS, *names]))
    if not names:
        raise SonoscaleError("measure needs at least one estimator")
    return names, everything


def _are_files(given: list[Any]) -> bool:
    """Whether all of these are files of embeddings, by what they are called."""
    return bool(given) and all(isinstance(one, (str, PathLike)) and is_embedding_file(one) for one in given)


def _as_files(given: Any, name: str) -> list[Path]:
    for one in (files := _listed(given)):
        if not isinstance(one, (str, PathLike)):
            raise SonoscaleError(
                f"{name}: a {type(one).__name__} is not the path of a file; `rankme` takes arrays and frames"
            )
    return [Path(file) for file in files]


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _records_path(json: str | PathLike[str] | None) -> Path | None:
    if json is None:
        return None
    path = Path(json)
    if path.suffix not in (".json", ".parquet") or not path.parent.is_dir():
        raise SonoscaleError(f"{path}: must end in .json or .parquet, in a folder that exists")
    return path


def _measure_files(
    paths: list[Path], names: list[str], *, key: str | None, baselines: bool, method: Method, nan_policy: NanPolicy,
    force: bool, level: float, tolerance: float, blocks: int, out: Path | None, progress: Progress | None,
    each: Callable[[Measurement], None] | None,
) -> Measurement:  # fmt: skip
    """Measure each file, and compare those after the first with it."""
    if out and out.resolve() in {path.expanduser().resolve() for path in paths}:
        raise SonoscaleError(f"{out}: is to be measured, and would be overwritten")
    files = open_files(paths, key=key, force=force)
    options = {
        "embeddings": paths, "key": key, "estimators": names, "baselines": baselines, "method": method,
        "nan_policy": nan_policy, "level": level, "tolerance": tolerance, "blocks": blocks, "force": force,
        "versions": versions("numpy"),
    }  # fmt: skip
    found: list[Measured] = []

    def so_far(differences: Sequence[MeasuredDifference] = ()) -> Measurement:
        shown = short_names([one.identity for one in found])
        named = [replace(one, name=name) for one, name in zip(found, shown, strict=True)]
        return Measurement(named, names[0], differences, options=options)

    for file in files:
        done = 0

        def advance(rows: int, file: Any = file) -> None:
            nonlocal done
            done += rows
            if progress:
                progress(str(file.path), "rows", done, file.n)

        found.append(
            measure_file(
                file, names, baselines=baselines, level=level, tolerance=tolerance, blocks=blocks, method=method,
                nan_policy=nan_policy, progress=advance,
            )
        )  # fmt: skip
        _report(so_far(), out, each)
    differences = compare_files(found, names, level=level, force=force) if len(found) > 1 else []
    measurement = so_far(differences)
    if differences and out:
        measurement.write(out)
    return measurement


def _report(measurement: Measurement, out: Path | None, each: Callable[[Measurement], None] | None) -> None:
    """Hand over what was measured so far."""
    if out:
        measurement.write(out)
    if each:
        each(measurement)


def _measure_encoders(
    wanted: _Wanted, out: Path | None, progress: Progress, each: Callable[[Measurement], None] | None
) -> Measurement:
    """Measure each encoder, and compare those after the first with it, clip by clip."""
    from sonoscale.extras import need

    need("torch", what="measuring an encoder")
    need("soundfile", what="measuring an encoder")
    from sonoscale.measure._encoder import compare_encoders
    from sonoscale.measure._facts import lengths_for_all
    from sonoscale.measure._sketches import Pass

    wanted = replace(wanted, device=_device(wanted), workers=wanted.workers or _workers(wanted.executor))
    facts, only = _look(wanted)
    max_seconds, min_seconds = lengths_for_all(facts, wanted.max_seconds)
    wanted = replace(wanted, max_seconds=max_seconds, min_seconds=min_seconds)
    how = Pass(
        wanted.blocks, wanted.layers, wanted.group, workers=wanted.workers or 1,
        batch_seconds=wanted.batch_seconds, sample=SAMPLE if wanted.baselines else 0, min_seconds=min_seconds,
        processes=wanted.executor == "local", equal_n=wanted.equal_n,
    )  # fmt: skip
    shown, options = short_names([_title(spec) for spec in wanted.specs]), wanted.options()
    found: list[Measured] = []

    def so_far(differences: Sequence[MeasuredDifference] = ()) -> Measurement:
        return Measurement(list(found), wanted.estimators[0], differences, wanted.audio, wanted.group or "", options)

    for spec, fact, name in zip(wanted.specs, facts, shown, strict=True):
        found.append(replace(_measured(spec, fact, only, wanted, how, progress), name=name))
        _report(so_far(), out, each)
    if len(found) == 1:
        return so_far()
    measurement = so_far(compare_encoders(found, wanted.estimators, level=wanted.level))
    if out:
        measurement.write(out)
    return measurement


def _device(wanted: _Wanted) -> str:
    """Where encoders run."""
    from sonoscale.encoders import find_device

    if wanted.executor == "ray":
        from sonoscale.measure._ray import cluster_device

        return cluster_device(wanted.device)
    return find_device(wanted.device)


def _workers(executor: str) -> int:
    """Threads or processes that decode: as many as there are cores, as they yield to the encoder; few for each task of
    a cluster, which cannot know what else its machine does.
    """
    from sonoscale.processes import available_cores

    return min(available_cores(), MOST_WORKERS) if executor == "local" else max(1, available_cores() // 4)


def _look(wanted: _Wanted) -> tuple[list[Any], Any]:
    """What each encoder says of itself, so that what is wrong with one is known at the start; and an only one.

    Over Ray the numbers are all that is needed here, where there may be no GPU.
    """
    from sonoscale.measure._facts import EncoderFacts
    from sonoscale.measure._forward import need_layers

    facts = []
    for spec in wanted.specs:
        if wanted.executor == "ray":
            encoder = _loaded(spec, "cpu", "fp32")
            facts.append(EncoderFacts.of(encoder, precision=wanted.precision))
        else:
            encoder = _loaded(spec, wanted.device, wanted.precision)
            facts.append(EncoderFacts.of(encoder))
        if wanted.layers:
            need_layers(encoder)
        if len(wanted.specs) == 1:
            return facts, encoder
        del encoder  # two need not fit into the memory
    return facts, None


def _loaded(spec: Any, device: str, precision: Precision) -> Any:
    """The encoder of a spec; an encoder as it is."""
    from sonoscale.encoders import load_encoder

    if isinstance(spec, (str, PathLike)):
        return load_encoder(str(spec), device=device, precision=precision)
    lacking = [name for name in ("sample_rate", "dim", "identity", "min_samples", "embed") if not hasattr(spec, name)]
    if lacking:
        raise SonoscaleError(
            f"encoders: {type(spec).__name__} is no spec and no Encoder: it has no {', '.join(lacking)}; "
            "write python:module:factory, or give it these"
        )
    return spec


def _title(spec: Any) -> str:
    """As tables show it: a run of ours by the name that it was given, if any."""
    from sonoscale.encoders._checkpoint import run_title

    return (run_title(spec) if isinstance(spec, (str, Path)) else None) or _named(spec)


def _named(spec: Any) -> str:
    return str(spec) if isinstance(spec, (str, PathLike)) else str(getattr(spec, "identity", type(spec).__name__))


def _measured(spec: Any, facts: Any, only: Any, wanted: _Wanted, how: Pass, progress: Progress) -> Measured:
    """Measure one encoder, here or over Ray."""
    from sonoscale.corpora import open_corpus
    from sonoscale.measure._encoder import measure_encoder
    from sonoscale.measure._save import EmbeddingWriter

    opened: dict[str, Any] = {
        "kind": wanted.kind, "max_seconds": wanted.max_seconds, "audio_root": wanted.audio_root,
    }  # fmt: skip
    corpus = open_corpus(wanted.audio, sample_rate=facts.sample_rate, **opened)
    name = _named(spec)

    def show(what: str, done: int, total: int) -> None:
        progress(name, what, done, total)

    with contextlib.ExitStack() as stack:
        sketch = writer = None
        if wanted.executor == "ray":
            from sonoscale.measure._ray import ray_sketcher

            if not isinstance(spec, (str, PathLike)):
                raise SonoscaleError(f"{name}: executor ray needs the spec of an encoder, which its workers load")
            loaded = {"device": wanted.device, "precision": wanted.precision}
            encoder = facts
            sketch = ray_sketcher(
                name, wanted.audio, encoder=facts, corpus=corpus, opened=opened, loaded=loaded, progress=show
            )
        else:
            encoder = only or _loaded(spec, wanted.device, wanted.precision)
        if wanted.save_embeddings:
            writer = stack.enter_context(EmbeddingWriter(wanted.save_embeddings, corpus, facts.dim))
        return measure_encoder(
            encoder, corpus, how=how, estimators=wanted.estimators, durations=wanted.durations, level=wanted.level,
            tolerance=wanted.tolerance, max_skipped=wanted.max_skipped, progress=show, emit=writer,
            finished=writer and writer.finish, sketch=sketch,
        )  # fmt: skip
