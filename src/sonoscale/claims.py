"""Work that several processes share, on one machine or on many: each piece is done by the one that claims it.

A claim on `NAME` is a file `.claims/NAME/GENERATION` beside the work, which its owner keeps fresh. Whoever finds a
claim whose owner is gone claims the next generation, which one process can create and no other; an owner that was
merely thought gone learns of it before it writes again (`Claim.check`). All this holds on file systems that several
machines share: a file is created by a hard link, and its age is told by the clock of the file system, not by those of
the machines.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sonoscale.errors import SonoscaleError
from sonoscale.files import make_folder

__all__ = ["Claim", "ClaimLostError", "Holder", "claim", "claimed", "file_time", "holder", "holders", "newer"]

BEAT = 5.0
"""Seconds between two signs of life of an owner; `$SONOSCALE_HEARTBEAT` sets others."""

MISSED = 12
"""Signs of life that an owner on another machine may miss before it is taken for gone."""

_FOLDER = ".claims"
_SIZE = 1024  # bytes of a claim: written at once, so that a reader sees it whole


class ClaimLostError(SonoscaleError):
    """Somebody else has taken this work over, or its claim was removed."""


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        name: of the work.
        generation: counts how often it was claimed since it was last free.
        host, pid: where the owner is.
        age: seconds since its last sign of life.
        alive: whether it still holds the claim.
        note: what it last said of its work, see `Claim.note`.
        began: when it claimed the work, in seconds since 1970 by its own clock.
    """

    name: str
    generation: int
    host: str
    pid: int
    age: float
    alive: bool
    note: dict[str, Any]
    began: float


@dataclass
class Claim:
    """Held by this process, one thread of which keeps its claims fresh until `release`.

    Attributes:
        name: of the work.
        file: which only the owner writes.
        generation: see `Holder`.
        took_over: who held it before and is gone, or None.
        stop_files: once one of them is written or touched, `stopping` is true; looked at every second. Those that are
            older than the claim do not count.
        since: when it was claimed, see `file_time`.
        stopping: whether the owner is asked to end.
    """

    name: str
    file: Path
    generation: int
    about: dict[str, Any]
    took_over: Holder | None = None
    stop_files: tuple[Path, ...] = ()
    since: float = 0.0
    stopping: bool = False
    lost: bool = False
    _said: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _let_go: bool = False
    _last: float = field(default_factory=time.monotonic)

    def note(self, **said: Any) -> None:
        """Say how far the work is; others read it with the next sign of life."""
        self._said |= said

    def check(self) -> None:
        """Call before writing what another owner would write too.

        Raises:
            ClaimLostError: it is no longer this process's to write.
        """
        if self.lost or not self.file.exists() or self.file.with_name(str(self.generation + 1)).exists():
            self.lost = True
            raise ClaimLostError(f"{self.name}: was taken over by another process, which continues it")

    def beat(self) -> None:
        """A sign of life, with what was noted."""
        with suppress(OSError), self.file.open("r+b") as stream:  # on a full disk what was noted may be missing
            stream.write(_content(self.about | {"note": self._said}))
        with suppress(OSError):
            os.utime(self.file)

    def release(self) -> None:
        """Let it go: the work is done, or left for others."""
        _heart.remove(self)
        with self._lock:  # no sign of life is on its way any more, which could go to the next owner
            self._let_go = True
        with suppress(ClaimLostError):
            self.check()
            _remove(self.file)

    def live(self) -> None:
        """See whether to stop, and give a sign of life if one is due."""
        with self._lock:
            if self._let_go:
                return
            self.stopping = self.stopping or any(newer(file, self.since) for file in self.stop_files)
            if time.monotonic() - self._last >= _beat():
                with suppress(ClaimLostError):
                    self.check()
                    self.beat()
                self._last = time.monotonic()


class _Heart:
    """The thread that keeps all claims of this process fresh, so that a claim need not wait for one of its own."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._running = False
        self._every = 1.0

    def add(self, mine: Claim) -> None:
        with self._lock:
            self._claims.append(mine)
            begin, self._running = not self._running, True
        if begin:
            threading.Thread(target=self._run, daemon=True, name="claims").start()
        elif _beat() < self._every:
            self._wake.set()

    def remove(self, mine: Claim) -> None:
        with self._lock:
            self._claims = [one for one in self._claims if one is not mine]

    def _run(self) -> None:
        idle = 0
        while True:
            with suppress(SonoscaleError):  # changed meanwhile to what is none
                self._every = min(1.0, _beat())
            self._wake.wait(self._every)
            self._wake.clear()
            with self._lock:
                held = list(self._claims)
                idle = 0 if held else idle + 1
                if idle > IDLE:
                    self._running = False
                    return
            for one in held:
                with suppress(OSError, SonoscaleError):
                    one.live()


IDLE = 5
"""Looks at no claim at all after which the thread ends."""

_heart = _Heart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _heart.__init__())  # the thread, and the claims, are of the parent


def claim(folder: Path, name: str, *, stop_files: tuple[Path, ...] = (), **about: Any) -> Claim | None:
    """Claim a piece of work, or None if somebody else has it.

    Whether the work is still to be done must be looked at again afterwards: another may have finished it just before.

    Arguments:
        folder: that all who share the work can reach.
        name: of the work, as a file can be called.
        stop_files: see `Claim`.
        about: said of the owner, JSON-able.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> mine = claim(folder, "run")
        >>> claim(folder, "run") is None, holder(folder, "run").pid == os.getpid()
        (True, True)
        >>> mine.release()
        >>> holder(folder, "run") is None
        True
    """
    place = folder / _FOLDER / name
    about = {"owner": secrets.token_hex(8), **_here(), "began": time.time(), **about}
    for _ in range(100):
        make_folder(place)
        before = holder(folder, name)
        if before is not None and before.alive:
            return None
        generation = before.generation + 1 if before else 1
        try:
            made = _create(place / str(generation), _content(about | {"note": {}}))
        except FileNotFoundError:  # the folder was removed by one that had just let go
            continue
        if not made:
            return None  # another was faster
        if _contested(place, generation, before):  # it was let go and claimed anew between the two looks
            _remove(place / str(generation))
            return None
        for old in _generations(place):
            if old < generation:
                (place / str(old)).unlink(missing_ok=True)
        mine = Claim(name, place / str(generation), generation, about, before, stop_files, file_time(place))
        _heart.add(mine)
        return mine
    raise SonoscaleError(f"{place}: cannot be claimed: it is removed whenever it is made")


def _contested(place: Path, generation: int, before: Holder | None) -> bool:
    """Whether there is another claim beside this one and that which it follows."""
    for one in _generations(place):
        if one > generation:
            return True
        if one < generation and (before is None or one != before.generation):
            with suppress(FileNotFoundError):
                if _read(place, one, None).alive:
                    return True
    return False


@contextmanager
def claimed(folder: Path, name: str, doing: str) -> Iterator[Claim]:
    """Claim a piece of work until the block ends.

    Raises:
        SonoscaleError: another process has it.
    """
    mine = claim(folder, name)
    if mine is None:
        who = holder(folder, name)
        where = f" (process {who.pid} on {who.host})" if who else ""
        raise SonoscaleError(f"{folder / name}: another process{where} {doing} it; wait for it to end")
    try:
        yield mine
    finally:
        mine.release()


def holder(folder: Path, name: str) -> Holder | None:
    """Who holds a piece of work, alive or not; None where it is free."""
    place = folder / _FOLDER / name
    while generations := _generations(place):
        try:
            return _read(place, generations[-1], None)
        except FileNotFoundError:  # let go meanwhile
            continue
    return None


def holders(folder: Path) -> dict[str, Holder]:
    """Who holds what, alive or not."""
    root = folder / _FOLDER
    found: dict[str, Holder] = {}
    now = None
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        if place.is_dir() and (generations := _generations(place)):
            now = file_time(root) if now is None else now
            with suppress(FileNotFoundError):
                found[place.name] = _read(place, generations[-1], now)
    return found


def file_time(folder: Path) -> float:
    """The time by the file system of a folder, which stamps its files, in seconds since 1970."""
    probe = folder / f".{secrets.token_hex(8)}"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    except OSError:  # not to be written
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def newer(file: Path, since: float) -> bool:
    """Whether a file was written after a moment of `file_time`."""
    try:
        return file.stat().st_mtime > since
    except OSError:
        return False


def _read(place: Path, generation: int, now: float | None) -> Holder:
    file = place / str(generation)
    stat = file.stat()
    about: dict[str, Any] = {}
    for _ in range(3):
        try:
            about = json.loads(file.read_bytes())
            break
        except ValueError:  # just being written
            time.sleep(0.01)
    here = _here()
    gone = None
    if about.get("machine") == here["machine"]:
        gone = _started(int(about.get("pid", 0))) != about.get("started")
    if now is None:
        now = file_time(place) if gone is None else stat.st_mtime  # the age decides nothing
    age = max(0.0, now - stat.st_mtime)
    alive = age <= MISSED * max(_beat(), float(about.get("beat", 0))) if gone is None else not gone
    return Holder(
        place.name, generation, str(about.get("host", "?")), int(about.get("pid", 0)), age, alive,
        about.get("note") or {}, float(about.get("began", stat.st_mtime)),
    )  # fmt: skip


def _generations(place: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(place) if name.isdigit())  # noqa: PTH208 (names are enough)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _create(file: Path, content: bytes) -> bool:
    """Whether the file was made by this process: with its content, at once."""
    partial = file.with_name(f".{secrets.token_hex(8)}")
    try:
        partial.write_bytes(content)
        os.link(partial, file)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            with file.open("xb") as stream:
                stream.write(content)
        except FileExistsError:
            return False
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
"""Of file systems without hard links."""


def _remove(file: Path) -> None:
    """The file, and the folders of claims that are empty without it."""
    file.unlink(missing_ok=True)
    with suppress(OSError):  # another has a claim there
        for leftover in file.parent.glob(".*"):
            leftover.unlink(missing_ok=True)
        file.parent.rmdir()
        file.parent.parent.rmdir()


def _content(about: dict[str, Any]) -> bytes:
    text = json.dumps(about, default=str).encode()
    if len(text) > _SIZE:
        text = json.dumps(about | {"note": {}}, default=str).encode()
    return text.ljust(_SIZE)


def _beat() -> float:
    try:
        return max(0.05, float(os.environ.get("SONOSCALE_HEARTBEAT", BEAT)))
    except ValueError:
        raise SonoscaleError(
            f"SONOSCALE_HEARTBEAT = {os.environ['SONOSCALE_HEARTBEAT']}: give a number of seconds"
        ) from None


def _here() -> dict[str, Any]:
    """This process, as nobody else can be called."""
    return {
        "machine": _machine(), "host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()),
        "beat": _beat(),
    }  # fmt: skip


@functools.cache
def _machine() -> str:
    """Of those that see each other's processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (it is no path)
    except OSError:  # not Linux
        import uuid

        return f"{socket.gethostname()} {uuid.getnode()}"


def _started(pid: int) -> str | None:
    """When a process of this machine was started; None if it is none, or dead and only not yet waited for."""
    if pid <= 0:
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "running"
