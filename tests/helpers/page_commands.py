"""`sonoscale` and `python` for the pages of the documentation, in processes forked as `commands.Command` is.

A folder with these two commands stands first on the PATH of a page's blocks. They say to the test what they were asked
for, over a socket, and wait; the test has it done, with their folder, environment and output, by a process that need
not import anything. Other Python (`-m`, options) is started anew.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import commands

_ASK = """#!{python} -IS
import json, os, socket, sys
me, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if me == "python" and not (arguments[:1] == ["-c"] or (arguments and arguments[0].endswith(".py"))):
    os.execv({python!r}, [{python!r}, *arguments])
test = socket.socket(socket.AF_UNIX)
test.connect({address!r})
asked = {{"program": me, "arguments": arguments, "environment": dict(os.environ)}}
asked |= {{"folder": os.getcwd(), "pid": os.getpid()}}
test.sendall(json.dumps(asked).encode())
test.shutdown(socket.SHUT_WR)
sys.exit(int(test.recv(16) or 1))
"""


def _answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as received:
        asked = json.load(received)
        out, err = (f"/proc/{asked['pid']}/fd/{number}" for number in (1, 2))
        done = commands.start(asked["program"], asked["arguments"], asked["environment"], asked["folder"], out, err)
        done.join()
        connection.sendall(str(done.exitcode % 256).encode())


def _listen(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return  # the page is done
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


@contextmanager
def page_commands(folder: Path) -> Iterator[Path]:
    """The folder of the commands, to be written into an empty one; where `/proc` is missing that of the interpreter."""
    if not Path("/proc/self/fd").exists():
        yield Path(sys.executable).parent
        return
    address = folder / "ask"
    for name in ("sonoscale", "python"):
        (folder / name).write_text(_ASK.format(python=sys.executable, address=os.fspath(address)))
        (folder / name).chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(address))
        server.listen()
        threading.Thread(target=_listen, args=(server,), daemon=True).start()
        yield folder
        server.shutdown(socket.SHUT_RDWR)
