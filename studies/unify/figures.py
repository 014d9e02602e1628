"""Figures of the findings, as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from answers import Answer
from table import Table

from sonoscale.files import make_folder, write_bytes, write_text

__all__ = ["draw"]

TWINS = (("contrast", 64), ("latent", 96), ("mae", 96))
"""Families and widths of the control on synthesised audio, which real audio has too."""
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
"""Of Okabe and Ito: distinguishable for colour-blind readers."""


def draw(table: Table, found: dict[str, Answer], folder: Path) -> dict[str, str]:
    """Write them; question -> file name of its picture."""
    make_folder(folder)
    charts = {
        "H1": scatter(table.final()), "H2": exponents(found["H2"]), "H3": bars_left_out(found["H3"]),
        "H4": by_family(table.of("variables").final()), "H5": replicates(table.of("variables").final()),
        "H6": early(found["H6"]), "H7": correlations(found["H7"]), "H8": compute(table), "H9": slices(table),
        "H10": lost(found["H10"]), "H11": routes(found["H11"]),
    }  # fmt: skip
    names = {}
    for question, chart in charts.items():
        if chart is None:
            continue
        spec = chart.configure_view(stroke=None).configure_axis(grid=False).to_json()
        write_text(folder / f"{question}.svg", vl_convert.vegalite_to_svg(spec))
        write_bytes(folder / f"{question}.png", vl_convert.vegalite_to_png(spec, scale=1.5))
        names[question] = f"{question}.png"
    return names


def _data(rows: list[dict[str, Any]]) -> alt.Data:
    plain = [{k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()} for row in rows]
    return alt.Data(values=plain)


def scatter(final: Table) -> Any:
    rows = [
        {"rank": r, "quality": q, "family": f, "varied": a}
        for r, q, f, a in zip(final["rankme"], final["quality"], final["family"], final["axis"], strict=True)
        if np.isfinite(q)
    ]
    return (
        alt.Chart(_data(rows), width=420, height=280)
        .mark_point(filled=True, size=45, opacity=0.8)
        .encode(
            x=alt.X("rank:Q", scale=alt.Scale(type="log", nice=False, padding=10), title="RankMe of the token mean"),
            y=alt.Y("quality:Q", scale=alt.Scale(zero=False, nice=False, padding=10), title="quality"),
            color=alt.Color("family:N", scale=alt.Scale(range=COLOURS)), shape="family:N",
        )
    )  # fmt: skip


def exponents(answer: Answer) -> Any:
    rows = [
        row
        for title in ("Exponent by variable", "Exponent by domain")
        for row in answer.tables.get(title, [])
        if "low" in row
    ]
    if not rows:
        return None
    order = [row["of"] for row in rows]
    clipped = [
        row | {"left": max(row["low"], -3.0), "right": min(row["high"], 3.0)}
        for row in rows
        if abs(row["exponent"]) < 3
    ]
    base = alt.Chart(_data(clipped), width=420).encode(y=alt.Y("of:N", sort=order, title=None))
    bar = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("left:Q", title="exponent of quality in rank, 95% interval"), x2="right:Q"
    )
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color="#888").encode(x="zero:Q")
    return zero + bar + base.mark_point(filled=True, size=45).encode(x="exponent:Q")


def bars_left_out(answer: Answer) -> Any:
    laws = ["rank", "params", "flops", "mean"]
    rows = [
        {"left_out": row["left_out"], "by": by, "error": row[by]}
        for row in _first(answer) for by in laws
    ]  # fmt: skip
    if not rows:
        return None
    return (
        alt.Chart(_data(rows), width=420)
        .mark_point(filled=True, size=60)
        .encode(
            y=alt.Y("left_out:N", title=None), x=alt.X("error:Q", title="RMS error of log quality, left-out family"),
            color=alt.Color("by:N", scale=alt.Scale(range=COLOURS), sort=laws, title="law of"),
            shape=alt.Shape("by:N", sort=laws, title="law of"),
        )
    )  # fmt: skip


def _first(answer: Answer) -> list[dict[str, Any]]:
    """The rows of its first table, if it has one."""
    return next(iter(answer.tables.values()), [])


def by_family(final: Table) -> Any:
    """Rank and quality, a panel for each family, in which sizes differ less."""
    rows = [
        {"rank": r, "quality": q, "family": f, "width": w}
        for r, q, f, w in zip(final["rankme"], final["quality"], final["family"], final["width"], strict=True)
        if np.isfinite(q)
    ]
    return (
        alt.Chart(_data(rows), width=190, height=200)
        .mark_point(filled=True, size=40, opacity=0.8)
        .encode(
            x=alt.X("rank:Q", scale=alt.Scale(type="log", nice=False, padding=8), title="RankMe of the token mean"),
            y=alt.Y("quality:Q", scale=alt.Scale(zero=False)),
            color=alt.Color("width:Q", scale=alt.Scale(type="log", scheme="viridis")),
        )
        .facet(column=alt.Column("family:N", title=None))
        .resolve_scale(x="independent")
    )  # fmt: skip


def replicates(final: Table) -> Any:
    """Rank of each seed of the configurations that have several."""
    sizes = {config: int(np.sum(final["config"] == config)) for config in set(final["config"])}
    rows = [
        {"rank": r, "of": f"{f}: {label}"}
        for r, c, f, label in zip(final["rankme"], final["config"], final["family"], final["label"], strict=True)
        if sizes[c] > 1
    ]
    if not rows:
        return None
    return (
        alt.Chart(_data(rows), width=420)
        .mark_point(filled=True, size=45, opacity=0.8)
        .encode(
            x=alt.X("rank:Q", scale=alt.Scale(type="log", nice=False, padding=8), title="RankMe, each seed"),
            y=alt.Y("of:N", title=None, axis=alt.Axis(labelLimit=320)),
        )
    )  # fmt: skip


def correlations(answer: Answer) -> Any:
    rows = [row for row in _first(answer) if row.get("all") == row.get("all")]
    if not rows:
        return None
    order = [row["of"] for row in rows]
    base = alt.Chart(_data(rows), width=420).encode(y=alt.Y("of:N", sort=order, title=None))
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="correlation with quality: over all with 95% interval (dot), within families (cross)"),
        x2="high:Q",
    )
    cross = base.mark_point(shape="cross", size=70, color=COLOURS[1]).encode(x="within:Q")
    return rule + base.mark_point(filled=True, size=60).encode(x="all:Q") + cross


def slices(table: Table) -> Any:
    """Quality against parameters, a line for each slice of equal compute."""
    part = table.of("isoflop", "variables")
    mine = set(table.of("isoflop")["config"])
    rows = []
    for budget in (1e12, 4e12, 1.6e13):
        here = part.where(np.isin(part["config"], list(mine)) & (np.abs(np.log(part["flops"] / budget)) < 0.05))
        rows += [
            {"params": p, "quality": q, "family": f, "operations": f"{budget:.2g}"}
            for p, q, f in zip(here["params"], here["quality"], here["family"], strict=True) if np.isfinite(q)
        ]  # fmt: skip
    if not rows:
        return None
    base = alt.Chart().encode(
        x=alt.X("params:Q", scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(format=".2s")),
        color=alt.Color("operations:N", scale=alt.Scale(range=COLOURS)),
    )
    points = base.mark_point(filled=True, size=45).encode(y=alt.Y("quality:Q", scale=alt.Scale(zero=False)))
    line = base.mark_line().encode(y=alt.Y("mean(quality):Q", scale=alt.Scale(zero=False), title="quality"))
    return alt.layer(line, points, data=_data(rows)).properties(width=250, height=220).facet(
        column=alt.Column("family:N", title=None)
    )  # fmt: skip


def routes(answer: Answer) -> Any:
    rows = [row for row in _first(answer) if row.get("loo_error") is not None]
    if not rows:
        return None
    return (
        alt.Chart(_data(rows), width=420)
        .mark_bar()
        .encode(
            y=alt.Y("route:N", title=None, axis=alt.Axis(labelLimit=320)),
            x=alt.X("loo_error:Q", title="error of quality, configurations left out"),
        )
    )


def early(answer: Answer) -> Any:
    rows = [row for row in _first(answer) if row["of"] == "quality"]
    if not rows:
        return None
    return (
        alt.Chart(_data(rows), width=420, height=240)
        .mark_line(point=True)
        .encode(
            x=alt.X("share_of_compute:Q", scale=alt.Scale(type="log"), axis=alt.Axis(format="%")).title("compute"),
            y=alt.Y("spearman:Q", title="correlation with the final quality"),
            color=alt.Color("predictor:N", scale=alt.Scale(range=COLOURS)), strokeDash="predictor:N",
        )
    )  # fmt: skip


def compute(table: Table) -> Any:
    """Quality and rank against compute, of the longest runs, and of the control on other audio with its real twins."""
    every = table.of("compute", "compute-mae", "procedural")
    twins = set(TWINS)
    part = table.where(
        np.isin(table["config"], list(set(every.of("compute", "compute-mae")["config"])))
        | (table["stratum"] == "procedural")
        | np.array([(f, w) in twins for f, w in zip(table["family"], table["width"], strict=True)])
        & ((table["stratum"] == "isoflop")
           | (table["stratum"] == "variables") & np.isin(table["axis"], ("base", "encoder.width")))
    )  # fmt: skip
    rows = [
        {
            "flops": f, "value": float(v), "of": name, "audio": "synthesised" if s == "procedural" else "real",
            "runs": f"{family}, width {width:g}",
        }
        for name, column in (("quality", "quality"), ("rank", "rankme"))
        for f, v, family, s, width in zip(
            part["flops"], part[column], part["family"], part["stratum"], part["width"], strict=True
        )
        if np.isfinite(v)
    ]  # fmt: skip
    if not rows or not len(every):
        return None
    return (
        alt.Chart(_data(rows), width=250, height=220)
        .mark_point(filled=True, size=45, opacity=0.8)
        .encode(
            x=alt.X(
                "flops:Q", scale=alt.Scale(type="log", nice=False, padding=10), title="operations",
                axis=alt.Axis(format=".0e", tickCount=4),
            ),
            y=alt.Y("value:Q", scale=alt.Scale(zero=False), title=None),
            color=alt.Color("runs:N", scale=alt.Scale(range=COLOURS)), shape="audio:N",
        )
        .facet(column=alt.Column("of:N", title=None))
        .resolve_scale(y="independent")
    )  # fmt: skip


def lost(answer: Answer) -> Any:
    rows = _first(answer)
    if not rows:
        return None
    order = [row["chosen_by"] for row in rows]
    base = alt.Chart(_data(rows), width=420).encode(y=alt.Y("chosen_by:N", sort=order, title=None))
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="quality lost against the best, 95% interval"), x2="high:Q"
    )
    return rule + base.mark_point(filled=True, size=60).encode(x="lost:Q")
