"""Long commands ended by a signal at random times, and given again; `python tests/attacks/kill.py` prints the table.

Each trial must leave no process after 10 s, and the same command again must end well, with the result of a command that
nobody disturbed, and without a hidden file left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, os.fspath(Path(__file__).parents[1] / "helpers"))

import numpy as np
import soundfile

from commands import Command
from counts import keep
from fuzz_runs import RUN_TABLE, STUDY

GONE = 10.0
"""Seconds after which nothing of a command that was ended may run, where each process has a core of its own."""


def patience() -> float:
    """`GONE` on this machine as it is: longer where more processes want to run than there are cores."""
    return GONE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass
class Kind:
    """A command to be killed.

    Attributes:
        arguments: of `sonoscale`, where `OUT` stands for a folder of the trial's own and `IN` for that of its inputs.
        result: of that folder, what must be equal; `stdout.txt` in it is what the command has printed at the end.
        needs: folders of the inputs that other commands make: `run`, `study`.
        done: what the command says if it was ended when its result was there already, and does not do again.
        works_on: one of these that the command writes into, and of which it is therefore given a copy, in `OUT`.
    """

    arguments: list[str]
    result: Callable[[Path], Any]
    needs: tuple[str, ...] = ()
    works_on: str | None = None
    done: str | None = None


@dataclass
class Tally:
    """How the trials of one command ended."""

    trials: int = 0
    signals: int = 0
    ended_before: int = 0  # the signal came too late
    failed: list[str] = field(default_factory=list)


def inputs(base: Path) -> None:
    """Audio, a task, a table, embeddings, a study, a run."""
    rng = np.random.default_rng(0)
    (base / "audio").mkdir(parents=True)
    lines = ["path,label,split"]
    for i in range(120):
        tone = np.sin(np.arange(16_000) * (0.05 + 0.1 * (i % 4)))
        soundfile.write(base / "audio" / f"{i:03d}.wav", 0.1 * tone + 0.02 * rng.standard_normal(16_000), 16_000)
        lines.append(f"{i:03d}.wav,{'abcd'[i % 4]},{['train', 'valid', 'test'][i // 4 % 3]}")
    (base / "more").mkdir()
    for i in range(400):
        soundfile.write(base / "more" / f"{i:03d}.flac", 0.1 * rng.standard_normal(44_100), 44_100)
    (base / "audio" / "metadata.csv").write_text("\n".join(lines))
    (base / "runs.csv").write_text(RUN_TABLE)
    rows = [(n, s, 0.1 * n**0.3 + rng.normal() * 0.02) for n in np.geomspace(1e4, 1e7, 12).tolist() for s in (0, 1)]
    lines = [f"{n:.6g},{rank * 10:.6f},{rank + rng.normal() * 0.02:.6f},c{n:.6g},{s}" for n, s, rank in rows]
    (base / "audit.csv").write_text("\n".join(["params,rankme,score,config,seed", *lines]) + "\n")
    np.save(base / "e.npy", rng.standard_normal((60_000, 64)).astype(np.float32))
    (base / "study.yaml").write_text(STUDY)
    run = {
        "data": {"kind": "folder", "root": str(base), "audio": "audio", "heldout_clips": 32},
        "encoder": {"width": 16, "depth": 1},
        "train": {"clip_seconds": 0.5, "batch_size": 8, "budgets": [40, 120], "warmup_steps": 2, "rank_points": 2,
                  "checkpoint_minutes": 0.01, "precision": "fp32"},
    }  # fmt: skip
    (base / "run.yaml").write_text(json.dumps(run))


def contents(folder: Path, pattern: str = "**/*") -> dict[str, bytes]:
    files = (file for file in sorted(folder.glob(pattern)) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def packed(folder: Path) -> dict[str, bytes]:
    return contents(folder / "pack")


def weights(folder: Path) -> Any:
    import torch

    found = {}
    for file in sorted(folder.glob("**/checkpoint*.pt")):
        state = torch.load(file, weights_only=True)["encoder"]
        found[file.relative_to(folder).as_posix()] = {name: each.numpy().tobytes() for name, each in state.items()}
    return found


def ledger(folder: Path) -> Any:
    import pyarrow.parquet as pq

    (file,) = folder.glob("**/ledger.parquet")
    return sorted(str({k: v for k, v in row.items() if k != "seconds"}) for row in pq.read_table(file).to_pylist())


def without(content: Any, *names: str) -> Any:
    """JSON without these keys, at any depth."""
    if isinstance(content, dict):
        return {key: without(each, *names) for key, each in content.items() if key not in names}
    return [without(each, *names) for each in content] if isinstance(content, list) else content


def reported(folder: Path) -> Any:
    """What a report holds: its results, and which figures there are."""
    from sonoscale.report._load import load_study

    study = folder / "study"
    load_study(study)
    laws = without(json.loads((study / "laws.json").read_text()), "provenance", "versions", "seconds")
    return laws, (study / "report.html").stat().st_size, sorted(contents(study / "figures"))


KINDS: dict[str, Kind] = {
    "measure, encoder": Kind(
        ["measure", "logmel:16", "IN/audio", "--json", "OUT/o.json", "--save-embeddings", "OUT/e.npy"],
        lambda out: ([r["value"] for r in json.loads((out / "o.json").read_text())["records"]], contents(out, "e.*")),
    ),
    "measure, files": Kind(
        ["measure", "IN/e.npy", "--all", "--json", "OUT/o.json"],
        lambda out: [r["value"] for r in json.loads((out / "o.json").read_text())["records"]],
    ),
    "probe": Kind(
        ["probe", "logmel:16", "--task", "IN/audio/metadata.csv", "--cache", "OUT/cache", "--json", "OUT/o.json"],
        lambda out: [
            (s["encoder"], s["score"], s["low"], s["high"]) for s in json.loads((out / "o.json").read_text())["scores"]
        ],
    ),
    "data pack": Kind(["data", "pack", "IN/more", "--out", "OUT/pack", "--shard-mb", "1"], packed),
    "data fetch": Kind(
        ["data", "fetch", "toy", "--recipes", "IN/recipes.yaml", "--out", "OUT"], lambda out: contents(out, "**/*.bin")
    ),
    "pretrain": Kind(
        ["pretrain", "IN/run.yaml", "--out", "OUT/runs", "--cache", "OUT/cache", "--device", "cpu", "--workers", "1"],
        weights,
    ),
    "study run": Kind(
        ["study", "run", "IN/study.yaml", "--out", "OUT/study", "--cache", "OUT/cache", "--device", "cpu", "--workers",
         "1", "--retries", "5"],
        ledger,
    ),
    "export": Kind(
        ["export", "IN/run", "--to", "xares", "--out", "OUT/export"],
        lambda out: contents(out / "export"), ("run",), done="is there already",
    ),
    "export, ONNX": Kind(
        ["export", "IN/run", "--to", "onnx", "--out", "OUT/export"],
        lambda out: sorted(contents(out / "export")), ("run",), done="is there already",
    ),
    "data describe": Kind(
        ["data", "describe", "IN/audio", "--json", "OUT/o.json", "--out", "OUT/o.html"],
        lambda out: (without(json.loads((out / "o.json").read_text()), "provenance"), (out / "o.html").stat().st_size),
    ),
    "data check": Kind(["data", "check", "IN/audio"], lambda out: (out / "stdout.txt").read_text()),
    "data preview": Kind(["data", "preview", "--out", "OUT/p"], lambda out: contents(out / "p")),
    "study report": Kind(["study", "report", "OUT/study"], reported, ("study",), "study"),
    "figures": Kind(
        ["figures", "OUT/study", "--kinds", "svg,png"],
        lambda out: sorted(contents(out / "study" / "figures-paper")), ("study",), "study",
    ),
    "study add": Kind(
        ["study", "add", "OUT/study", "--seed", "1"],
        lambda out: contents(out / "study", "*.yaml"), ("study",), "study", "nothing to add",
    ),
    "study export": Kind(
        ["study", "export", "OUT/study", "OUT/t.csv"], lambda out: (out / "t.csv").read_bytes(), ("study",), "study"
    ),
    "audit": Kind(
        ["audit", "IN/audit.csv", "--rank", "rankme", "--y", "score", "--clusters", "config", "--json", "OUT/o.json",
         "--out", "OUT/o.html", "--plot", "OUT/o.png"],
        lambda out: (without(json.loads((out / "o.json").read_text()), "provenance"), sorted(contents(out, "*.*"))),
    ),
    "plan": Kind(
        ["plan", "IN/runs.csv", "--params", "1e7", "--hours", "1e3", "--y", "loss", "--clusters", "config", "--json",
         "OUT/o.json", "--out", "OUT/o.html"],
        lambda out: (without(json.loads((out / "o.json").read_text()), "versions"), sorted(contents(out, "*.*"))),
    ),
    "fit": Kind(
        ["fit", "IN/runs.csv", "--x", "params,hours", "--y", "loss", "--clusters", "config", "--form", "chinchilla",
         "--bootstrap", "4000", "--json", "OUT/o.json"],
        lambda out: without(json.loads((out / "o.json").read_text()), "provenance", "seconds"),
    ),
}  # fmt: skip


@contextlib.contextmanager
def dripping_server(base: Path) -> Iterator[None]:
    """Serves two files slowly, and whatever part of them is asked for; writes the recipe."""
    import hashlib
    import http.server

    files = {f"/{name}.bin": np.random.default_rng(i).bytes(300_000) for i, name in enumerate("ab")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            whole = files[self.path]
            asked = self.headers.get("Range", "")
            first = int(asked.removeprefix("bytes=").rstrip("-") or 0) if asked.startswith("bytes=") else 0
            self.send_response(206 if first else 200)
            self.send_header("ETag", '"1"')
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(whole) - 1}/{len(whole)}")
            self.send_header("Content-Length", str(len(whole) - first))
            self.end_headers()
            with contextlib.suppress(OSError):
                for start in range(first, len(whole), 20_000):
                    self.wfile.write(whole[start : min(start + 20_000, len(whole))])
                    time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    listed = [
        {"url": f"http://127.0.0.1:{server.server_port}{path}", "size": len(content), "unpack": False,
         "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"}
        for path, content in files.items()
    ]  # fmt: skip
    recipe = {"title": "Toy", "homepage": "h", "licence": "CC0", "citation": "c", "files": listed}
    (base / "recipes.yaml").write_text(json.dumps({"toy": recipe}))
    try:
        yield
    finally:
        server.shutdown()


def of_session(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                state, _, _, session = (place / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == leader and state != "Z":
                    found.append(int(place.name))
    return found


def start(kind: Kind, base: Path, out: Path) -> Command:
    places = {"IN": str(base), "OUT": str(out)}
    arguments = []
    for text in kind.arguments:
        head, slash, rest = text.partition("/")
        arguments.append(f"{places[head]}{slash}{rest}" if head in places else text)
    environment = os.environ | {"SONOSCALE_CACHE": str(out / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    return Command(*arguments, env=environment, session=True)


def hidden(folder: Path) -> list[str]:
    """Files and folders that only work under way may leave, besides the caches' own."""
    names = (file.relative_to(folder) for file in folder.rglob(".*"))
    return sorted(str(name) for name in names)


def prepare(need: str, base: Path, top: Path) -> None:
    """Make a run or a study among the inputs, unless it is there."""
    if (base / need).exists():
        return
    command = start(KINDS["pretrain" if need == "run" else "study run"], base, top)
    _, said = command.communicate(600)
    assert command.returncode == 0, said
    (file,) = top.glob("runs/*/record.json" if need == "run" else "study/ledger.parquet")
    shutil.copytree(file.parent, base / need)


def place_for(kind: Kind, base: Path, out: Path) -> None:
    """An empty folder, with a copy of what the command writes into."""
    out.mkdir()
    if kind.works_on:
        shutil.copytree(base / kind.works_on, out / kind.works_on)


def result_of(kind: Kind, out: Path, shown: str) -> Any:
    (out / "stdout.txt").write_text(shown.replace(str(out), "OUT"))
    return kind.result(out)


def first_difference(found: Any, right: Any, at: str = "") -> str:
    """Where two results differ first."""
    if isinstance(found, dict) and isinstance(right, dict):
        if set(found) != set(right):
            return f"{at}: only one has {sorted(set(found) ^ set(right))[:3]}"
        pairs: Any = [(f"{at}/{key}", found[key], right[key]) for key in found]
    elif isinstance(found, (list, tuple)) and isinstance(right, (list, tuple)) and len(found) == len(right):
        pairs = [(f"{at}/{i}", one, other) for i, (one, other) in enumerate(zip(found, right, strict=True))]
    else:
        return f"{at}: {repr(found)[:80]} for {repr(right)[:80]}"
    return next(first_difference(one, other, place) for place, one, other in pairs if one != other)


def killed(name: str, trials: int, seed: int = 0, base: Path | None = None) -> Tally:
    """Trials of one command, by SIGINT, SIGTERM and SIGKILL in turn."""
    kind, tally, rng = KINDS[name], Tally(), random.Random(f"{name} {seed}")
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if base is None:
            base = top / "in"
            inputs(base)
        stack.enter_context(dripping_server(base))
        for need in kind.needs:
            prepare(need, base, top / "first")
        place_for(kind, base, top / "whole")
        started = time.monotonic()
        command = start(kind, base, top / "whole")
        shown, said = command.communicate(300)
        assert command.returncode == 0, said
        took, right = time.monotonic() - started, result_of(kind, top / "whole", shown)
        allowed = hidden(top / "whole")
        for trial in range(trials):
            number = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[trial % 3]
            out = top / f"{trial}"
            place_for(kind, base, out)
            tally.trials += 1
            for _ in range(rng.choice([1, 1, 2])):
                command = start(kind, base, out)
                time.sleep(rng.uniform(0.05, 1.0) * took)
                if command.poll() is None:
                    command.send_signal(number)
                    tally.signals += 1
                else:  # the first, undisturbed one was slower
                    tally.ended_before += 1
                    took *= 0.7
                problem = ended(command, number)
                if problem and not (kind.done and kind.done in problem):
                    tally.failed.append(f"trial {trial}, {number.name}: {problem}")
            command = start(kind, base, out)
            shown, said = command.communicate(300)
            if command.returncode and not (kind.done and kind.done in said):
                tally.failed.append(f"trial {trial}, {number.name}: again: {said.strip()[-300:]}")
            elif (found := result_of(kind, out, shown)) != right:
                tally.failed.append(f"trial {trial}, {number.name}: another result: {first_difference(found, right)}")
            elif left := sorted(set(hidden(out)) - set(allowed)):
                tally.failed.append(f"trial {trial}, {number.name}: left {left[:3]}")
            shutil.rmtree(out, ignore_errors=True)
    return tally


def ended(command: Command, number: int) -> str:
    """What is wrong with how a command has ended; empty if nothing."""
    until = time.monotonic() + patience()
    while of_session(command.pid) and time.monotonic() < until:
        time.sleep(0.05)
    if left := of_session(command.pid):
        which = []
        for pid in left:
            with contextlib.suppress(OSError):
                said = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode()[-60:]
                which.append(f"{'the command' if pid == command.pid else said}")
                os.kill(pid, signal.SIGKILL)
        return f"{', '.join(which)}: {len(left)} process(es) run after {patience():.0f} s"
    _, said = command.communicate(120)  # it has ended; the process that forked it says so when it comes to it
    lines = said.strip().splitlines()
    status = command.returncode
    if status == 0 or (number == signal.SIGKILL and status == -number):
        return ""
    if status == -number and not said:  # before the command handles signals, or when it has done all
        return ""
    if status in (130, 143) and len([line for line in lines if line.startswith("error: ")]) == 1 and len(lines) <= 2:
        return ""
    return f"status {status}: {said.strip()[-300:]}"


def main() -> None:
    """Print the table of counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file to which the counts are added")
    parser.add_argument("commands", nargs="*")
    given = parser.parse_args()
    print(f"{'command':20} {'trials':>6} {'signals':>8} {'too late':>9} {'failed':>7}")
    with tempfile.TemporaryDirectory() as top:
        base = Path(top, "in")
        inputs(base)
        for name in given.commands or KINDS:
            t = killed(name, given.trials, given.seed, base)
            counts = f"{t.trials:6} {t.signals:8} {t.ended_before:9} {len(t.failed):7}"
            print(f"{name:20} {counts}", flush=True)
            if given.out:
                keep(given.out, "commands", name, {"seed": given.seed, **vars(t)})
            for line in t.failed[:8]:
                print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
