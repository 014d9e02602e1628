"""Commands with odd arguments, as they come from hands and scripts; `fuzz.py` runs them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_data import RECIPES, Attack, folder_of_audio
from fuzz_runs import RUN_TABLE, STUDY, a_study, trained
from sonoscale.errors import SonoscaleError, foreseen

COMMANDS = [
    "fit runs.csv --x params --y loss --form power --bootstrap 80",
    "fit runs.csv --x params,hours --y loss --clusters config --json o.json --at params=1e7,hours=10",
    "audit audit.csv --rank rankme --y score --clusters config --json o.json",
    "plan runs.csv --params 1e7 --hours 1e3 --y loss --bootstrap 80",
    "measure e.npy",
    "measure e.npy f.npy --all --json o.json",
    "measure logmel:8 audio --json o.json --save-embeddings o.npy",
    "probe logmel:8 --task audio/metadata.csv --no-baselines --cache cache --json o.json",
    "data describe audio --workers 1 --json o.json",
    "data check audio --workers 1",
    "data pack audio --out pack --workers 1",
    "data preview --out preview --clips 1",
    "data fetch --list --recipes recipes.yaml",
    "runs runs --json o.json",
    "pretrain run.yaml --dry-run --device cpu",
    "pretrain init new.yaml",
    "export run --to hear --out export",
    "tasks --suite hear",
    "study status study",
    "study verify study",
    "study quality study --json o.json",
    "study export study o.csv",
    "study add study --seed 7",
    "study retry study",
    "study clean study",
    "study plan study.yaml --no-calibrate --json o.json",
    "study init new.yaml --question width-data",
    "study schema run",
    "study import audit.csv imported --scores score",
]  # fmt: skip
"""Of a folder with all that they name."""

NUMBERS = ["-1", "0", "1", "2", "0.5", "-0.5", "1e-300", "1e308", "nan", "inf", "-inf", "9" * 25, "1_0", "٣", "0x10"]
TEXTS = [
    "", " ", ",", "=", ":", "a", "params", "loss", "x" * 5000, "\n", "\x1b[31m", "[/red]", "caf\udce9", "a=b=c", "é²",
    "none", "params>1e9", "params=", "=1", "params=nan", "../..", "hf:", "logmel:-1", "logmel:99999999", "onnx:gone",
    "*", "**/*", "[", "hear/esc50", "--", "all", "mean", "1,2,5",
]  # fmt: skip
FILES = [
    "gone", "gone/gone.json", "", " ", ".", "audio", "empty", "empty.csv", "empty.npy", "noise.csv", "noise.npy",
    "noise.yaml", "noise.json", "noise.parquet", "runs.csv", "e.npy", "run", "study", "x" * 300, "a\nb.json",
    "caf\udce9.json", "o.html", "o.png", "o.pdf", "o.json", "o.parquet", "o.txt", "run.yaml", "study.yaml",
]  # fmt: skip
"""Never above the folder of a case, as a command may be asked to write there."""
LEFT_ALONE = {
    "workers", "devices", "help", "executor", "watch", "logger", "cache", "device", "compile_", "calibrate",
}  # fmt: skip
"""Options that decide where, how, and with how many processes work is done, or how long the machine is measured."""


def everything(base: Path) -> Path:
    """A folder with all that the commands name."""
    whole, rng = base / "whole", np.random.default_rng(0)
    folder_of_audio(whole / "audio", 8)
    lines = [f"{i}.wav,{'ab'[i % 2]},{('train', 'valid', 'test', 'train')[i // 2]}" for i in range(8)]
    (whole / "audio" / "metadata.csv").write_text("\n".join(["path,label,split", *lines]))
    (whole / "runs.csv").write_text(RUN_TABLE)
    rows = [(n, s, 0.1 * n**0.3 + rng.normal() * 0.02) for n in np.geomspace(1e4, 1e7, 12).tolist() for s in (0, 1)]
    lines = [f"{n:.0f},{rank * 10:.6f},{rank + rng.normal() * 0.02:.6f},c{n:.0f},{s}" for n, s, rank in rows]
    (whole / "audit.csv").write_text("\n".join(["params,rankme,score,config,seed", *lines]) + "\n")
    for name in "ef":
        np.save(whole / f"{name}.npy", rng.standard_normal((200, 6)).astype(np.float32))
    (whole / "recipes.yaml").write_text(RECIPES)
    (whole / "study.yaml").write_text(STUDY)
    shutil.copytree(a_study(base), whole / "study")
    run = trained(base).folder
    shutil.copytree(run, whole / "run")
    shutil.copytree(run, whole / "runs" / run.name)
    shutil.copyfile(run / "config.yaml", whole / "run.yaml")
    for suffix in ("csv", "npy", "yaml", "json", "parquet"):
        (whole / f"noise.{suffix}").write_bytes(rng.bytes(300))
        (whole / f"empty.{suffix}").touch()
    (whole / "empty").mkdir()
    return whole


def parts(command: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command of the first words, and the words behind its name."""
    while hasattr(command, "commands") and words and (name := words[0]) in command.commands:
        command, words = command.commands[name], words[1:]
    return command.commands.get("run", command) if hasattr(command, "commands") else command, words


def odd(option: Any, rng: random.Random) -> str:
    kind = str(getattr(option, "type_descriptor", option))  # of the version of Typer
    if "Path" in kind:
        return rng.choice(FILES)
    usual = NUMBERS if "'int'" in kind or "'float'" in kind else TEXTS
    return rng.choice(usual if rng.random() < 0.8 else NUMBERS + TEXTS)


def changed(command: Any, words: list[str], rng: random.Random) -> list[str]:
    """Up to three arguments replaced, left out, given twice or added."""
    words = list(words)
    options = [one for one in command.params if one.param_type_name == "option" and one.name not in LEFT_ALONE]
    by_name = {name: one for one in options for name in one.opts}
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(words)) if words else 0
        before = words[at - 1] if words and at else ""
        kind = rng.randrange(5)
        if kind == 0 and words and before.lstrip("-") not in LEFT_ALONE:
            option = by_name.get(before)
            words[at] = odd(option, rng) if option is not None else rng.choice(FILES + TEXTS)
        elif kind == 1 and words and words[at].lstrip("-") not in LEFT_ALONE and before.lstrip("-") not in LEFT_ALONE:
            del words[at]
        elif options:
            option = rng.choice(options)
            words.append(rng.choice([*option.opts, *option.secondary_opts]))
            if not option.is_flag:
                words.append(odd(option, rng))
    return words


def commands(base: Path) -> Attack:
    """Any of the commands, with odd arguments; whatever it does, it must not be a traceback."""
    import typer

    from sonoscale.cli.main import app

    misused: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    whole, group = everything(base), typer.main.get_command(app)

    def attack(rng: random.Random, folder: Path, line: str | None = None) -> Callable[[], object]:
        place = folder / "here"
        shutil.copytree(whole, place)
        words = (line or rng.choice(COMMANDS)).split()
        command, rest = parts(group, words)
        named = words[: len(words) - len(rest)]
        if line is None:
            rest = changed(command, rest, rng)

        def read() -> None:
            before = Path.cwd()
            os.chdir(place)
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    group.main([*named, *rest], prog_name="sonoscale", standalone_mode=False)
            except typer.Exit:
                pass
            except misused as error:
                raise SonoscaleError(str(error)) from error
            except SonoscaleError:
                raise
            except Exception as error:
                if (said := foreseen(error)) is None:
                    raise type(error)(f"{json.dumps([*named, *rest])[:300]}: {error}") from error
                raise said from error
            finally:
                os.chdir(before)

        return read

    for number, line in enumerate(COMMANDS):  # all as they are, so that everything is imported
        try:
            attack(random.Random(0), base / "as they are" / str(number), line)()
        except SonoscaleError as error:
            raise AssertionError(f"sonoscale {line}: {error}") from error
    shutil.rmtree(base / "as they are")
    return attack
