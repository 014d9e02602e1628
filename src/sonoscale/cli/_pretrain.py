"""What `sonoscale pretrain` does."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from sonoscale.cli._console import console, progress_bars
from sonoscale.cli._metric_loggers import check_logger, metric_log
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import (
    PATIENCE,
    OneProcess,
    PreparedRun,
    RunConfig,
    Runtime,
    cutting_strategy,
    estimate_run,
    prepare_run,
    pretrain,
    read_record,
)
from sonoscale.processes import available_cores
from sonoscale.rank import RankRecord
from sonoscale.rank._record import number

__all__ = ["PretrainOptions", "dry", "train"]


@dataclass(frozen=True)
class PretrainOptions:
    """Checked options; see the command's help."""

    out: Path
    cache: Path
    resume: bool
    device: str
    devices: int | None
    strategy: str
    precision: str
    compiled: bool | None
    logger: str
    workers: int | None


def dry(config: RunConfig, options: PretrainOptions) -> None:
    """Tell what the run would cost."""
    config.train.share(math.prod(_processes(options.devices)))
    fabric = _fabric(options)
    told = estimate_run(config, fabric, compiled=_compiled(options, fabric))
    if fabric.global_rank > 0:
        return
    cost, table = told.cost, Table(show_edge=False, pad_edge=False, title="one example", title_justify="left")
    for column in ("part", "parameters", "training FLOPs"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part in ("encoder", "decoder", "teacher", "head"):
        parameters, flops = getattr(cost, f"params_{part}"), getattr(cost, f"flops_{part}")
        if parameters or flops:
            table.add_row(part, f"{parameters:,}", f"{flops:.3g}")
    console.print(table)
    for name, value in (
        ("patches", f"{told.patches} in an example, {told.kept} of them seen by the encoder"),
        ("budgets", f"{', '.join(map(str, config.budgets))} steps of {config.train.batch_size} examples"),
        ("audio", f"{told.hours:.3g} hours heard by the last budget"),
        ("compute", f"{told.flops:.3g} FLOPs in the last budget"),
        ("time", f"{_duration(told.seconds)} for {told.steps} steps of {1000 * told.seconds_per_step:.3g} ms on "
                 f"{fabric.device}, rank readings and log-mels not counted"),
        ("memory", f"{told.memory / 2**20:,.0f} MiB for weights, optimiser and activations"),
    ):  # fmt: skip
        console.print(Text(f"{name:8} {value}"))


def train(config: RunConfig, options: PretrainOptions) -> None:
    """Train the run, or say that it is done."""
    check_logger(options.logger)
    config.train.share(math.prod(_processes(options.devices)))
    fabric = _fabric(options)
    first = fabric.global_rank == 0
    with progress_bars(disable=not first) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int, more: str = "") -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, description=what + more)

        prepared = _prepared(config, options, fabric, show)
        folder = options.out / prepared.name
        if fabric.broadcast(read_record(folder) is None):
            with metric_log(options.logger, options.out, prepared.name, first=first) as log:
                pretrain(
                    config, prepared.train, prepared.heldout, folder, identity=prepared.identity,
                    clips=prepared.identity["clips"], fabric=fabric,
                    compiled=_compiled(options, fabric), restart=not options.resume,
                    log=log,
                    progress=lambda done, total, loss: show("train", done, total, f" (loss {loss:.3f})"),
                )  # fmt: skip
    if first:
        _tell(folder)


def _prepared(
    config: RunConfig, options: PretrainOptions, fabric: Runtime, show: Callable[[str, int, int], None]
) -> PreparedRun:
    """Log-mels, computed by the first process; if it cannot, no process goes on."""
    problem, prepared = "", None
    if fabric.global_rank == 0:
        try:
            prepared = prepare_run(config, options.cache, workers=options.workers or available_cores(), report=show)
        except (SonoscaleError, OSError) as error:
            problem = str(error)
    problem = fabric.broadcast(problem)
    if problem:
        raise SonoscaleError(problem)
    return prepared or prepare_run(config, options.cache, workers=1, report=show)


def _tell(folder: Path) -> None:
    record = read_record(folder)
    assert record is not None
    table = Table(show_edge=False, pad_edge=False)
    for column in ("steps", "loss", "rankme", "95% interval", "centred", "hours heard", "FLOPs", "time"):
        table.add_column(column, justify="right")
    for budget in record["budgets"]:
        rank, centred = (RankRecord.from_dict(budget[key]) for key in ("rank", "rank_centred"))
        table.add_row(
            str(budget["step"]), f"{budget['loss']:.4f}", number(rank.value), rank.span, number(centred.value),
            f"{budget['hours_seen']:.3g}", f"{budget['flops_total']:.3g}", _duration(budget["seconds"]),
        )  # fmt: skip
    console.print(table)
    for warning in record["warnings"]:
        console.print(Text(f"warning  {warning}"))
    console.print(Text(f"trained  on {record['device']}, {record['precision']}, {record['processes']} process(es)"))
    console.print(Text(f"run      {folder}"), soft_wrap=True)


def _fabric(options: PretrainOptions) -> Runtime:
    """Launched; under torchrun one of its processes.

    Raises:
        SonoscaleError: there is no such device.
    """
    if options.device not in ("auto", "cpu", "cuda"):
        raise SonoscaleError(f"--device {options.device}: must be auto, cpu or cuda")
    gpu = torch.cuda.is_available()
    if options.device == "cuda" and not gpu:
        raise SonoscaleError("--device cuda: PyTorch finds no GPU here; use cpu")
    on_gpu = gpu and options.device != "cpu"
    precision = options.precision if options.precision != "auto" else "bf16" if on_gpu else "fp32"
    devices, nodes = _processes(options.devices)
    if not on_gpu and devices * nodes == 1 and precision == "fp32" and options.strategy == "auto":
        return OneProcess()
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    strategy: Any = "auto"
    if options.strategy == "fsdp":
        strategy = cutting_strategy(devices * nodes)
    elif options.strategy == "ddp" or devices * nodes > 1:
        strategy = DDPStrategy(timeout=PATIENCE)
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu", devices=devices, num_nodes=nodes, strategy=strategy,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )  # fmt: skip
    fabric.launch()
    return fabric


def _compiled(options: PretrainOptions, fabric: Runtime) -> bool:
    return options.compiled if options.compiled is not None else fabric.device.type == "cuda"


def _processes(asked: int | None) -> tuple[int, int]:
    """Processes on this machine, and machines: of torchrun, where that started this process.

    Raises:
        SonoscaleError: torchrun started another number than was asked for.
    """
    if not torch.distributed.is_torchelastic_launched():
        return asked or 1, 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if asked not in (None, here):
        raise SonoscaleError(
            f"--devices {asked}: torchrun has started {here} process(es) on this machine; leave --devices out"
        )
    return here, everywhere // here


def _duration(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds < 86_400 else f"{seconds / 86_400:.1f} days"
