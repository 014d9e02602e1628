"""What a study would cost and what it could say, before anything is trained."""

from __future__ import annotations

import builtins
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.arguments import check_arguments
from sonoscale.config import config_hash
from sonoscale.errors import SonoscaleError, in_one_line
from sonoscale.files import write_json
from sonoscale.study._calibrate import Fit, Rates, Shape, chosen_shapes, measure_rates, short
from sonoscale.study._config import StudyConfig
from sonoscale.study._design import PlannedRun, expand, value_at
from sonoscale.study._identify import identify
from sonoscale.study._plan_result import More, RunEstimate, StudyPlan
from sonoscale.study._quality import protocols_for
from sonoscale.study._study import Study, study
from sonoscale.study._work import Scan, Work, work_of

if TYPE_CHECKING:
    from sonoscale.corpora import Corpus, Task

__all__ = ["plan"]

Progress = Callable[[str, int, int], None]

_FRESH = 3600  # seconds for which a measured speed is used again
_HEADERS = 200  # clips of which the length is looked up
_LISTENED = 6  # clips of which log-mels are computed to see how long it takes
_MOST_PROBES = 24  # to be timed; of more, each at its largest dimension only


@in_one_line
def plan(
    source: str | os.PathLike[str] | StudyConfig | Study,
    *,
    set: str | Iterable[str] | Mapping[str, Any] = (),  # noqa: A002 (the command's word)
    workers: int | None = None,
    device: str = "auto",
    calibrate: bool = True,
    speed: float | None = None,
    noise: float | None = None,
    ledger: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> StudyPlan:
    """What a study would cost, run by run, and what it could say.

    Parameters and FLOPs are counted exactly. Seconds and memory are those of this machine: a few steps of its smallest
    and largest runs, and one probe of each task, are timed in as many processes as the study would have. On a cluster,
    call it on one of its nodes.

    Arguments:
        source: a study's YAML file, its folder, its configuration, or the `Study`.
        set: keys to override: strings `a.b=value`, or a mapping of dotted keys.
        workers: processes at a time. None: as the configuration says, or one per core.
        device: `auto` (a GPU if there is one), `cpu` or `cuda`.
        calibrate: measure the speed of this machine (kept for an hour). False: take that which was measured last.
        speed: training FLOPs per second of a process, instead of any measurement; then memory is not estimated.
        noise: standard deviation of log y between runs that differ in their seed; by default 0.05, or as in `ledger`.
        ledger: a study, or its ledger, from which to take the noise.
        level: of the intervals.
        cache: folder in which the measured speed is kept; see `study`.
        progress: called with what is measured, how much is done, and of how much.

    Returns:
        The plan.

    Raises:
        SonoscaleError: the study or its data cannot be read; a value out of range; a ledger without repeated seeds.

    Example:
        >>> from sonoscale.study import StudyConfig, plan
        >>> config = StudyConfig.model_validate({
        ...     "name": "widths", "data": {"kind": "procedural"}, "sweep": {"encoder.width": [16, 32, 128]},
        ...     "tasks": [{"kind": "procedural", "name": "event"}],
        ... })
        >>> planned = plan(config, speed=1e9, workers=2)
        >>> planned.configurations, planned.identified.constant
        (4, ('train_clips',))
        >>> f"{planned.flops:.3g}"
        '2.45e+13'
    """
    check_arguments(plan, locals())
    made = source if isinstance(source, Study) else study(source, set=set, cache=cache)
    _check(workers, device, speed, noise, level)
    if not isinstance(made.config, StudyConfig):
        return made.plan()  # which says why there is nothing to plan
    runs = expand(made.config)
    tasks = [task.load(_task_base(made.config)) for task in made.config.tasks]
    scans, heldout, corpus = _scan(runs)
    task_scans = [_scan_of(task.corpus) for task in tasks]
    works = [work_of(run.config, scan) for run, scan in zip(runs, scans, strict=True)]
    processes = _processes(workers or made.config.workers)
    place = Path(cache) if cache is not None else made.cache
    say: Progress = progress or (lambda what, done, total: None)
    from sonoscale.encoders import find_device

    on = find_device(device)
    rates = None
    if speed is None:
        rates = _rates(made.config, works, tasks, heldout, processes, on, calibrate, place, corpus, say)
    estimates, cores, twins = [], [], builtins.set()
    for run, work, scan in zip(runs, works, scans, strict=True):
        twin = _twin(run)
        seconds, probing = _seconds(
            made.config, work, heldout, tasks, task_scans, rates, speed, first=twin not in twins
        )
        twins.add(twin)
        slow = rates.slowdown if rates else 1.0
        cores.append(seconds)
        estimates.append(
            RunEstimate(
                label=run.label, family=run.family, seed=run.config.seed, params=work.cost.params_encoder,
                flops=work.flops, steps=work.steps, examples=work.examples, epochs=work.epochs,
                seconds=None if seconds is None else seconds * slow,
                probing=None if probing is None else probing * slow,
                memory=None if rates is None else _memory(rates, work, scan, heldout, task_scans),
            )
        )  # fmt: skip
    known = [seconds for seconds in cores if seconds is not None]
    core_seconds = makespan = None
    if len(known) == len(cores):
        order = sorted(range(len(works)), key=lambda i: -works[i].flops)  # as they are given to the processes
        start = rates.start if rates else 0.0
        makespan = (start + _makespan([known[i] for i in order], processes)) * (rates.slowdown if rates else 1.0)
        core_seconds = sum(known) + start * min(processes, len(works))
    used = min(processes, len(works))
    measured = [one.memory for one in estimates if one.memory is not None]
    configurations = [run.config_id for run in runs]
    spread = _noise(noise, ledger)
    found = identify(
        works, configurations, [run.family for run in runs], axes=_axes(made.config, runs), noise=spread, level=level
    )
    n = found.configurations
    return StudyPlan(
        name=made.config.name, folder=made.folder, runs=tuple(estimates), configurations=n,
        flops=sum(work.trained_flops for work in works), workers=used, seconds=makespan, core_seconds=core_seconds,
        log_mels_seconds=_log_mels(rates, scans, heldout, task_scans, processes),
        memory=sum(sorted(measured)[-used:]) if measured else None,
        slowdown=rates.slowdown if rates else None, speed=_said(rates, speed), identified=found,
        power=_power(n), more=_more(runs, works, known, makespan, n), notes=_notes(made.config, tasks, rates),
    )  # fmt: skip


def _check(workers: int | None, device: str, speed: float | None, noise: float | None, level: float) -> None:
    if workers is not None and workers < 1:
        raise SonoscaleError(f"workers = {workers}: give at least one process")
    if device not in ("auto", "cpu", "cuda"):
        raise SonoscaleError(f"device = {device!r}: must be one of auto, cpu, cuda")
    for name, value in (("speed", speed), ("noise", noise)):
        if value is not None and not 0 < value < float("inf"):
            raise SonoscaleError(f"{name} = {value}: must be a number above 0")
    if not 0 < level < 1:
        raise SonoscaleError(f"level = {level}: must be between 0 and 1")


def _task_base(config: StudyConfig) -> Path | None:
    base = getattr(config.data, "base", None)
    return base() if base is not None else None


def _processes(asked: int | None) -> int:
    from sonoscale.processes import available_cores

    return asked or available_cores()


def _scan(runs: Sequence[PlannedRun]) -> tuple[list[Scan], Scan, Corpus]:
    """Training clips of each run, those on which the rank is read, and the most training clips of a run."""
    from sonoscale.pretrain import Sources, all_clips, check_clips, check_initial

    sources, known = Sources(), {}
    for run in runs:
        check_initial(run.config)
        data = run.config.data
        if data not in known:
            everything = all_clips(data)
            if everything not in known:
                known[everything] = _scan_of(sources.training(everything))
            asked, there = data.clips_asked, known[everything]
            if asked is not None and asked <= there.clips:
                known[data] = Scan(asked, there.seconds)  # as the clips are in no order
            elif data != everything:
                known[data] = _scan_of(sources.training(data))
        check_clips(run.config, known[data].clips)
    heldout = _scan_of(sources.heldout(runs[0].config.data))
    return [known[run.config.data] for run in runs], heldout, sources.training(all_clips(runs[0].config.data))


def _scan_of(corpus: Corpus) -> Scan:
    """How many clips, and how long a sample of them is on average, by manifests or headers."""
    from sonoscale.corpora._files_corpus import headers

    some = np.unique(np.linspace(0, len(corpus) - 1, _HEADERS).astype(int)).tolist()
    found = [_clip_seconds(corpus, i) for i in some]
    lengths = [one for one in found if isinstance(one, float)]
    for header in headers([one for one in found if isinstance(one, Path)]):
        if not isinstance(header, str) and header.frames is not None:
            lengths.append(header.frames / header.rate)
    return Scan(len(corpus), float(np.mean(lengths)) if lengths else 10.0)


def _clip_seconds(corpus: Any, index: int) -> float | Path | None:
    """The length of a clip, or the file whose header says it."""
    from sonoscale.corpora._base import Joined, Subset

    if isinstance(corpus, Subset):
        return _clip_seconds(corpus.corpus, corpus.indices[index])
    if isinstance(corpus, Joined):
        return _clip_seconds(*corpus.locate(index))
    known: Any = getattr(corpus, "seconds", None)
    if known is None:
        return Path(re.sub(r"@[0-9.]+-[0-9.]*s$", "", corpus.name(index)))
    length: Any = known(index) if callable(known) else known
    return None if length is None else float(length)


def _seconds(
    config: StudyConfig, work: Work, heldout: Scan, tasks: Sequence[Task], scans: Sequence[Scan], rates: Rates | None,
    speed: float | None, *, first: bool,
) -> tuple[float | None, float | None]:  # fmt: skip
    """Of a core, for the whole run and its probing; the first of its architecture and seed probes their twin too."""
    from sonoscale.encoders._readout import readout_dim
    from sonoscale.study._prepare import layers_of

    if speed is not None:
        return work.trained_flops / speed, None
    if rates is None:
        return None, None
    encoder, budgets = work.config.encoder, len(work.budgets)
    embed, fitted = rates.embed(work, scans), 0.0  # of one network, by all protocols on all readouts
    for readout in config.readouts:
        dim = readout_dim(encoder.width, encoder.mel_patches, readout)
        for task, scan in zip(tasks, scans, strict=True):
            fitted += sum(rates.fit(task.name, name, scan.clips, dim) for name in protocols_for(task, config.protocols))
    deep = len(layers_of(config.layers, encoder.depth))
    probing = (embed + fitted) * (budgets + first) + (embed + fitted * deep if deep else 0.0) * budgets
    if deep or set(config.readouts) != {"mean"}:  # the rank of what is read out
        ranks = len(config.readouts) * (1 + deep)
        probing += budgets * (rates.embed(work, [heldout]) + ranks * rates.reading(work, heldout))
    return rates.training(work, heldout) + probing, probing


def _twin(run: PlannedRun) -> str:
    """What runs share whose untrained network is the same."""
    c = run.config
    return config_hash([
        c.encoder.model_dump(mode="json"), c.objective.kind, c.train.parametrisation, c.train.lr_width, c.seed
    ])  # fmt: skip


def _memory(rates: Rates, work: Work, train: Scan, heldout: Scan, tasks: Sequence[Scan]) -> float:
    """Of a process: what it needs besides, and the log-mels that it looks at, which are mapped from files."""
    mapped = heldout.bytes(work.config, 4) + max((scan.bytes(work.config, 4) for scan in tasks), default=0.0)
    if work.config.train.log_mels == "cached":
        mapped += train.bytes(work.config, 2) * min(1.0, work.epochs)
    return rates.memory(work) + mapped


def _makespan(seconds: Sequence[float], processes: int) -> float:
    """Until all are done, each by the process that is free first."""
    free = [0.0] * processes
    for one in seconds:
        free[free.index(min(free))] += one
    return max(free)


def _rates(
    config: StudyConfig, works: Sequence[Work], tasks: Sequence[Task], heldout: Scan, processes: int, device: str,
    calibrate: bool, cache: Path, corpus: Corpus, say: Progress,
) -> Rates | None:  # fmt: skip
    """The speed of this machine: measured, or as it was measured last."""
    folder = cache / "speed"
    if not calibrate:
        files = sorted(folder.glob(f"{device}-*.json"), key=lambda file: file.stat().st_mtime)
        found = [rates for file in reversed(files) if (rates := _read(file)) is not None]
        return found[0] if found else None
    processes = min(processes, len(works))
    probes = _probes(config, works, tasks)
    shapes = [short(work.config).model_dump(mode="json") for work in chosen_shapes(works)]
    key = config_hash([shapes, [probe[:3] for probe in probes], [len(t.labels) for t in tasks], processes])
    file = folder / f"{device}-{key}.json"
    kept = _read(file) if file.is_file() and time.time() - file.stat().st_mtime < _FRESH else None
    if kept is None:
        kept = measure_rates(
            works, heldout, probes, workers=processes, device=device, say=say,
            log_mels=lambda: _time_log_mels(corpus, works[0]),
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(kept))
    return kept


def _read(file: Path) -> Rates | None:
    import json

    try:
        raw = json.loads(file.read_text())
        shapes: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}
            for one in raw.pop("shapes")
        ]
        return Rates(
            shapes=tuple(Shape(**one) for one in shapes), fits=tuple(Fit(**one) for one in raw.pop("fits")), **raw
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None  # of another version


def _probes(
    config: StudyConfig, works: Sequence[Work], tasks: Sequence[Task]
) -> list[tuple[str, str, int, Any, Any, dict[str, Any]]]:
    """What to time: each task by each protocol, at the smallest and the largest dimension."""
    from sonoscale.encoders._readout import readout_dim

    dims = sorted(
        {readout_dim(w.config.encoder.width, w.config.encoder.mel_patches, r) for w in works for r in config.readouts}
    )
    ends = list(dict.fromkeys([dims[0], dims[-1]]))
    if len(tasks) * len(config.protocols) * len(ends) > _MOST_PROBES:
        ends = ends[-1:]
    return [
        (task.name, protocol, dim, task.labels, task.folds, {
            "scheme": task.scheme, "kind": task.kind, "metric": task.metric, "groups": task.groups, "roles": task.roles,
        })
        for task in tasks for protocol in protocols_for(task, config.protocols) for dim in ends
    ]  # fmt: skip


def _time_log_mels(corpus: Corpus, work: Work) -> float:
    """Seconds of a core for the log-mels of a second of audio, decoding included."""
    import torch

    from sonoscale.audio import LogMel

    front_end, length = LogMel(work.config.encoder.front_end), 0.0
    chosen = np.unique(np.linspace(0, len(corpus) - 1, _LISTENED + 1).astype(int)).tolist()
    began = time.process_time()
    for number, i in enumerate(chosen):
        wave = corpus.wave(i)
        with torch.inference_mode():
            front_end(torch.from_numpy(wave)[None])
        if number == 0:  # imports
            began = time.process_time()
        else:
            length += len(wave) / corpus.sample_rate
    return (time.process_time() - began) / max(length, 1e-6)


def _log_mels(
    rates: Rates | None, scans: Sequence[Scan], heldout: Scan, tasks: Sequence[Scan], processes: int
) -> float | None:
    if rates is None or rates.log_mels is None:
        return None
    hours = max(scan.hours for scan in scans) + heldout.hours + sum(scan.hours for scan in tasks)
    return hours * 3600 * rates.log_mels * rates.slowdown / processes


def _noise(noise: float | None, ledger: str | os.PathLike[str] | None) -> float:
    if ledger is None:
        return 0.05 if noise is None else noise
    if noise is not None:
        raise SonoscaleError(f"noise = {noise} and ledger = {ledger}: give one of them")
    from sonoscale.laws import read_runs

    runs = read_runs(ledger, clusters="config", omit=True).use("quality")
    values = np.asarray(runs["quality"], dtype=np.float64)
    groups: dict[tuple[Any, Any], list[float]] = {}
    for key, value in zip(zip(runs["config"].tolist(), runs["step"].tolist(), strict=True), values, strict=True):
        groups.setdefault(key, []).append(float(value))
    repeated = [np.log(each) for each in groups.values() if len(each) > 1 and min(each) > 0]
    if not repeated:
        raise SonoscaleError(f"ledger = {ledger}: no configuration was trained with several seeds; give noise instead")
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in repeated)
    return max((squares / sum(len(each) - 1 for each in repeated)) ** 0.5, 1e-6)


def _axes(config: StudyConfig, runs: Sequence[PlannedRun]) -> dict[str, list[Any]]:
    """Each swept key -> its value in each run."""
    from sonoscale.study._axes import axis_of

    sweeps = [config.sweep, *(f.sweep for f in config.families if f.sweep is not None)]
    for design in [*config.design, *(d for f in config.families for d in f.design or ())]:
        sweeps += [one for one in (design.sweep, *(s.sweep for s in design.slices)) if one is not None]
    keys = dict.fromkeys(
        key for sweep in sweeps for name, values in sweep.items() for key in axis_of(name, values).keys
    )
    dumps = [run.config.model_dump(mode="python") for run in runs]
    return {key: [value_at(dump, key) for dump in dumps] for key in keys}


def _power(n: int) -> Any:
    from sonoscale.laws.audit import audit_power

    return audit_power(n)


def _more(
    runs: Sequence[PlannedRun], works: Sequence[Work], seconds: Sequence[float], makespan: float | None, n: int
) -> tuple[More, ...]:
    seeds = len(runs) / n
    each = None if makespan is None else makespan / len(runs)

    def of(what: str, count: int, narrower: float, configurations: int) -> More:
        return More(
            what=what, runs=count, seconds=None if each is None else each * count, narrower=narrower,
            power=_power(configurations),
        )  # fmt: skip

    return (
        of("a further seed of each configuration", n, (seeds / (seeds + 1)) ** 0.5, n),
        of("as many configurations again, spread alike", len(runs), 0.5**0.5, 2 * n),
    )


def _said(rates: Rates | None, speed: float | None) -> str:
    if speed is not None:
        return f"at {speed:.3g} FLOPs a second, as given; only training is counted"
    if rates is None:
        return "no speed was measured on this machine yet; calibrate, or give a speed"
    at = rates.created.replace("T", " ").removesuffix("+00:00")
    return f"speed measured at {at} UTC on {rates.machine} ({rates.device}, {rates.workers} at a time)"


def _notes(config: StudyConfig, tasks: Sequence[Task], rates: Rates | None) -> tuple[str, ...]:
    notes = [
        "fitting the laws and drawing the report come on top, and whatever is finished already is not trained again"
    ]
    if rates is not None:
        unseen = [
            f"{task.name} by {protocol}" for task in tasks for protocol in protocols_for(task, config.protocols)
            if not any((fit.task, fit.protocol) == (task.name, protocol) for fit in rates.fits)
        ]  # fmt: skip
        if unseen:
            notes.append(f"the speed was measured for another study: not of {', '.join(unseen)}")
    return tuple(notes)
