"""`sonoscale`, and `python -m sonoscale`: the command, which Ctrl-C ends in one line also while it is imported."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["run"]


def run() -> None:
    """Entry point: imports the command, which then handles signals itself."""
    signal.signal(signal.SIGINT, _end)
    from sonoscale.cli.main import run as run_command

    run_command()


def _end(*_: object) -> None:
    sys.stderr.write("error: interrupted before it began\n")
    sys.stderr.flush()
    os._exit(130)


if __name__ == "__main__":
    run()
