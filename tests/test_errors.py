"""What the machine refuses, as one line; what is a defect stays one."""

import errno
import os
import resource
import threading

import pytest

from sonoscale.errors import SonoscaleError, foreseen, in_one_line


def system(number, *names):
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (system(errno.ENOSPC, "a.json"), "no space left on the disk writing a.json: whatever was finished is kept"),
        (system(errno.EIO, b"caf\xe9.wav"), "caf\udce9.wav: input/output error"),
        (system(errno.EXDEV, "a", None, "b"), "a and b: invalid cross-device link"),
        (system(errno.EMFILE, "a.wav"), "a.wav: too many open files: raise the limit (ulimit -n), or use fewer"),
        (system(errno.EAGAIN), "no more processes: raise the limit (ulimit -u), or use fewer workers"),
        (system(errno.ENOMEM), "out of memory: ask for less at a time"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("can't start new thread"), "no more threads: raise the limit of processes (ulimit -u)"),
        (RecursionError("maximum recursion depth exceeded"), "what was given is nested too deeply"),
        (OverflowError("int too big to convert"), "a number is too large: int too big to convert"),
        (EOFError(), "a file ends too early"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error, line):
    said = str(foreseen(error))
    assert said.startswith(line)
    assert "\n" not in said


@pytest.mark.parametrize("error", [TypeError("a"), RuntimeError("a defect"), KeyError("a"), SonoscaleError("said")])
def test_defects_and_what_was_said_already_stay(error):
    assert foreseen(error) is None

    @in_one_line
    def verb():
        raise error

    with pytest.raises(type(error)) as caught:
        verb()
    assert caught.value is error


def test_no_more_threads():
    @in_one_line
    def verb():
        threads = [threading.Thread(target=done.wait) for _ in range(2000)]
        for thread in threads:
            thread.start()

    done, before = threading.Event(), resource.getrlimit(resource.RLIMIT_AS)
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), before[1]))  # less than the stacks of a few threads
    try:
        with pytest.raises(SonoscaleError, match=r"^no more threads|^out of memory"):
            verb()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        done.set()


def test_a_public_function_keeps_its_name_and_signature():
    import inspect

    from sonoscale.laws import fit

    assert fit.__name__ == "fit"
    assert list(inspect.signature(fit).parameters)[:2] == ["source", "x"]
    assert fit.__globals__["__name__"] == "sonoscale.laws._fit"  # or its example would not be run


def test_what_a_damaged_file_holds_does_not_fill_the_screen():
    path = "/".join(["folder"] * 100)
    assert str(SonoscaleError(f"{path}: no such file")) == f"{path}: no such file"
    said = str(SonoscaleError(f"a.json: rate = {'x' * 10_000} must be a number"))
    assert said == f"a.json: rate = {'x' * 200}...{'x' * 50} must be a number"
