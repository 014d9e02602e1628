"""From the ledgers of the study to FINDINGS.md: `python studies/unify/analyse.py`.

Reads `ledgers/*.parquet` beside this file, answers the registered questions by the registered rules, and writes
`FINDINGS.md`, `findings.json` and `figures/`. `--ledgers FOLDER` reads others, `--out FOLDER` writes elsewhere.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from answers import Answer, answers
from figures import TWINS, draw
from others import across_models, best_encoder
from table import STRATA, Table, load

from sonoscale.files import write_json, write_text
from sonoscale.provenance import provenance

HERE = Path(__file__).parent
COMMENTARY = HERE / "commentary.md"
"""What was written by hand, of the complete study."""
TITLES = {
    "H1": "Is there a power law of quality in rank over all runs?",
    "H2": "Is it one law, with the same exponent for each variable and domain?",
    "H3": "Does it hold for objectives, backbones and families that were left out?",
    "H4": "Does rank predict beyond parameters, data, compute and loss?",
    "H5": "How much of the variance of rank is between configurations?",
    "H6": "How early does rank predict the end?",
    "H7": "Which estimator, embedding, layer?",
    "H8": "Do laws fitted on the smaller compute predict the largest?",
    "H9": "Compute-optimal parameters and examples",
    "H10": "Would the planner have chosen well?",
    "H11": "Is the two-stage law better than the direct one?",
    "control": "What does audio without end change? (the control on synthesised audio)",
    "across models": "And encoders that others trained? (not registered)",
    "best": "The best encoder of the study, beside those of others (not registered)",
}
PLANNED = {"variables": 96, "compute": 6, "compute-mae": 2, "isoflop": 30, "procedural": 9}
"""Runs that were registered."""

README = HERE.parents[1] / "README.md"
CLAIM = ("<!-- findings, written by studies/unify/analyse.py -->", "<!-- end of findings -->")
"""Between these lines of the README stands what the study found."""

OF_SCORES = (
    "score", "reliability", "low", "high", "floor_logmel", "floor_untrained", "best", "gain", "weight",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ledgers", type=Path, default=HERE / "ledgers", help="folder of the ledgers")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of what is written")
    parser.add_argument("--seed", type=int, default=0, help="of resampling")
    options = parser.parse_args()
    started = time.perf_counter()
    ledgers = {name: options.ledgers / f"{name}.parquet" for name in STRATA}
    table = load(
        {name: path for name, path in ledgers.items() if path.is_file()}, options.ledgers / "layers.parquet",
        options.ledgers / "ranks-on-pool.parquet",
    )  # fmt: skip
    found = answers(table, options.seed)
    found["control"] = control(table)
    others = options.ledgers / "third-party.parquet"
    if others.is_file():
        found["across models"] = across_models(table, others, options.seed)
        found["best"] = best_encoder(table, others)
    pictures = draw(table, found, options.out / "figures")
    facts = provenance("numpy", "scipy", "pyarrow") | {"seed": options.seed}
    text = findings(table, found, pictures, facts)
    write_text(options.out / "FINDINGS.md", text)
    plain = {name: {"decided": a.decided, "said": a.said, "tables": a.tables} for name, a in found.items()}
    write_json(options.out / "findings.json", {"provenance": facts, "answers": plain})
    if options.out == HERE and is_complete(table):
        before, _, rest = README.read_text().partition(CLAIM[0])
        write_text(README, f"{before}{CLAIM[0]}\n{claim(table, found)}\n{CLAIM[1]}{rest.partition(CLAIM[1])[2]}")
    print(
        f"{len(table)} checkpoints of {len(set(table['run']))} runs -> {options.out / 'FINDINGS.md'} in "
        f"{time.perf_counter() - started:.0f} s"
    )


def is_complete(table: Table) -> bool:
    """Whether all registered runs are finished, or have failed: those are not replaced."""
    failed = [row["stratum"] for row in table.failed]
    return all(table.trained.get(name, 0) + failed.count(name) >= number for name, number in PLANNED.items())


def control(table: Table) -> Answer:
    """Quality and rank of the control, beside the same configurations on real audio."""
    rows: list[dict[str, Any]] = []
    for family, width in TWINS:
        for budget in (1e12, 4e12, 1.6e13):
            row: dict[str, Any] = {"family": family, "width": width, "operations": budget}
            for audio in ("real", "synthesised"):
                strata = ("procedural",) if audio == "synthesised" else ("variables", "isoflop")
                of = table.of(*strata)
                widths = np.isin(of["axis"], ("base", "encoder.width")) | (of["stratum"] == "isoflop")
                same = (of["family"] == family) & (of["width"] == width) & widths
                of = of.where(same & (np.abs(np.log(of["flops"].astype(float) / budget)) < 0.05))
                row[f"runs_{audio}"] = len(of)
                if len(of):
                    row[f"quality_{audio}"] = float(np.nanmean(of["quality"].astype(float)))
                    row[f"rank_{audio}"] = float(np.nanmean(of["rankme"].astype(float)))
            rows.append(row)
    both = [row for row in rows if row["runs_real"] and row["runs_synthesised"]]
    said = "Not answered: no run of the control has finished."
    if both:
        gap = [row["quality_synthesised"] - row["quality_real"] for row in both]
        said = (
            f"On synthesised audio, of which no run repeats much, quality is {min(gap):+.3f} to {max(gap):+.3f} from "
            f"that on the pool, at {len(both)} points; ranks are of the clips of the pool for both."
        )
    return Answer("control", said, "descriptive", {"Means over seeds": rows})


def claim(table: Table, found: dict[str, Answer]) -> str:
    """What the README says of it."""
    law = found["H1"].tables["The law over all runs"][0]
    within = found["H1"].tables["By family, and one exponent with a constant for each (exploratory)"][-1]
    one, same = found["H2"].tables["One law or many"]
    verdict = found["H4"].tables["Verdict of the audit"][0]["verdict"].replace("_", " ")
    lost = {row["chosen_by"]: row["lost"] for row in found["H10"].tables["Quality lost by each way to choose"]}
    luck = found["H10"].tables["Rank's loss less that of chance"][0]
    configs, runs = len(set(table["config"])), len(table.final())
    decided = {found[name].decided for name in ("H1", "H2")}
    unified = (
        "rank unifies"
        if decided == {"yes"}
        else "rank does not unify"
        if "no" in decided
        else "it is open if rank unifies"
    )
    words = (
        f"**What it found.** In [a study whose questions were registered first](studies/unify/FINDINGS.md), over "
        f"{runs} "
        f"encoders pre-trained on audio ({configs} configurations, {len(table)} checkpoints, "
        f"{table.spent['flops']:.2g} "
        f"operations), {unified} the variables of scaling. Over all of them quality goes as rank to the power "
        f"{law['exponent']:.3f} [{law['low']:.3f}, {law['high']:.3f}], and the audit calls rank as a proxy {verdict}; "
        f"with a constant for each objective the power is {within['exponent']:.3f} [{within['low']:.3f}, "
        f"{within['high']:.3f}]. One law misses {one['error_of_one']:.1%}, one with these constants "
        f"{same['error_of_one']:.1%}, one for each variable {one['error_of_each']:.1%}. To choose the largest rank "
        f"costs {lost['rank']:.3f} of quality, to choose at random {lost['chance']:.3f} (difference "
        f"{luck['difference']:+.3f} [{luck['low']:+.3f}, {luck['high']:+.3f}])."
    )
    return "\n".join(wrap(words, 120, break_long_words=False, break_on_hyphens=False))


def findings(table: Table, found: dict[str, Answer], pictures: dict[str, str], facts: dict[str, Any]) -> str:
    """The page."""
    runs = {name: table.trained.get(name, 0) for name in STRATA}
    complete = is_complete(table)
    lines = [
        "# Does rank unify the variables of audio scaling? Findings",
        "",
        "Written by `python studies/unify/analyse.py` from the ledgers in this folder, by the rules of "
        "[REGISTRATION.md](REGISTRATION.md); `python studies/unify/rerun.py DATA` trains everything again.",
        "",
        f"**{'Final' if complete else 'Interim'}**: {sum(runs.values())} of {sum(PLANNED.values())} registered runs "
        f"are finished and {len(table.failed)} have failed. {len(set(table['config']))} configurations, {len(table)} "
        f"checkpoints ({len(table.repeats)} more were trained a second time, in another stratum, and count once), "
        f"{table.spent['flops']:.2g} operations on the paths to the last checkpoints, "
        f"{table.spent['seconds'] / 3600:.1f} hours by the clocks of the runs, pauses of the machine included."
        + ("" if complete else " Nothing below is a result of the study before all are finished."),
        "",
        rows_table([{"stratum": name, "finished": runs[name], "registered": PLANNED[name]} for name in STRATA]),
        "",
        *(["Failed:", "", rows_table(table.failed), ""] if table.failed else []),
        "## Answers",
        "",
        rows_table([{"": name, "question": TITLES[name], "answer": a.decided} for name, a in found.items()]),
        "",
        *(COMMENTARY.read_text().splitlines() if complete and COMMENTARY.is_file() else []),
        "",
        "## What quality is",
        "",
        table.quality.headline,
        "",
        rows_table([{name: row[name] for name in OF_SCORES} for row in table.quality.rows()]),
    ]  # fmt: skip
    for name, answer in found.items():
        lines += ["", f"## {name}: {TITLES[name]}", "", f"**{answer.decided}.** {answer.said}"]
        if name in pictures:
            lines += ["", f"![{TITLES[name]}](figures/{pictures[name]})"]
        for title, rows in answer.tables.items():
            lines += ["", f"{title}:", "", rows_table(rows)]
    lines += [
        "",
        "## Made with",
        "",
        ", ".join(f"{key} {value}" for key, value in facts.items() if isinstance(value, (str, int, float))),
    ]
    return "\n".join(lines) + "\n"


def rows_table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not rows:
        return "(none)"
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}" if abs(value) >= 1e4 or (value and abs(value) < 1e-3) else f"{value:.4g}"
    return str(value).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    main()
