"""The figures: what they hold, that it is valid Vega-Lite, and that it is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from sonoscale.errors import SonoscaleError
from sonoscale.rank import SpectralSketch
from sonoscale.report import spectrum_figure, write_figure
from sonoscale.report._chart_evidence import frontier_figure
from sonoscale.report._chart_quality import alternatives_figure, curves_of, effects_figure, quality_figure
from sonoscale.report._chart_training import spectra_figure, trajectories_figure
from sonoscale.report._encoders import Encoders, encoders_of
from sonoscale.report._figure import Figure, draw, spec_of
from sonoscale.report._load import load_study
from sonoscale.report._model import StudyResults
from sonoscale.report._study_page import study_figures


@pytest.fixture(scope="module")
def results(whole_study: Path) -> StudyResults:
    return load_study(whole_study)


@pytest.fixture(scope="module")
def encoders(results: StudyResults) -> Encoders:
    return encoders_of(results)


@pytest.fixture(scope="module")
def figures(results: StudyResults) -> dict[str, Figure]:
    return study_figures(results, "no plan")


def grid_study(make_study: Callable[..., Path]) -> StudyResults:
    """A study in which several things vary at once: width, data and mask ratio."""
    results = load_study(make_study())
    points = tuple(replace(point, axis="several") for point in results.points)
    return replace(results, points=points)


def test_a_grid_is_coloured_by_what_explains_most_and_has_lines_for_another_variable(
    make_study: Callable[..., Path],
) -> None:
    results = load_study(make_study())
    points = tuple(replace(p, axis="base" if p.label == "base" else "several") for p in results.points)
    points = tuple(replace(p, axis="model.width") if p.label == "width=16" else p for p in points)  # as grids have it
    points = tuple(replace(p, values=dict(p.values) | {"params_head": p.get("width") % 40}) for p in points)
    grid = replace(results, points=points)
    found = encoders_of(grid)
    assert found.colour is not None
    design = [one for one in found.design if one.key != "axis"]
    assert found.colour.key == design[0].key
    assert "params_head" not in {one.key for one in design}
    (first, second, *_) = effects_figure(grid, found).panels
    for panel, other in ((first, design[1]), (second, design[0])):
        assert panel.chart is not None
        line = panel.chart.to_dict(validate=False)["layer"][0]
        assert line["encoding"]["color"]["field"] == other.key


def test_configurations_are_the_means_of_their_seeds_with_the_ends(results: StudyResults, encoders: Encoders) -> None:
    runs = [row for row in encoders.rows if row["of"] == "run"]
    configurations = [row for row in encoders.rows if row["of"] == "configuration"]
    assert (len(runs), len(configurations)) == (len(results.points), len(results.points) // 2)
    for row in configurations:
        seeds = [one for one in runs if (one["config"], one["step"]) == (row["config"], row["step"])]
        assert len(seeds) == row["n"] == 2
        values = [one["rankme"] for one in seeds]
        assert row["rankme"] == pytest.approx(np.mean(values), rel=1e-4)
        assert (row["rankme_low"], row["rankme_high"]) == (min(values), max(values))
        assert row["width"] == seeds[0]["width"]


def test_the_interval_of_a_single_seed_is_that_of_its_measurement(make_study: Callable[..., Path]) -> None:
    found = encoders_of(load_study(make_study(seeds=1)))
    row = found.configurations[0]
    assert row["rankme_low"] == pytest.approx(0.96 * row["rankme"], rel=1e-4)
    assert "quality_low" not in row


def test_variables_are_known_by_what_they_are(encoders: Encoders) -> None:
    roles = {one.key: one.role for one in encoders.variables.values()}
    assert roles["width"] == roles["mask_ratio"] == roles["axis"] == "design"
    assert (roles["flops"], roles["rankme"], roles["score_esc10"], roles["quality"]) == (
        "cost",
        "result",
        "score",
        "score",
    )
    assert "depth" not in roles  # the same in all
    assert encoders.variables["params"].log
    assert not encoders.variables["mask_ratio"].log
    assert {"width", "mask_ratio"} <= {one.key for one in encoders.design}
    assert not {"train_hours", "params"} & {one.key for one in encoders.design}  # of the clips, and of the width


def test_colour_shows_what_was_swept_or_what_explains_most(encoders: Encoders, make_study: Callable[..., Path]) -> None:
    assert encoders.colour is not None
    assert encoders.colour.key == "axis"
    several = encoders_of(grid_study(make_study))
    assert several.colour is not None
    assert several.colour.key == "width"
    assert several.explains("width") > several.explains("mask_ratio")


def test_columns_of_any_name_become_fields(make_study: Callable[..., Path]) -> None:
    results = load_study(make_study())
    point = replace(
        results.points[0], values=dict(results.points[0].values) | {"a.b[0]": 1.0, "a_b_0_": 2.0, "run": 3.0}
    )
    found = encoders_of(replace(results, points=(point, *results.points[1:])))
    row = next(row for row in found.rows if row["of"] == "run")
    assert row["run"] == point.run
    assert sorted(v for k, v in row.items() if k.startswith("a_b_0_")) == [1, 2]


def test_the_law_stands_beside_the_points_with_its_band(results: StudyResults) -> None:
    rows = [row for row in curves_of(results) if row["xname"] == "rankme"]
    assert [row["form"].split(":")[0] for row in rows if row["best"]] == ["saturating"] * 40
    assert all(("low" in row) == row["best"] for row in rows)
    assert all(row["low"] < row["y"] < row["high"] for row in rows if row["best"])


def test_alternatives_have_one_panel_each_and_say_their_correlation(results: StudyResults, encoders: Encoders) -> None:
    figure = alternatives_figure(results, encoders)
    assert [panel.title for panel in figure.panels] == [
        "RankMe (centred)",
        "encoder parameters",
        "hours of audio seen",
        "training FLOPs",
        "held-out loss",
    ]
    assert figure.panels[-1].subtitle == "Spearman −0.40 [−0.70, 0.03]"


def test_training_hours_stand_in_where_they_are_what_was_fitted(results: StudyResults, encoders: Encoders) -> None:
    found = {"train_hours": results.laws.correlations["hours_seen"]}
    changed = replace(results, laws=replace(results.laws, fits=(), correlations=found))
    titles = [panel.title for panel in alternatives_figure(changed, encoders).panels]
    assert "hours of training audio" in titles
    assert "hours of audio seen" not in titles


def test_what_was_varied_one_at_a_time_is_held_against_the_base_alone(
    results: StudyResults, encoders: Encoders, make_study: Callable[..., Path]
) -> None:
    alone = effects_figure(results, encoders)
    assert {panel.title for panel in alone.panels} == {"width", "training clips", "mask ratio"}
    assert "where nothing else differs from the base" in alone.caption
    assert '"oneOf": ["model.width", "base"]' in str(spec_of(alone.panels[0])).replace("'", '"')
    several = grid_study(make_study)
    every = effects_figure(several, encoders_of(several))
    assert every.panels[0].title == "width"
    assert every.panels[0].subtitle.endswith("% of the variance between configurations")


def test_the_frontier_is_the_best_of_each_budget(results: StudyResults, encoders: Encoders) -> None:
    rows = frontier_figure(results, encoders).data["frontier"]
    best = [row["quality"] for row in rows]
    assert best == sorted(best)
    for row in rows:
        within = [
            one["quality"] for one in encoders.rows if one["of"] == "configuration" and one["flops"] <= row["flops"]
        ]
        assert row["quality"] == max(within)


def test_trajectories_start_at_step_zero_and_branches_join_the_trunk(results: StudyResults, encoders: Encoders) -> None:
    rows = trajectories_figure(results, encoders).data["histories"]
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["of"] == "rankme":
            lines.setdefault(f"{row['run']} {row['phase']}", []).append((row["step"], row["value"]))
    trunks = {name.split()[0]: points for name, points in lines.items() if name.endswith("trunk")}
    assert len(trunks) == 16
    for name, points in lines.items():
        trunk = trunks[name.split()[0]]
        assert trunk[0][0] == 0
        if not name.endswith("trunk"):
            assert points[0] in trunk


def test_long_histories_are_thinned_to_their_ends(study: Path) -> None:
    path = sorted((study / "runs").iterdir())[0] / "metrics.parquet"
    rows = [{"step": step, "phase": "trunk", "loss": 1 / (step + 1)} for step in range(5000)]
    pq.write_table(pq.read_table(path).from_pylist(rows), path)
    results = load_study(study)
    drawn = trajectories_figure(results, encoders_of(results)).data["histories"]
    steps = [row["step"] for row in drawn if row["run"] == path.parent.name]
    assert (steps[0], steps[-1]) == (0, 4999)
    assert len(steps) < 300


def test_spectra_are_relative_to_their_largest_before_and_after(results: StudyResults, encoders: Encoders) -> None:
    rows = spectra_figure(results, encoders).data["spectra"]
    point = results.points[0]
    final = results.runs[point.run].spectrum(final=True, centred=False)
    assert final is not None
    mine = [row for row in rows if row["run"] == point.run and row["when"] == "after training" and not row["centred"]]
    np.testing.assert_allclose(
        [row["share"] for row in mine], [final[row["index"] - 1] / final[0] for row in mine], rtol=1e-3
    )
    assert {row["when"] for row in rows} == {"after training", "before training"}


def test_every_figure_is_valid_and_names_the_data_it_has(figures: Mapping[str, Figure]) -> None:
    def names(part: Any) -> set[str]:
        if isinstance(part, dict):
            here = {part["data"]["name"]} if isinstance(part.get("data"), dict) and "name" in part["data"] else set()
            return here | {name for value in part.values() for name in names(value)}
        return {name for value in part for name in names(value)} if isinstance(part, list) else set()

    drawn = {name: figure for name, figure in figures.items() if not figure.empty}
    assert set(drawn) == {"quality", "effects", "alternatives", "frontier", "tasks", "trajectories", "spectra"}
    for figure in drawn.values():
        for panel in figure.panels:
            spec = spec_of(panel, check=True)  # raises where it is not Vega-Lite
            assert names(spec) <= set(figure.data), figure.name
            assert spec["params"][0] == {"name": "picked", "value": None}


def test_what_cannot_be_drawn_says_why(figures: Mapping[str, Figure]) -> None:
    assert figures["audit"].empty
    assert figures["audit"].panels[0].note == "rank was not audited"
    assert figures["held_out"].empty


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_is_drawn_as_any_kind_of_file(figures: Mapping[str, Figure], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{suffix}"
    write_figure(figures["quality"], path, style="paper")
    head = path.read_bytes()[:200]
    assert head.startswith({".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}[suffix])
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_another_kind_of_file_is_refused(figures: Mapping[str, Figure], tmp_path: Path) -> None:
    with pytest.raises(SonoscaleError, match=r"\.png, \.svg or \.pdf, not '\.jpg'"):
        write_figure(figures["quality"], tmp_path / "f.jpg")


@pytest.mark.parametrize("label", ["$x^{", "a<b>&amp;", "%d {0} \\alpha", "datum.x'];alert(1)//"])
def test_any_label_is_drawn_and_none_becomes_markup(make_study: Callable[..., Path], label: str) -> None:
    results = load_study(make_study(label=lambda one: one + label))
    points = tuple(replace(p, axis=p.axis if p.axis == "base" else f"{p.axis}{label}") for p in results.points)
    results = replace(results, points=points, laws=replace(results.laws, fits=()))
    encoders = encoders_of(results)
    picture = draw(quality_figure(results, encoders), ".svg").decode()
    assert "<b>" not in picture
    image = imread(io.BytesIO(draw(effects_figure(results, encoders), ".png")))
    assert float(np.std(image[..., :3])) > 0.02


@pytest.fixture
def sketches() -> dict[str, SpectralSketch]:
    """One set of embeddings with an offset, and one that are all equal."""
    rows = np.random.default_rng(0).standard_normal((200, 6)) * np.arange(1, 7) ** -1.0 + 2.0
    made = {"a": SpectralSketch(6), "constant": SpectralSketch(6)}
    made["a"].update(rows)
    made["constant"].update(np.ones((200, 6)))
    return made


def test_lines_of_embeddings_are_shares_of_the_spectrum(sketches: dict[str, SpectralSketch]) -> None:
    rows = spectrum_figure(sketches).data["spectrum"]
    first = [row for row in rows if row["name"] == "a" and not row["centred"]]
    spectrum = sketches["a"].spectrum()
    np.testing.assert_allclose([row["share"] for row in first], spectrum / spectrum.sum(), rtol=1e-4)
    assert [row["index"] for row in first] == [1, 2, 3, 4, 5, 6]
    assert math.isclose(sum(row["share"] for row in rows if row["centred"]), 1.0, rel_tol=1e-4)
    assert [row["index"] for row in rows if row["name"] == "constant"] == [1]  # equal rows have one direction


def test_a_spectrum_is_written_as_png(sketches: dict[str, SpectralSketch], tmp_path: Path) -> None:
    write_figure(spectrum_figure(sketches), tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]


def test_families_that_vary_one_thing_each_have_panels_of_their_own_against_their_bases() -> None:
    from sonoscale.report._chart_quality import legend_of, one_at_a_time
    from sonoscale.report._encoders import Variable

    words = {"kind": "word", "role": "design", "log": False}
    axes = ["base", *(f"key{i}" for i in range(13))]
    rows = []
    for family, width in (("a", 64), ("b", 96)):
        for i, axis in enumerate(axes):
            rows.append({
                "of": "configuration", "final": True, "family": family, "axis": axis, "quality": 0.5 + 0.01 * i,
                "width": 2 * width if axis == "key0" else width, "rate": 3 if axis == "key1" else 1,
            })  # fmt: skip
    design = {
        "axis": Variable("axis", "axis", "swept variable", levels=14, **words),  # pyright: ignore[reportArgumentType]
        "family": Variable("family", "family", "family", levels=2, **words),  # pyright: ignore[reportArgumentType]
        "width": Variable("width", "width", "width", "number", "design", True, 4),
        "rate": Variable("rate", "rate", "rate", "number", "design", True, 2),
    }
    several = Encoders(rows, design)
    found = one_at_a_time(several)
    assert found["key0"] - {"axis"} == {"width"}
    assert found["key1"] - {"axis"} == {"rate"}
    assert several.colour is design["family"]
    assert "gradientLength" not in legend_of(several, design["axis"])["legend"].to_dict()
    assert one_at_a_time(Encoders([*rows, rows[0] | {"rate": 9}], design)) == {}  # two bases in one family
