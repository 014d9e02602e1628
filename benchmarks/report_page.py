"""How large are pages, and how soon are they drawn? `python benchmarks/report_page.py`

Makes up studies of 20, 100, 500 and 2,000 runs (two seeds and two budgets each, with histories and spectra), writes
their pages, and opens each three times in headless Chromium with an empty cache. Prints a table and writes it into
`docs/report-page.md`, below its heading "Sizes and times".
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from sonoscale.provenance import provenance
from sonoscale.report._encoders import encoders_of
from sonoscale.report._html import page_html
from sonoscale.report._model import Curve, Fit, Interval, Laws, Point, Run, StudyResults, Trajectory
from sonoscale.report._study_page import study_page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from browser import BROWSER, browse  # noqa: E402

SIZES, TRIES, BUDGETS, SEEDS = (20, 100, 500, 2000), 3, (1000, 4000), 2
TASKS = ("speech", "music", "environment", "speakers")
DOCUMENT, HEADING = ROOT / "docs" / "report-page.md", "## Sizes and times"


def made_up(runs: int) -> StudyResults:
    """A study of so many runs: three variables of the design, a law of quality in rank."""
    rng = np.random.default_rng(0)
    points, histories = [], {}
    for index in range(runs):
        config = index // SEEDS
        width, depth = (16, 24, 48, 96, 192)[config % 5], (2, 4, 8)[config // 5 % 3]
        mask = (0.5, 0.6, 0.75, 0.9)[config // 15 % 4]
        rank = 4.0 * width**0.5 * depth**0.1 * (1.0 - 0.3 * abs(mask - 0.75))
        name = f"{index:012x}"
        for step in BUDGETS:
            measured = rank * (step / BUDGETS[-1]) ** 0.2 * float(np.exp(0.05 * rng.standard_normal()))
            scores = {task: 0.3 + 0.1 * np.log(measured) + 0.02 * float(rng.standard_normal()) for task in TASKS}
            params = 12.0 * depth * width**2
            values = {
                "width": width,
                "depth": depth,
                "mask_ratio": mask,
                "params": params,
                "flops": 6.0 * params * step * 64,
                "hours_seen": step * 64 / 1800,
                "loss": 0.9 - 0.05 * np.log(measured),
                "rankme": measured,
                "rankme_low": 0.97 * measured,
                "rankme_high": 1.03 * measured,
                "rankme_centred": 1.2 * measured,
                "rankme_centred_low": 1.15 * measured,
                "rankme_centred_high": 1.25 * measured,
                "dim": width,
                "rank_n": 1024,
            }
            points.append(
                Point(
                    name,
                    f"{config:012x}",
                    f"width={width}, depth={depth}, mask={mask}, no. {config}",
                    "several",
                    index % SEEDS,
                    step,
                    step == BUDGETS[-1],
                    {key: float(value) for key, value in values.items()},
                    scores,
                    float(np.mean(list(scores.values()))),
                )
            )
        steps = np.linspace(0, BUDGETS[-1], 200)
        columns = {
            "step": steps,
            "loss": 0.5 + np.exp(-steps / 800),
            "rankme": rank * (0.5 + 0.5 * steps / BUDGETS[-1]),
        }
        spectra = {
            f"step_{step}{suffix}": np.arange(1.0, width + 1) ** -1.0
            for step in (0, BUDGETS[-1])
            for suffix in ("", "_centred")
        }
        histories[name] = Run(name, (Trajectory("trunk", columns), Trajectory("branch-1000", columns)), spectra)
    x = np.geomspace(5, 80, 60)
    curve = Curve(
        *(
            tuple(values.tolist())
            for values in (x, 0.3 + 0.1 * np.log(x), 0.25 + 0.1 * np.log(x), 0.35 + 0.1 * np.log(x))
        )
    )
    law = Fit(
        "rankme",
        "quality",
        "power",
        "y = a x^b",
        {"b": Interval(0.2, 0.1, 0.3)},
        "b",
        0.02,
        0.8,
        -100.0,
        0.02,
        runs,
        runs // SEEDS,
        (),
        curve,
    )
    laws = Laws(
        "quality", "", (law,), {"rankme": Interval(0.9, 0.8, 0.95)}, (), {"rankme": "power"}, {}, {"quality": 0.01}, ()
    )
    return StudyResults(
        Path("made-up"),
        f"{runs} runs",
        "",
        {"command": "sonoscale study run made-up.yaml"},
        tuple(points),
        TASKS,
        dict.fromkeys(TASKS, 0.1),
        dict.fromkeys(TASKS, "accuracy"),
        laws,
        histories,
    )


def main() -> None:
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for runs in SIZES:
            results = made_up(runs)
            start = time.process_time()
            page = Path(folder, f"{runs}.html")
            page.write_text(page_html(study_page(results, "nothing is planned for made-up runs")), encoding="utf-8")
            seconds = time.process_time() - start
            first, drawn = [], []
            for number in range(TRIES):
                with browse(Path(folder, f"profile-{runs}-{number}")) as tab:
                    tab.open(page)
                    tab.wait("document.querySelector('#quality-0').dataset.drawn")
                    drawn.append(tab.run("performance.now()"))
                    first.append(tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            rows.append(
                (
                    runs,
                    len(encoders_of(results).rows),
                    page.stat().st_size / 1e6,
                    statistics.median(first) / 1e3,
                    statistics.median(drawn) / 1e3,
                    seconds,
                )
            )
            console.print(rows[-1])
    about = provenance("altair", "vl-convert-python")
    lines = [
        HEADING,
        "",
        "*Written by `python benchmarks/report_page.py`: made-up studies, headless Chromium, median of three.*",
        "",
        "| runs | rows | page, MB | first paint, s | first chart drawn, s | written in, CPU s |",
        "|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {runs:,} | {count:,} | {size:.2f} | {first:.2f} | {drawn:.2f} | {seconds:.1f} |"
            for runs, count, size, first, drawn, seconds in rows
        ),
        "",
        f"{about['cpu']}, {about['cores']} cores, {about['platform']}; altair {about.get('altair')}, vl-convert "
        f"{about.get('vl-convert-python')}, {Path(str(BROWSER)).name}.",
        "",
    ]
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(text[: text.index(HEADING)] + "\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
