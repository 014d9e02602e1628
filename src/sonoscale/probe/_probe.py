"""Encoders on labelled tasks -> scores with intervals, baselines and differences."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonoscale.arguments import check_arguments
from sonoscale.corpora import Task, open_corpus, open_task
from sonoscale.corpora._manifest import MANIFEST_SUFFIXES
from sonoscale.encoders import Encoder, check_readout, find_device, load_encoder, with_readouts
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import default_cache, write_json
from sonoscale.measure import need_layers
from sonoscale.probe._encoders import Progress, check_protocols, score_encoder
from sonoscale.probe._overlap import content_hashes
from sonoscale.probe._protocols import find_protocol
from sonoscale.probe._results import ProbeResults, Score, make_results
from sonoscale.processes import available_cores
from sonoscale.provenance import versions

if TYPE_CHECKING:
    import numpy as np

Spec = str | os.PathLike[str] | Encoder


@in_one_line
def probe(
    encoders: Spec | Sequence[Spec],
    tasks: str | os.PathLike[str] | Task | Sequence[str | os.PathLike[str] | Task],
    *,
    protocols: str | Sequence[str] = ("linear",),
    readouts: str | Sequence[str] = ("mean",),
    compare: Spec | Sequence[Spec] = (),
    baselines: bool = True,
    layers: bool = False,
    trained_on: str | os.PathLike[str] | None = None,
    kind: str | None = None,
    label: str | None = None,
    audio_root: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
    report: Callable[[ProbeResults], None] = lambda results: None,
) -> ProbeResults:
    """Score frozen encoders on labelled tasks, by the field's protocols, with intervals and baselines.

    Each clip is embedded once, for all readouts, layers and protocols. Whatever is wrong with the tasks is an error
    before anything is embedded. Clips of a task that are among what the first encoder was trained on, or any of our
    own runs, are counted in the warnings of its scores.

    Arguments:
        encoders: one or several: run folders, checkpoint files, specs of `load_encoder`, or encoders themselves.
        tasks: one or several: what `open_task` opens, by path or name, or tasks themselves (at the encoders' rate).
        protocols: names of `PROTOCOLS`, or `python:module:NAME`, a `Protocol` of your own.
        readouts: what is read of every encoder, baselines alike: `mean`, what `embed` gives; `mean+std`, mean and
            standard deviation over tokens (or the frames of encoders that are not ours); `frequency`, the mean over
            time of each patch along frequency; `frequency+std`. Log-mel statistics hold the deviation in `mean` too.
        compare: further encoders, like `encoders`.
        baselines: also score log-mel statistics, with the bands of the first of our own runs, and the untrained twin of
            each of our own runs.
        layers: score every layer instead of the output; baselines by their output.
        trained_on: audio that the first encoder was trained on; by default that of our own runs, read from them.
        kind, label, audio_root: of the tasks, where their tables do not say; see `open_task`.
        out: a .json file that is written anew after each encoder and task, so that nothing is lost.
        cache: folder of embeddings to find or keep; None to keep none. Hashes of what was trained on are kept in any
            case, by default where the commands keep theirs.
        device: cpu, cuda, cuda:1, or auto for CUDA where there is any.
        workers: threads, or processes, that decode; by default one for each core.
        seed: of what protocols and intervals draw.
        progress: called with what is being done, how much of it is, and of how much.
        report: called with the results so far after each encoder and task.

    Returns:
        all scores, and the differences of further encoders from the first, paired by clip.

    Raises:
        SonoscaleError: no such encoder, task, protocol, readout or device; a readout that an encoder does not give;
            a task that a protocol is not for, or that cannot be scored (see `Task`); `out` cannot be written.

    Example:
        >>> from sonoscale.corpora import ProceduralTaskConfig
        >>> task = ProceduralTaskConfig(name="pitch", train_clips=16, valid_clips=8, test_clips=8).load(None)
        >>> results = probe("logmel:16", task, protocols="knn", compare="logmel:8", baselines=False)
        >>> [(row["encoder"], row["task"], row["protocol"]) for row in results.rows()]
        [('logmel:16', 'pitch', 'knn/1'), ('logmel:8', 'pitch', 'knn/1')]
        >>> len(results.differences)
        1
    """
    check_arguments(probe, locals())
    first = _listed(encoders)
    _check_types(first, _listed(compare), _listed(tasks))
    specs = list(dict.fromkeys([*first, *_listed(compare)]))
    given, names = _listed(tasks), list(dict.fromkeys([protocols] if isinstance(protocols, str) else protocols))
    reads = list(dict.fromkeys([readouts] if isinstance(readouts, str) else readouts))
    for what, listed in (("encoders", first), ("tasks", given), ("protocols", names), ("readouts", reads)):
        if not listed:
            raise SonoscaleError(f"{what}: none given; at least one is needed")
    for name in names:
        find_protocol(name)
    for name in reads:
        check_readout(name)
    if workers is not None and workers < 1:
        raise SonoscaleError(f"workers = {workers}: must be at least 1")
    if not 0 <= seed < 2**32:
        raise SonoscaleError(f"seed = {seed}: must be a whole number from 0 to {2**32 - 1}")
    target, path = find_device(device), None if out is None else _checked_out(Path(out))
    settings = _Settings(kind, label, audio_root)
    _check_tasks([settings.open(task, 16_000) for task in given], names, layers, reads)
    if trained_on is not None:
        open_corpus(os.fspath(trained_on))
    everything = [*specs, *(_baselines(specs) if baselines else [])]
    for spec in everything if layers or reads != ["mean"] else ():
        encoder = _loaded(spec, target)
        reader = with_readouts(encoder, reads)
        if layers and spec in specs:
            need_layers(encoder)
            if reader.layers is None:
                raise SonoscaleError(
                    f"{encoder.identity}: gives no tokens of its layers, which are read by their mean: leave out "
                    "layers, or readouts other than mean"
                )
    kept, threads = None if cache is None else Path(cache), workers or available_cores()
    hashed = kept or default_cache()  # a few bytes a clip, of which the decoding takes minutes
    options = {
        "encoders": [_name(spec) for spec in specs], "tasks": [_task_name(task) for task in given], "protocols": names,
        "readouts": reads,
        "baselines": baselines, "layers": layers, "trained_on": trained_on, "kind": kind, "label": label,
        "audio_root": audio_root, "seed": seed, "versions": versions("torch", "numpy", "scipy"),
    }  # fmt: skip
    scores: list[Score] = []
    notes: list[str] = []
    for spec in everything:
        encoder, name = _loaded(spec, target), _name(spec)

        def show(what: str, done: int, total: int, name: str = name) -> None:
            progress(f"{name}: {what}", done, total)

        source = trained_on if spec == specs[0] else None
        hashes = _training_hashes(spec, source, encoder.sample_rate, hashed, threads, show, notes)
        for task in given:
            scores += score_encoder(
                encoder, name, settings.open(task, encoder.sample_rate), names, readouts=reads,
                layers=layers and spec in specs, cache=kept, trained_on=hashes, hashed=hashed, seed=seed, device=target,
                workers=threads, progress=show,
            )  # fmt: skip
            results = make_results(scores, notes, options)
            if path is not None:
                write_json(path, results.as_dict())
            report(results)
    return make_results(scores, notes, options)


class _Settings:
    """How tasks are opened."""

    def __init__(self, kind: str | None, label: str | None, audio_root: str | os.PathLike[str] | None) -> None:
        self._options = {key: value for key, value in (("kind", kind), ("label", label)) if value is not None}
        self._audio_root = audio_root

    def open(self, task: str | os.PathLike[str] | Task, rate: int) -> Task:
        """The task at a sample rate; one that is open already as it is."""
        if isinstance(task, Task):
            return task
        text, options = os.fspath(task), dict[str, Any](self._options)
        table = Path(text).suffix.lower() in MANIFEST_SUFFIXES or (Path(text) / "metadata.csv").is_file()
        if self._audio_root is not None and table:
            options["audio_root"] = self._audio_root
        return open_task(text, sample_rate=rate, **options)


def _check_tasks(tasks: Sequence[Task], protocols: Sequence[str], layers: bool, readouts: Sequence[str]) -> None:
    """Whether all can be scored, and are called differently."""
    for task in tasks:
        check_protocols(task, protocols, layers=layers, readouts=readouts)
    names = [task.name for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SonoscaleError(f"two tasks are called {twice}: score them one after the other, or rename a folder")


def _baselines(specs: Sequence[Spec]) -> list[Spec]:
    """Log-mel statistics, and each of our own encoders without training."""
    own = [spec for spec in specs if isinstance(spec, str) and Path(spec).exists()]
    bands = load_encoder(Path(own[0])).config.n_mels if own else 64
    found = ["logmel" if bands == 64 else f"logmel:{bands}", *(f"untrained:{spec}" for spec in own)]
    return [each for each in found if each not in specs and f"{each}:" not in specs]


def _training_hashes(
    spec: Spec, given: str | os.PathLike[str] | None, rate: int, cache: Path | None, workers: int, progress: Progress,
    notes: list[str],
) -> np.ndarray | None:  # fmt: skip
    """Hashes of the audio that an encoder was trained on, of whole recordings; None where that is not known.

    Adds to the notes why it could not be read.
    """

    def hashes(corpus: Any) -> np.ndarray:
        return content_hashes(
            corpus, cache, workers=workers, progress=lambda done, total: progress("training audio", done, total)
        )

    if given is not None:
        return hashes(open_corpus(os.fspath(given), sample_rate=rate, max_seconds=None))
    if not isinstance(spec, str) or not Path(spec).exists():
        return None
    from sonoscale.pretrain import training_audio

    try:
        corpus = training_audio(Path(spec))
    except SonoscaleError as error:
        notes.append(f"{spec}: not compared with its training audio: {error}")
        return None
    return None if corpus is None else hashes(corpus)


def _listed(given: Any) -> list[Any]:
    """One or several, paths as text."""
    several = [given] if isinstance(given, str | os.PathLike | Task) or not isinstance(given, Sequence) else given
    return [os.fspath(each) if isinstance(each, os.PathLike) else each for each in several]


def _check_types(encoders: Sequence[Any], compare: Sequence[Any], tasks: Sequence[Any]) -> None:
    for name, specs in (("encoders", encoders), ("compare", compare)):
        for spec in specs:
            if not isinstance(spec, str | Encoder):
                raise SonoscaleError(f"{name}: {spec!r} is neither a path or spec nor an encoder")
    for task in tasks:
        if not isinstance(task, str | Task):
            raise SonoscaleError(f"tasks: {task!r} is neither a path or name nor a Task")


def _loaded(spec: Spec, device: str) -> Encoder:
    return load_encoder(spec, device=device) if isinstance(spec, str) else spec  # pyright: ignore[reportReturnType]


def _name(spec: Spec) -> str:
    return spec.removesuffix(":") if isinstance(spec, str) else spec.identity  # pyright: ignore[reportAttributeAccessIssue]


def _task_name(task: Any) -> str:
    return task.name if isinstance(task, Task) else str(task)


def _checked_out(path: Path) -> Path:
    if path.suffix != ".json" or not path.parent.is_dir() or path.is_dir():
        raise SonoscaleError(f"out = {path}: must end in .json, in a folder that exists")
    if not os.access(path.parent, os.W_OK):
        raise SonoscaleError(f"out = {path}: cannot be written")
    return path
