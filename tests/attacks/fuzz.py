"""Mutated files for every reader; `python tests/attacks/fuzz.py --cases 500` prints the table.

Each case is a file, or a folder of files, of which one is damaged or forged. It must be answered with the right numbers
or with one line: no other exception, no crash, no more than 30 s, no more than 1 GB, nothing outside its folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[1] / "helpers"))

from counts import keep
from fuzz_commands import commands
from fuzz_data import DATA
from fuzz_runs import RUNS
from sonoscale.errors import SonoscaleError, SonoscaleWarning

READERS = DATA | RUNS | {"arguments of commands": commands}
SECONDS, BYTES = 30, 1 << 30


@dataclass
class Tally:
    """How the cases of one reader ended."""

    right: int = 0  # read, with right numbers where they are known, or as other valid content
    refused: int = 0  # one line
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_case: int = 0
    megabytes: float = 0.0


class _TooLongError(BaseException):  # which no reader catches
    pass


def _too_long(*_: object) -> None:
    raise _TooLongError


def attacked(name: str, cases: int, seed: int = 0, first: int = 0) -> Tally:
    """Run the cases of one reader in this process, from the case `first` on."""
    tally = Tally()
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory() as top:
        base, arena = Path(top, "base"), Path(top, "arena")
        base.mkdir()
        os.environ["SONOSCALE_CACHE"] = os.path.join(top, "cache")  # noqa: PTH118
        attack = READERS[name](base)
        before = set(Path(top).rglob("*"))
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for case in range(first, first + cases):
            shutil.rmtree(arena, ignore_errors=True)
            (arena / "inside").mkdir(parents=True)
            rng = random.Random(f"{name} {seed} {case}")
            read = attack(rng, arena / "inside")
            started = time.monotonic()
            signal.alarm(SECONDS)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    warnings.simplefilter("ignore", SonoscaleWarning)
                    read()
                tally.right += 1
            except SonoscaleError as error:
                tally.refused += 1
                if len(str(error)) > 4000:
                    tally.failed.append(f"case {case}: a message of {len(str(error))} characters")
            except _TooLongError:
                tally.failed.append(f"case {case}: more than {SECONDS} s")
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                ours = [f for f in traceback.extract_tb(error.__traceback__) if "sonoscale" in f.filename]
                last = ours[-1] if ours else where
                said = f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {str(error)[:150]!r}"
                tally.failed.append(f"case {case}: {said}")
            finally:
                signal.alarm(0)
            if (took := time.monotonic() - started) > tally.slowest:
                tally.slowest, tally.slowest_case = took, case
            if [f for f in arena.iterdir() if f.name != "inside"]:
                tally.failed.append(f"case {case}: wrote outside its folder")
        made = {f for f in Path(top).rglob("*") if arena not in f.parents and f != arena and "cache" not in f.parts}
        if made - before:
            tally.failed.append(f"wrote outside its folder: {sorted(made - before)[:3]}")
        tally.megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024
    return tally


def attacked_apart(name: str, cases: int, seed: int = 0) -> Tally:
    """The same in a process of its own, whose crash is a failed case."""
    command = [sys.executable, __file__, "--one", name, "--cases", str(cases), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return Tally(failed=[f"the process ended with {done.returncode}: {done.stderr[-300:]}"])
    return Tally(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table of counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--one", help="one reader, in this process; prints JSON")
    parser.add_argument("--out", type=Path, help="a JSON file to which the counts are added")
    parser.add_argument("readers", nargs="*")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(vars(attacked(given.one, given.cases, given.seed, given.first))))
        return
    print(f"{'reader':20} {'cases':>6} {'read':>6} {'one line':>9} {'failed':>7} {'slowest':>9} {'memory':>8}")
    for name in given.readers or READERS:
        t = attacked_apart(name, given.cases, given.seed)
        counts = f"{given.cases:6} {t.right:6} {t.refused:9} {len(t.failed):7}"
        print(f"{name:20} {counts} {t.slowest:8.2f}s {t.megabytes:6.0f}MB", flush=True)
        if given.out:
            keep(given.out, "readers", name, {"cases": given.cases, "seed": given.seed, **vars(t)})
        causes = Counter(line.partition(": ")[2] for line in t.failed)
        for cause, count in causes.most_common(8):
            example = next(line for line in t.failed if line.endswith(cause))
            print(f"    {count} x {example}", flush=True)


if __name__ == "__main__":
    main()
