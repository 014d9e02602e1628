"""What a score is held against: untrained twins, log-mel statistics, a ceiling; and the rank of what is read out."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonoscale.config import config_hash
from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder, write_json
from sonoscale.results import plain

if TYPE_CHECKING:
    from sonoscale.corpora import FeatureStore, Task
    from sonoscale.encoders import AudioEncoder
    from sonoscale.laws import Quality, QualityRule
    from sonoscale.pretrain import RunConfig
    from sonoscale.probe import ProbeResult
    from sonoscale.study._config import StudyConfig
    from sonoscale.study._prepare import RunJob, TaskJob

__all__ = [
    "HeldAgainst",
    "add_quality",
    "check_ceiling",
    "estimator_columns",
    "floors",
    "hold_against",
    "probe_task",
    "probe_twin",
    "protocols_for",
    "rank_columns",
    "ranks_missing",
    "read_ranks",
    "readout_rank",
    "readout_ranks",
    "register_rule",
    "score_columns",
    "score_layers",
    "untrained_twin",
    "write_ranks",
]

UNTRAINED = "0"
"""The step of the untrained twin among the steps of a probe's file."""

INTERVAL_DIM = 512
"""Readouts that span more dimensions get no interval of their rank: its jackknife would cost more than the probes."""

Scored = dict[tuple[str, str], dict[str, Any]]  # protocol, readout -> result as plain values


@dataclass(frozen=True)
class HeldAgainst:
    """What the scores of a study are held against.

    Attributes:
        floor: see `floors`.
        ceiling: name of the task, and key of task, protocol and readout -> score of a strong encoder.
        rule: that of quality, as `QualityRule.text` has it.
    """

    floor: Mapping[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    ceiling: Mapping[tuple[str, str], float] = field(default_factory=dict)
    rule: str | None = None


def score_columns(
    job: RunJob, task: TaskJob, key: str, steps: Mapping[str, dict[str, Any]], against: HeldAgainst | None
) -> dict[str, Any]:
    """Columns of the ledger: what a score is held against, None where that is not known."""
    against = against or HeldAgainst()
    return {
        "floor_untrained": steps.get(UNTRAINED, {}).get("score"),
        "floor_logmel": against.floor.get((task.store.name, key), {}).get("score"),
        "ceiling": against.ceiling.get((task.name, key)),
        "quality_rule": against.rule,
    }


def rank_columns(
    readout: str, budget: dict[str, Any], ranks: dict[str, dict[str, dict[str, Any]]], layer: int | None = None
) -> dict[str, Any]:
    """Columns of the ledger: the rank of what was read out at a checkpoint, of the mean that of the embeddings."""
    if readout == "mean" and layer is None:
        rank, centred = budget["rank"], budget["rank_centred"]
    else:
        name = readout if layer is None else f"{readout}/{layer}"
        found = ranks.get(name, {}).get(str(budget["step"]), {})
        rank, centred = found.get("rankme", {}), found.get("rankme_centred", {})
    return {
        "rankme_readout": rank.get("value"),
        "rankme_readout_low": rank.get("low"),
        "rankme_readout_high": rank.get("high"),
        "rankme_centred_readout": centred.get("value"),
        "rankme_centred_readout_low": centred.get("low"),
        "rankme_centred_readout_high": centred.get("high"),
    }


def protocols_for(task: Task, protocols: Sequence[str]) -> list[str]:
    """Those of the protocols that are for the kind of a task; all of them where none is, for the message to name."""
    from sonoscale.probe import find_protocol

    return [name for name in protocols if task.kind in find_protocol(name).kinds] or list(protocols)


def probe_task(task: TaskJob, encoder: AudioEncoder, pairs: Sequence[tuple[str, str]]) -> Scored:
    """Scores of an encoder on a task, by all pairs of protocol and readout, its clips embedded once."""
    from sonoscale.corpora import FeatureStore
    from sonoscale.probe import probe_store

    protocols, readouts = (list(dict.fromkeys(each)) for each in zip(*pairs, strict=True))
    found = probe_store(
        encoder, FeatureStore.open(task.store), task.labels, task.folds, protocols=protocols, readouts=readouts,
        **task.how,
    )  # fmt: skip
    return {pair: _content(found[pair]) for pair in pairs}


def score_layers(
    task: TaskJob, encoder: AudioEncoder, layers: Sequence[int]
) -> dict[tuple[tuple[str, str], int], dict[str, Any]]:
    """Scores of layers of an encoder on a task, by pair of protocol and readout, and layer."""
    from sonoscale.corpora import FeatureStore
    from sonoscale.probe import probe_layers

    protocols, readouts = (list(dict.fromkeys(each)) for each in zip(*task.keys, strict=True))
    found = probe_layers(
        encoder, FeatureStore.open(task.store), task.labels, task.folds, layers=layers, protocols=protocols,
        readouts=readouts, **task.how,
    )  # fmt: skip
    return {
        ((protocol, readout), layer): _content(result)
        for (protocol, readout, layer), result in found.items()
        if (protocol, readout) in task.keys
    }


def untrained_twin(config: RunConfig, trained: AudioEncoder) -> AudioEncoder:
    """The network of a run at step 0.

    The log-mels are normalised as for the trained one, to a tenth, so that runs on parts of one pool share a twin.
    """
    import torch

    from sonoscale.pretrain import build_objective

    mean, std = (round(float(each), 1) for each in (trained.mean, trained.std))
    with torch.random.fork_rng(devices=[]):
        return build_objective(config, mean=mean, std=max(std, 0.1))[0].encoder.eval()


def probe_twin(job: RunJob, task: TaskJob, trained: AudioEncoder, pairs: Sequence[tuple[str, str]]) -> Scored:
    """Scores of the untrained twin of a run's encoder, which runs of one architecture and seed share.

    They are kept in the folder `floors` of the study.
    """
    twin = untrained_twin(job.plan.config, trained)
    about = twin.identity
    twin.to(trained.mean.device)
    files = {pair: _floor_file(job, about, task, pair) for pair in pairs}
    missing = [pair for pair, file in files.items() if _read(file) is None]
    if missing:
        for pair, result in probe_task(task, twin, missing).items():
            _write(files[pair], result)
    return {pair: _read(file) or {} for pair, file in files.items()}


def floors(jobs: Sequence[RunJob]) -> dict[tuple[str, str], dict[str, Any]]:
    """Scores of log-mel statistics on the tasks of all runs, read out alike.

    Returns:
        name of the folder of a task's log-mels, and key of task, protocol and readout -> result as plain values.
    """
    from sonoscale.corpora import FeatureStore
    from sonoscale.probe import probe_store

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for job in jobs:
        for task in job.tasks:
            files = {pair: _floor_file(job, ["logmel", task.store.name], task, pair) for pair in task.keys}
            missing = [
                pair for pair, key in task.keys.items()
                if (task.store.name, key) not in found and _read(files[pair]) is None
            ]  # fmt: skip
            if missing:
                protocols, readouts = (list(dict.fromkeys(each)) for each in zip(*missing, strict=True))
                scored = probe_store(
                    "logmel", FeatureStore.open(task.store), task.labels, task.folds, protocols=protocols,
                    readouts=readouts, **task.how,
                )  # fmt: skip
                for pair in missing:
                    _write(files[pair], _content(scored[pair]))
            for pair, key in task.keys.items():
                if (task.store.name, key) not in found:
                    found[task.store.name, key] = _read(files[pair]) or {}
    return found


def hold_against(
    config: StudyConfig,
    jobs: Sequence[RunJob],
    cache: Path,
    workers: int,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> HeldAgainst:
    """Floors and ceiling of a study's scores; those that are kept already are not made again."""
    return HeldAgainst(floors(jobs), ceilings(config, jobs, cache, workers, report), config.quality.rule().text)


def check_ceiling(config: StudyConfig) -> None:
    """Raises:
    SonoscaleError: the encoder that the study names as its ceiling cannot be loaded.
    """
    if config.ceiling is not None:
        from sonoscale.encoders import load_encoder

        load_encoder(config.ceiling)


def ceilings(
    config: StudyConfig,
    jobs: Sequence[RunJob],
    cache: Path,
    workers: int,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[tuple[str, str], float]:
    """What the encoder that a study names as its ceiling scores on its tasks.

    A readout that it does not give (most have no patches along frequency) is replaced by the nearest that it gives:
    `mean+std` for `frequency+std`, else `mean`. Results are kept in `ceiling.json`.

    Returns:
        name of the task, and key of task, protocol and readout -> score.
    """
    if config.ceiling is None or not jobs:
        return {}
    from sonoscale.corpora import FolderData
    from sonoscale.encoders import load_encoder
    from sonoscale.probe._encoders import score_encoder

    encoder = load_encoder(config.ceiling)
    file = jobs[0].folder.parent.parent / "ceiling.json"
    kept = _read(file) or {}
    if kept.get("identity") != encoder.identity:
        kept = {"encoder": config.ceiling, "identity": encoder.identity, "scores": {}}
    base = config.data.base() if isinstance(config.data, FolderData) else None
    by_name = {task.name: task for task in jobs[0].tasks}
    for each in config.tasks:
        job = by_name[each.name]
        missing = {pair: key for pair, key in job.keys.items() if key not in kept["scores"]}
        if not missing:
            continue
        task = _at_rate(each.load(base), encoder.sample_rate)
        for (protocol, readout), key in missing.items():
            given = _given(encoder, readout)
            (score,) = score_encoder(
                encoder, config.ceiling, task, [protocol], readouts=[given], cache=cache, workers=workers,
                progress=lambda what, done, total: report(f"{what} (ceiling)", done, total),
            )  # fmt: skip
            kept["scores"][key] = plain(_content(score.result))
        write_json(file, kept)
    return {(task.name, key): kept["scores"][key]["score"] for task in jobs[0].tasks for key in task.keys.values()}


def _content(result: ProbeResult) -> dict[str, Any]:
    """A result without what it says of each class, which `sonoscale probe` gives."""
    return {name: value for name, value in result.as_dict().items() if name not in ("per_class", "confusion")}


def _given(encoder: Any, readout: str) -> str:
    """The readout, or the nearest to it that an encoder gives."""
    from sonoscale.encoders import with_readouts

    for name in (readout, readout.replace("frequency", "mean"), "mean"):
        try:
            with_readouts(encoder, [name])
        except SonoscaleError:
            continue
        return name
    return "mean"


def _at_rate(task: Task, rate: int) -> Task:
    """The task with its audio at another rate.

    Raises:
        SonoscaleError: it is made at its own rate.
    """
    own = task.corpus.sample_rate
    if own == rate:
        return task
    corpus: Any = task.corpus
    if not is_dataclass(corpus) or "sample_rate" not in {each.name for each in fields(corpus)}:
        raise SonoscaleError(
            f"task {task.name}: its audio is made at {own} Hz, and the ceiling takes {rate} Hz: name another encoder "
            "as ceiling"
        )
    return replace(task, corpus=replace(corpus, sample_rate=rate))  # pyright: ignore[reportArgumentType]


def register_rule(folder: Path, rule: QualityRule, *, finished: int) -> None:
    """Keep the rule of quality of a study, and when there was another one, in `quality.json`.

    Arguments:
        folder: of the study.
        rule: of now.
        finished: runs whose scores are known by now.
    """
    history = (_read(folder / "quality.json") or {}).get("rules", [])
    if history and history[-1]["rule"] == asdict(rule):
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    history = [*history, {"rule": asdict(rule), "since": now, "finished_runs": finished}]
    write_json(folder / "quality.json", {"rules": history})


def rule_history(folder: Path) -> list[str]:
    """What is to be said of when the rule was registered, in sentences."""
    from sonoscale.laws import QualityRule

    rules = (_read(folder / "quality.json") or {}).get("rules", [])
    return [
        f"The rule of quality was changed on {new['since']}, when {new['finished_runs']} runs were finished: it was "
        f"the {QualityRule(**old['rule']).words}, and is the {QualityRule(**new['rule']).words}."
        for old, new in itertools.pairwise(rules)
        if new["finished_runs"]
    ]


def add_quality(laws: dict[str, Any], ledger: Any, folder: Path) -> Quality:
    """Put into the content of `laws.json` what quality is made of, and what was left out and why."""
    from sonoscale.laws import quality

    found = quality(ledger.to_pydict() if hasattr(ledger, "to_pydict") else ledger)
    laws["quality"] = found.as_dict()
    laws["y_meaning"] = found.meaning
    floors = [found.floors] if found.floors else []
    laws["notes"] = [*laws["notes"], *floors, *rule_history(folder), *found.notes]
    return found


def readout_ranks(encoder: AudioEncoder, heldout: FeatureStore, readouts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rank of each readout of all held-out clips, the same ones whose token mean the rank is measured on."""
    from sonoscale.encoders import read_store

    return {name: readout_rank(rows[0]) for name, rows in read_store(encoder, heldout, readouts).items()}


def readout_rank(rows: np.ndarray) -> dict[str, Any]:
    """RankMe and centred RankMe of rows `[n, R]`.

    Where a readout is wider than there are clips, the clips' coordinates in the space that they span are measured,
    which have the same singular values, also without any block of clips.

    Example:
        >>> found = readout_rank(np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32))
        >>> found["n"], found["dim"], round(found["rankme"]["value"])
        (64, 256, 62)
    """
    from sonoscale.rank import rankme

    n, dim = rows.shape
    inside = rows
    if dim > n:
        gram = rows.astype(np.float64) @ rows.T.astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        inside = vectors * np.sqrt(np.maximum(values, 0.0))  # [n, n], with the same products
    interval = min(n, dim) <= INTERVAL_DIM
    records = {name: rankme(inside, estimator=name, interval=interval) for name in ("rankme", "rankme_centred")}
    measured = {name: {end: getattr(r, end) for end in ("value", "low", "high")} for name, r in records.items()}
    return plain({"n": n, "dim": dim, **measured})


def write_ranks(job: RunJob, load: Callable[[int], AudioEncoder]) -> None:
    """Measure what ranks are asked for at each checkpoint, and keep them in the run's `ranks.json`.

    These are those of each readout but the mean, of layers, and by further estimators.
    """
    from sonoscale.corpora import FeatureStore

    if not (other_readouts(job) or job.layers or job.estimators):
        return
    found, heldout = read_ranks(job.folder), FeatureStore.open(job.heldout_store)
    for step in job.plan.config.budgets:
        missing = [name for name in other_readouts(job) if str(step) not in found.get(name, {})]
        if missing:
            for name, rank in readout_ranks(load(step), heldout, missing).items():
                found.setdefault(name, {})[str(step)] = rank
        deep = [name for name in _layer_names(job) if str(step) not in found.get(name, {})]
        if deep:
            for name, rank in _layer_ranks(load(step), heldout, deep).items():
                found.setdefault(name, {})[str(step)] = rank
        known = found.setdefault(ESTIMATORS, {}).setdefault(str(step), {})
        if further := [name for name in job.estimators if name not in known]:
            known |= _estimated(load(step), heldout, further)
    write_json(job.folder / "ranks.json", {name: each for name, each in found.items() if any(each.values())})


ESTIMATORS = "estimators"
"""Of `ranks.json`: what further estimators say of the mean, by step and name."""


def _layer_names(job: RunJob) -> list[str]:
    """Layers and readouts, as `ranks.json` calls them."""
    return [f"{readout}/{layer}" for readout in _readouts(job) for layer in job.layers]


def _layer_ranks(encoder: AudioEncoder, heldout: FeatureStore, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    from sonoscale.encoders import read_store

    places = {name: (name.rpartition("/")[0], int(name.rpartition("/")[2])) for name in names}
    rows = read_store(encoder, heldout, list(dict.fromkeys(of for of, _ in places.values())), layers=True)
    return {name: readout_rank(rows[readout][layer]) for name, (readout, layer) in places.items()}


def _estimated(encoder: AudioEncoder, heldout: FeatureStore, names: Sequence[str]) -> dict[str, float | None]:
    """Of the mean of all held-out clips; None where there are too few of them for an estimator."""
    from sonoscale.encoders import read_store
    from sonoscale.rank import rankme

    mean, found = read_store(encoder, heldout, ["mean"])["mean"][0], {}
    for name in names:
        try:
            found[name] = rankme(mean, estimator=name, interval=False).value
        except SonoscaleError:
            found[name] = None
    return plain(found)


def estimator_columns(job: RunJob, step: int, ranks: Mapping[str, Any]) -> dict[str, float | None]:
    """Columns of the ledger: NaN where an estimator could say nothing, and None where it was not asked yet."""
    known = ranks.get(ESTIMATORS, {}).get(str(step), {})
    return {
        name: (math.nan if known[name] is None else known[name]) if name in known else None for name in job.estimators
    }


def ranks_missing(job: RunJob) -> bool:
    """Whether a rank that is asked for was not measured yet."""
    found, wanted, steps = read_ranks(job.folder), [*other_readouts(job), *_layer_names(job)], job.plan.config.budgets
    if any(str(step) not in found.get(name, {}) for name in wanted for step in steps):
        return True
    known = found.get(ESTIMATORS, {})
    return any(name not in known.get(str(step), {}) for name in job.estimators for step in steps)


def read_ranks(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Readout -> step -> rank, of the readouts but the mean, whose rank is in `record.json`.

    Layers are there as `mean/0`, further estimators under `estimators`.
    """
    return _read(folder / "ranks.json") or {}


def other_readouts(job: RunJob) -> list[str]:
    """Those that are not the token mean."""
    return [name for name in _readouts(job) if name != "mean"]


def _readouts(job: RunJob) -> list[str]:
    return list(dict.fromkeys(name for task in job.tasks for _, name in task.keys))


def _floor_file(job: RunJob, about: Any, task: TaskJob, pair: tuple[str, str]) -> Path:
    return job.folder.parent.parent / "floors" / f"{config_hash([about, task.keys[pair]], 16)}.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write(file: Path, result: dict[str, Any]) -> None:
    make_folder(file.parent)
    write_json(file, plain(result))
