"""Errors that a user can act on."""

from __future__ import annotations

import errno
import functools
import os
import re
import types
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["SonoscaleError", "SonoscaleWarning", "foreseen", "in_one_line"]


class SonoscaleError(Exception):
    """A problem with the user's input or machine, in one line.

    The message names the offending file, key or value, and what would be right. The command line prints the
    message alone and exits with status 1; anything else that escapes is a defect of Sonoscale. A word of 1,000
    characters and more, such as the content of a damaged file, is shown by its ends.
    """

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(re.sub(r"\S{1000,}", lambda word: f"{word[0][:200]}...{word[0][-50:]}", message), *more)


class SonoscaleWarning(UserWarning):
    """What a user should know of a result, or of what was done to get it; the command line prints it in one line."""


P = ParamSpec("P")
R = TypeVar("R")


def in_one_line(function: Callable[P, R]) -> Callable[P, R]:
    """A public function, which raises what the machine or a file's content refuses as a `SonoscaleError`.

    Arguments:
        function: to be called like that.

    Returns:
        The function, with the same name, signature and documentation.

    Example:
        >>> @in_one_line
        ... def read(path):
        ...     return open(path)
        >>> read("gone.csv")
        Traceback (most recent call last):
        sonoscale.errors.SonoscaleError: gone.csv: no such file or directory
    """
    as_line = foreseen

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if (said := as_line(error)) is None:
                raise
            raise said from error

    # In the module of the function, where doctest looks for it.
    made = types.FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    return functools.update_wrapper(made, function)


def foreseen(error: BaseException) -> SonoscaleError | None:
    """An error of the machine, or of a file that is not what it should be, as one line; None for any other.

    Arguments:
        error: whatever was raised.

    Returns:
        What to say instead, naming the file where there is one.

    Example:
        >>> foreseen(MemoryError())
        SonoscaleError('out of memory: ask for less at a time, or free some; whatever was finished is kept')
        >>> foreseen(TypeError("a defect")) is None
        True
    """
    if isinstance(error, SonoscaleError):
        return None
    text = next(iter(str(error).strip().splitlines()), "")[:300]
    full = isinstance(error, (RuntimeError, OSError)) and any(sign in text.lower() for sign in _MEMORY)
    if isinstance(error, MemoryError) or full:
        detail = f" ({text})" if text and not isinstance(error, OSError) else ""
        return SonoscaleError(
            f"out of memory{detail}: ask for less at a time, or free some; whatever was finished is kept"
        )
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return SonoscaleError("no more threads: raise the limit of processes (ulimit -u), or use fewer workers")
    if isinstance(error, RecursionError):
        return SonoscaleError("what was given is nested too deeply")
    if isinstance(error, OverflowError):
        return SonoscaleError(f"a number is too large: {text or 'overflow'}")
    if isinstance(error, EOFError):
        return SonoscaleError(f"a file ends too early{f': {text}' if text else ''}")
    return _of_system(error, text) if isinstance(error, OSError) else None


_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


def _of_system(error: OSError, text: str) -> SonoscaleError:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    file = " and ".join(dict.fromkeys(names))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" writing {file}" if file else ""
        return SonoscaleError(f"no space left on the disk{where}: whatever was finished is kept")
    place = f"{file}: " if file else ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return SonoscaleError(f"{place}too many open files: raise the limit (ulimit -n), or use fewer workers")
    if error.errno == errno.EAGAIN and not file:
        return SonoscaleError("no more processes: raise the limit (ulimit -u), or use fewer workers")
    return SonoscaleError(f"{place}{(error.strerror or text or type(error).__name__).lower()}")
