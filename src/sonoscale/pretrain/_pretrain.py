"""The verb: from a configuration to a trained run, or to what it would cost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from sonoscale.arguments import check_arguments
from sonoscale.config import load_config, override_pairs, set_key, validate
from sonoscale.errors import SonoscaleError, SonoscaleWarning, in_one_line
from sonoscale.files import default_cache
from sonoscale.pretrain._config import RunConfig
from sonoscale.pretrain._metric_logs import check_logger, metric_log
from sonoscale.pretrain._results import Estimate, Run

if TYPE_CHECKING:
    from sonoscale.pretrain._prepare import PreparedRun
    from sonoscale.pretrain._runtime import Runtime

__all__ = ["Progress", "pretrain"]

Progress = Callable[[str, int, int, float], None]
"""Called with a stage ("train", or what is being computed), how much of it is done, of how much, and the loss (NaN
but in training)."""


@overload
def pretrain(
    config: RunConfig | Mapping[str, Any] | str | Path, out: str | Path | None = ..., *,
    set: Iterable[str] | Mapping[str, Any] = ..., dry_run: Literal[False] = ..., cache: str | Path | None = ...,
    resume: bool = ..., device: str = ..., devices: int | None = ..., strategy: str = ..., precision: str = ...,
    compile: bool | None = ..., logger: str = ..., workers: int | None = ..., progress: Progress | None = ...,
) -> Run: ...  # fmt: skip


@overload
def pretrain(
    config: RunConfig | Mapping[str, Any] | str | Path, out: str | Path | None = ..., *,
    set: Iterable[str] | Mapping[str, Any] = ..., dry_run: Literal[True], cache: str | Path | None = ...,
    resume: bool = ..., device: str = ..., devices: int | None = ..., strategy: str = ..., precision: str = ...,
    compile: bool | None = ..., logger: str = ..., workers: int | None = ..., progress: Progress | None = ...,
) -> Estimate: ...  # fmt: skip


@in_one_line
def pretrain(
    config: RunConfig | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    *,
    set: str | Iterable[str] | Mapping[str, Any] = (),  # noqa: A002 (the word of the command line)
    dry_run: bool = False,
    cache: str | Path | None = None,
    resume: bool = True,
    device: str = "auto",
    devices: int | None = None,
    strategy: str = "auto",
    precision: str = "auto",
    compile: bool | None = None,  # noqa: A002
    logger: str = "tensorboard",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Run | Estimate:
    """Pre-train one encoder, with its rank beside the loss.

    The run's folder is named after everything that decides its outcome. A finished run is returned as it is; one that
    was interrupted resumes where it stopped; one whose budgets are larger than those of a finished run, and which is
    else the same, continues that run's trunk, and ends as if it had been trained from the beginning.

    Arguments:
        config: the run: a configuration, a mapping of its keys, or a YAML file.
        out: folder of runs; by default `results/runs`.
        set: keys to override: strings `a.b=value`, or a mapping of dotted keys.
        dry_run: count parameters, FLOPs and clips, time a few steps where the memory suffices, and train nothing.
        cache: folder of computed log-mels; by default that of `sonoscale.files.default_cache`.
        resume: resume an unfinished run; False restarts it.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or one of several GPUs, `cuda:1`.
        devices: processes on this machine; by default one, or those that torchrun started.
        strategy: `auto`, `ddp`, or `fsdp`, which gives each process a part of the model.
        precision: `fp32` or `bf16`, instead of `train.precision`; `auto` leaves that as it is.
        compile: compile the blocks of the encoder; by default on a GPU.
        logger: `tensorboard`, `mlflow`, `wandb` or `none`, besides the run's own `metrics.parquet`.
        workers: processes that compute log-mels; by default one per core.
        progress: see `Progress`; called in the first process only.

    Returns:
        The run, or with `dry_run` what it would cost.

    Raises:
        SonoscaleError: an unknown key or a bad value; audio that is not there or cannot be read; another process
            trains this run; the loss became NaN or infinite; no such device; a missing package.

    Example:
        >>> from sonoscale.pretrain import pretrain
        >>> pretrain({"train": {"batch_sise": 8}})
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: configuration: unknown key 'train.batch_sise'; did you mean 'train.batch_size'?
        >>> tiny = {"encoder": {"width": 16, "depth": 1}, "train": {"batch_size": 8}}
        >>> cost = pretrain(tiny, dry_run=True, device="cpu")
        >>> cost.cost.params_encoder
        6356
        >>> run = pretrain("run.yaml", set={"encoder.width": 128})  # doctest: +SKIP
    """
    check_arguments(pretrain, locals())
    run_config = _read(config, set)
    for name, value, known in (
        ("strategy", strategy, ("auto", "ddp", "fsdp")),
        ("precision", precision, ("auto", "fp32", "bf16")),
    ):
        if value not in known:
            raise SonoscaleError(f"{name} = {value!r}: must be one of {', '.join(known)}")
    if not dry_run:
        check_logger(logger)

    from sonoscale.pretrain._initial import check_initial
    from sonoscale.pretrain._prepare import check_clips
    from sonoscale.pretrain._runtime import in_precision, processes, start_runtime

    run_config.train.share(math.prod(processes(devices)))
    run_config = in_precision(run_config, device, precision)
    fabric = start_runtime(device, devices, strategy, run_config.train.precision)
    compiled = compile if compile is not None else fabric.device.type == "cuda"
    from sonoscale.pretrain._estimate import estimate_run, free_memory
    from sonoscale.pretrain._memory import check_run_memory

    if run_config.objective.kind != "contrastive":
        _say_ratio(run_config)
    if dry_run:
        data = run_config.data
        clips = len(data.training())
        check_initial(run_config)
        check_clips(run_config, clips)
        return estimate_run(run_config, fabric, clips=clips, heldout=len(data.heldout()), compiled=compiled)
    if fabric.world_size == 1:
        check_run_memory(run_config, free_memory(fabric.device), str(fabric.device))

    from sonoscale.pretrain._loop import train_run
    from sonoscale.pretrain._record import read_record

    first = fabric.global_rank == 0
    report: Progress = progress if progress and first else lambda stage, done, total, loss: None
    place = Path(out) if out is not None else Path("results/runs")
    prepared = _prepared(run_config, Path(cache) if cache is not None else default_cache(), workers, fabric, report)
    folder = place / prepared.name
    to_train = fabric.broadcast(read_record(folder) is None)
    if to_train:
        with metric_log(logger, place, prepared.name, first=first) as log:
            train_run(
                run_config, prepared.train, prepared.heldout, folder, identity=prepared.identity,
                clips=prepared.identity["clips"], initial=prepared.initial, fabric=fabric, compiled=compiled,
                restart=not resume, log=log,
                continues=fabric.broadcast(_to_continue(run_config, prepared, place) if resume and first else None),
                progress=lambda done, total, loss: report("train", done, total, loss),
            )  # fmt: skip
    return Run(folder, fabric.broadcast(read_record(folder)) or {}, not to_train)


def _say_ratio(config: RunConfig) -> None:
    """Warn where whole patches make another share of what is hidden than was asked for."""
    asked, hidden = config.objective.mask_ratio, 1 - config.kept / config.patches
    if abs(asked - hidden) > 0.005:
        warnings.warn(
            f"objective.mask_ratio = {asked:g}: {config.patches - config.kept} of {config.patches} patches are hidden, "
            f"which is {hidden:.4g}",
            SonoscaleWarning,
            stacklevel=3,
        )


def _to_continue(config: RunConfig, prepared: PreparedRun, place: Path) -> Path | None:
    """A finished run of smaller budgets that this one can continue."""
    from sonoscale.pretrain._record import finished_runs
    from sonoscale.pretrain._run_folder import find_trunk

    return find_trunk(config, prepared.identity, finished_runs(place))


def _read(
    config: RunConfig | Mapping[str, Any] | str | Path, overrides: Iterable[str] | Mapping[str, Any]
) -> RunConfig:
    """The configuration, with what is overridden."""
    if isinstance(config, str | Path):
        return load_config(RunConfig, config, overrides)
    pairs = override_pairs(overrides)
    if isinstance(config, RunConfig):
        if not pairs:
            return config
        raw = config.model_dump(mode="json", exclude_unset=True)
    else:
        raw = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for key, value in pairs:
        set_key(raw, key, value)
    return validate(RunConfig, raw)


def _prepared(config: RunConfig, cache: Path, workers: int | None, fabric: Runtime, report: Progress) -> PreparedRun:
    """Log-mels, computed by the first process; if it cannot, no process continues."""
    from sonoscale.pretrain._prepare import prepare_run
    from sonoscale.processes import available_cores

    def show(what: str, done: int, total: int) -> None:
        report(what, done, total, math.nan)

    problem, prepared = "", None
    if fabric.global_rank == 0:
        try:
            prepared = prepare_run(config, cache, workers=workers or available_cores(), report=show)
        except SonoscaleError as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename or cache}: {(error.strerror or str(error)).lower()}"
    problem = fabric.broadcast(problem)
    if problem:
        raise SonoscaleError(problem)
    return prepared or prepare_run(config, cache, workers=1, report=show)
