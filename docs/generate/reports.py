"""The gallery: reports of every kind, each with the command that makes it, from ledgers that are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LEDGERS = HERE / "gallery"
STUDIES = {
    "unify": "studies/unify/variables.yaml",
    "quickstart": "studies/quickstart.yaml",
    "objectives": "studies/gallery/objectives.yaml",
    "three-axes": "studies/gallery/three-axes.yaml",
}
"""Study -> its file."""


def ledger(name: str) -> Path:
    """Where the ledger of a study is kept."""
    if name == "unify":
        return HERE.parent / "studies" / "unify" / "ledgers" / "variables.parquet"
    return LEDGERS / f"{name}.parquet"


@dataclass(frozen=True)
class Report:
    """One report of the gallery.

    Attributes:
        name: of its picture and page.
        title: the heading.
        text: what a reader finds in it.
        shown: commands that make it from nothing, as the gallery shows them.
        commands: those that make the page where the study has run.
        page: where they write it.
    """

    name: str
    title: str
    text: str
    shown: tuple[str, ...]
    commands: tuple[str, ...]
    page: str


def _study(name: str, title: str, text: str, options: str = "") -> Report:
    run = f"sonoscale study run {STUDIES[name]}{options}"
    return Report(name, title, text, (run,), (f"sonoscale study report results/{name}",), f"results/{name}/report.html")


def _made(name: str, title: str, text: str, *commands: str) -> Report:
    return Report(name, title, text, commands, commands, f"{name}.html")


ALL = (
    _study(
        "unify",
        "Does rank unify the variables of audio scaling?",
        "The largest study in this repository: three objectives, each varied one variable at a time, on real audio. "
        "[Its questions](../studies/unify/REGISTRATION.md) were registered first; [its "
        "findings](../studies/unify/FINDINGS.md) answer them.",
        " --set data.root=FOLDER --out results/unify",
    ),
    _study(
        "quickstart",
        "A study, one variable at a time",
        "Width, depth, mask ratio and data volume around a base configuration. The answers stand first; every chart "
        "and table below them shows the same runs, and a click selects a run in all of them.",
    ),
    _study(
        "objectives",
        "A grid of objectives and backbones",
        "Every combination of three objectives and two backbones. *What moves quality* has a panel for each variable, "
        "in the order of the variance that it explains, with a line for each value of another.",
    ),
    _study(
        "three-axes",
        "A grid of three axes",
        "Width, depth and data volume, every combination. x, y, colour and panels of the first chart can be any "
        "variable; the planner has a slider for each.",
    ),
    _made(
        "compare",
        "Studies compared",
        "Several studies on the tasks that they share, one colour for each.",
        "sonoscale study report results/objectives results/three-axes --out compare.html",
    ),
    _made(
        "fit",
        "A fitted law",
        "The law with its interval, what it predicted of the held-out rows, and how it compares with other forms. Any "
        "table of runs does; here it is a ledger.",
        "sonoscale fit results/three-axes --x params --y quality --held-out 'params>1e4' --out fit.html",
    ),
    _made(
        "audit",
        "An audit of rank",
        "The verdict, check by check, and how many configurations would settle what is open.",
        "sonoscale audit results/three-axes --rank rankme --y quality --out audit.html",
    ),
    _made(
        "plan",
        "A plan",
        "What to train next for a budget, with sliders.",
        "sonoscale plan results/three-axes --flops 1e12 --y quality --out plan.html",
    ),
    _made(
        "measure",
        "Ranks that were measured",
        "Two encoders on the same clips: ranks with intervals, differences, spectra, and the rank against the number "
        "of clips.",
        "sonoscale data preview --out clips --clips 120",
        "sonoscale measure logmel:64 clips --compare logmel:16 --out measure.html",
    ),
)


def reports() -> list[Report]:
    """Those that can be made: of a study that has run, and so has a ledger."""
    return [one for one in ALL if one.name not in STUDIES or ledger(one.name).is_file()]


def face() -> str:
    """The report that the README shows."""
    return next(name for name in STUDIES if ledger(name).is_file())


def make_pages(folder: Path, names: Sequence[str] = (), said: Callable[[str], object] = lambda line: None) -> None:
    """Run the commands of the reports in a folder.

    Arguments:
        folder: the studies are in `results/` in it; of one that is not, the ledger is put there.
        names: of reports; none: all.
        said: is called with each command.

    Raises:
        RuntimeError: a command fails; the message has what it printed.
    """
    for name in STUDIES:
        place = folder / "results" / name / "ledger.parquet"
        if not place.is_file() and ledger(name).is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ledger(name), place)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])}
    env.setdefault("OMP_NUM_THREADS", "1")  # as many processes as cores

    def make(report: Report) -> None:
        for command in report.commands:
            said(command)
            words = command.replace("sonoscale ", f"{sys.executable} -m sonoscale ", 1)
            done = subprocess.run(
                ["bash", "-c", words], cwd=folder, env=env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, [report for report in reports() if not names or report.name in names]))


def gallery() -> str:
    """The page of the gallery in Markdown: the reports that have a picture."""
    parts = [
        "# Gallery\n",
        "*Written by `make picture`, which takes the pictures in Chromium. When the site is built, each page is made "
        "too, from kept ledgers alone, which is why those have no training curves.*\n",
    ]
    for report in reports():
        if not (LEDGERS / f"{report.name}.png").is_file():
            continue
        parts += [
            f"## {report.title}\n",
            report.text + "\n",
            "```text\n" + "\n".join(report.shown) + "\n```\n",
            f"![The first screen of this report](gallery/{report.name}.png)\n",
            f"<!-- page {report.name} -->\n",
        ]
    return "\n".join(parts)
