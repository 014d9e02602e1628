"""`sonoscale ...` as processes of their own that start in a moment: forked from one that has imported everything."""

import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["forked_command", "sonoscale.cli.main", "sonoscale.pretrain._loop", "sonoscale.pretrain._runtime",
     "sonoscale.pretrain._prepare", "sonoscale.corpora.procedural", "scipy.stats", "pyarrow.parquet", "rich.markdown"]
)  # fmt: skip


def run_command(arguments, out, err):
    import torch

    from sonoscale.cli.main import run

    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["sonoscale", *arguments]
    status = 1
    try:
        run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class Command:
    """What of `subprocess.Popen` the tests use."""

    def __init__(self, *arguments):
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("out", "err")]
        self._process = FORKS.Process(target=run_command, args=(list(map(str, arguments)), *map(str, self._files)))
        self._process.start()

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def communicate(self, timeout=None):
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it does not end"
        return [file.read_text() if file.exists() else "" for file in self._files]
