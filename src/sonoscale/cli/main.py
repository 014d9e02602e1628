"""The command `sonoscale`: one thin module per noun; here the way out for errors."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from typing import Annotated, Any

import typer

from sonoscale import __version__
from sonoscale._streams import guard_output
from sonoscale._text import visible
from sonoscale.cli import audit, data, export, fit, measure, plan, pretrain, probe, study, tasks
from sonoscale.errors import SonoscaleError, SonoscaleWarning, foreseen
from sonoscale.extras import missing

app = typer.Typer(
    help="Label-free scaling laws for audio encoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("measure")(measure.measure)
app.add_typer(pretrain.app, name="pretrain")
app.command("runs")(pretrain.runs)
app.command("probe")(probe.probe)
app.command("tasks")(tasks.tasks)
app.command("export")(export.export)
app.command("fit")(fit.fit)
app.command("audit")(audit.audit)
app.command("plan")(plan.plan)
app.command("figures")(study.figures)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"sonoscale {__version__}")
        raise typer.Exit


def run() -> None:
    """Entry point: every foreseen error is one line on stderr and a non-zero exit status."""
    _signals.clear()
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    output = guard_output()
    warnings.showwarning = _show_warning
    try:
        app()
    except SystemExit as ended:
        _let_go()
        output.flush()
        if ended.code or not output.told:
            raise
        _fail(output.told, 1)
    except SonoscaleError as error:
        _fail(_with_options(str(error)), 1)
    except _Ended:
        _fail(*_how_it_ended())
    except ModuleNotFoundError as error:
        if (lacking := missing(error, " ".join(["sonoscale", *sys.argv[1:2]]))) is None:
            raise
        _fail(str(lacking), 1)
    except Exception as error:
        if _signals:  # somebody else's code has caught the end, and failed of it
            _fail(*_how_it_ended())
        if (said := foreseen(error)) is None:
            raise
        _fail(_with_options(str(said)), 1)


_show_python_warning = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Ours in one line, without the place in the code that they come from."""
    if isinstance(message, SonoscaleWarning):
        print(f"warning: {visible(str(message))}", file=sys.stderr)
    else:
        _show_python_warning(message, category, *where, **more)


def _kept() -> str:
    """What an interruption leaves: of measurements and fits what was written, of longer work all that was finished."""
    if sys.argv[1:2] and sys.argv[1] in ("measure", "fit", "audit", "plan", "export"):
        return "what was written is kept; the same command begins again"
    return "whatever was finished is kept; the same command resumes"


class _Ended(BaseException):
    """Ctrl-C, or SIGTERM as schedulers send it. Not a KeyboardInterrupt, which the command-line library would end
    without a word."""


_signals: list[int] = []
"""Those that were received."""


def _end(number: int, _: object) -> None:
    _signals.append(number)
    raise _Ended


def _how_it_ended() -> tuple[str, int]:
    what, status = ("interrupted", 130) if _signals[0] == signal.SIGINT else ("terminated", 143)
    return f"{what}: {_kept()}", status


def _with_options(message: str) -> str:
    """The message with `(omit)` and its like, keywords of the functions below, as the options of the commands."""
    return re.sub(rf"\(({'|'.join(_OPTIONS)})(?=[):])", lambda found: f"({_OPTIONS[found[1]]}", message)


_OPTIONS = {"higher_is_better": "--higher-is-better or --lower-is-better"} | {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "base",
        "clusters",
        "d",
        "design",
        "equal_n",
        "force",
        "group",
        "held_out",
        "n",
        "omit",
        "out",
        "step",
        "unit",
        "y",
    )
}


def _let_go() -> None:
    """All is done: a signal ends what is left of the process, and is raised nowhere."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _fail(message: str, status: int) -> None:
    _let_go()
    print(f"error: {visible(message)}", file=sys.stderr)
    sys.exit(status)
