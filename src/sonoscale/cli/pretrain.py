"""`sonoscale pretrain`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class FileFirst(TyperGroup):
    """A group whose command `run` need not be named: `sonoscale pretrain run.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before what is no command."""
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["run", *args])


app = typer.Typer(cls=FileFirst, help="Pre-train one encoder: `sonoscale pretrain FILE`.", no_args_is_help=True)


class Logger(StrEnum):
    """Where metrics go besides the run's own folder."""

    NONE = "none"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


class Strategy(StrEnum):
    """How several processes share the work."""

    AUTO = "auto"
    DDP = "ddp"
    FSDP = "fsdp"


class Precision(StrEnum):
    """Of the forward pass; weights stay in fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@app.command("run")
def pretrain(
    file: Annotated[Path, typer.Argument(help="The run's YAML file.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: a.b=value.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("results/runs"),
    cache: Annotated[Path | None, typer.Option(help="Folder of computed log-mels.", envvar="SONOSCALE_CACHE")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report parameters, FLOPs, memory and time, and train nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Resume an unfinished run, or restart it.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine (default: 1; under torchrun, what it started).")
    ] = None,
    strategy: Annotated[Strategy, typer.Option(help="For several processes; fsdp shards the model.")] = Strategy.AUTO,
    precision: Annotated[Precision, typer.Option(help="Instead of train.precision.")] = Precision.AUTO,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile blocks (default: on a GPU).")
    ] = None,
    logger: Annotated[
        Logger,
        typer.Option(help="Besides metrics.parquet. pip install tensorboard; tensorboard --logdir OUT/tensorboard"),
    ] = Logger.TENSORBOARD,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes for log-mels (default: one per core).")] = None,
) -> None:
    """Pre-train one encoder, with its rank beside the loss. If interrupted, the same command resumes.

    The word `run` can be left out.
    """
    from sonoscale.cli._console import print_result, stage_bars
    from sonoscale.pretrain import pretrain as train

    with stage_bars() as progress:
        result = train(
            file, out, set=set_ or [], dry_run=dry_run, cache=cache, resume=resume, device=device, devices=devices,
            strategy=strategy.value, precision=precision.value, compile=compile_, logger=logger.value,
            workers=workers, progress=progress,
        )  # fmt: skip
    print_result(result)


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("run.yaml"),
    question: Annotated[str | None, typer.Option(help="procedural, folder, latent or flops.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of audio (default: synthesised).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the commented file of a run."""
    from sonoscale.cli._console import say
    from sonoscale.pretrain import init as write

    written = write(file, question=question, data=data, force=force)
    say(f"{written}: written. What it costs: sonoscale pretrain {written} --dry-run")


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs, or of a study.")] = Path("results/runs"),
    json: Annotated[Path | None, typer.Option(help="Write everything to this .json file.")] = None,
) -> None:
    """List runs: name, state, objective, parameters, FLOPs, loss, rank."""
    from sonoscale.cli._console import print_result
    from sonoscale.files import check_outputs
    from sonoscale.pretrain import runs as list_runs

    check_outputs([json], [folder])
    found = list_runs(folder)
    print_result(found)
    if json:
        found.to_json(json)
