"""`sonoscale` in a process of its own that need not import anything: a clean process that has imported all forks it.

A new interpreter takes 3 to 5 seconds before it does anything. These processes take some milliseconds, and are as real:
signals, exit statuses, sessions, killed parents. What is tested with a new interpreter all the same is the start
itself (`python -m sonoscale`, `torchrun`).
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        "torch._dynamo", "scipy.stats", "pyarrow.parquet", "commands", "sonoscale.cli.main", "sonoscale.study._execute",
        "sonoscale.pretrain._loop", "sonoscale.pretrain._prepare", "sonoscale.pretrain._runtime", "sonoscale.probe",
        "sonoscale.report._report", "sonoscale.corpora.procedural._tasks",
    ]
)  # fmt: skip


def _main(program: str, arguments: list[str], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    multiprocessing.process._parent_process = None  # type: ignore[attr-defined]  # a command, not somebody's worker
    sys.argv = [program, *arguments]
    if program == "python":
        _python(*arguments)
    else:
        from sonoscale.cli.main import run

        run()


def _in_session(*arguments: Any) -> None:
    os.setsid()
    _main(*arguments)


def _python(*arguments: str) -> None:
    """`python -c TEXT` and `python FILE`, as the interpreter does them."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = list(arguments)
    if arguments[0] == "-c":
        sys.argv[1:2] = []
        sys.path.insert(0, "")
        code = compile(arguments[1], "<string>", "exec")
    else:
        main.__file__ = arguments[0]
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        code = compile(Path(arguments[0]).read_bytes(), arguments[0], "exec")
    exec(code, main.__dict__)


def start(
    program: str, arguments: list[str], env: dict[str, str], folder: str, out: str, err: str, session: bool = False
) -> Any:
    """The process of `sonoscale` or `python`, with files for what it prints."""
    process = _server.Process(
        target=_in_session if session else _main, args=(program, arguments, env, folder, out, err)
    )
    process.start()
    return process


class Command:
    """A command under way, with what the tests need of `subprocess.Popen`.

    Arguments:
        arguments: of `sonoscale`.
        env: its environment; what is read at import, such as OMP_NUM_THREADS, is that of the tests.
        session: in a session of its own, so that it can be signalled with its workers.
    """

    def __init__(self, *arguments: Any, env: dict[str, str] | None = None, session: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.args = list(map(str, arguments))
        out, err = (str(Path(self._folder.name, name)) for name in ("out", "err"))
        environment = dict(os.environ if env is None else env)
        self._process = start("sonoscale", self.args, environment, str(Path.cwd()), out, err, session)
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        texts = [Path(self._folder.name, name) for name in ("out", "err")]
        out, err = (text.read_text() if text.exists() else "" for text in texts)
        return out, err


def run_command(*arguments: Any, env: dict[str, str] | None = None, timeout: float = 300) -> Any:
    """The command from its start to its end, as `subprocess.run` gives it: `returncode`, `stdout`, `stderr`."""
    command = Command(*arguments, env=env)
    out, err = command.communicate(timeout)
    return subprocess.CompletedProcess(command.args, command.wait(), out, err)
