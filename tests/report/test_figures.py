"""The figures as data, and that both renderers draw exactly that data."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from sonoscale.report._figures_law import alternatives_figure, law_figure, tasks_figure
from sonoscale.report._figures_runs import spectra_figure, trajectories_figure
from sonoscale.report._load import load_study
from sonoscale.report._matplotlib import figure_png
from sonoscale.report._model import StudyResults
from sonoscale.report._plotly import panel_json
from sonoscale.report._spec import INK, Axis, FigureSpec, Key, Panel, Series, log_ticks


@pytest.fixture(scope="module")
def results(whole_study: Path) -> StudyResults:
    return load_study(whole_study)


def every_series(figure: FigureSpec) -> list[Series]:
    return [series for panel in figure.panels for series in panel.series]


def test_the_law_shows_every_point_once_with_its_law_and_band(results: StudyResults) -> None:
    figure = law_figure(results)
    points = [s for s in figure.panels[0].series if s.kind == "points"]
    drawn = sorted((x, y) for series in points for x, y in zip(series.x, series.y, strict=True))
    assert drawn == sorted((point.get("rankme"), point.quality) for point in results.points)
    lines = [s for s in figure.panels[0].series if s.kind == "line"]
    assert [(s.label.split(":")[0], s.dash) for s in lines] == [("saturating", "solid"), ("power", "dash")]
    assert [s.kind for s in figure.panels[0].series].count("band") == 1


def test_colour_tells_the_swept_variable_symbol_the_seed_and_filling_the_budget(
    results: StudyResults,
) -> None:
    points = [s for s in every_series(law_figure(results)) if s.kind == "points"]
    by_axis = {s.groups[0]: s.colour for s in points}
    assert by_axis["axis:base"] == INK
    assert len(set(by_axis.values())) == len(by_axis) == 4
    for series in points:
        assert series.colour == by_axis[series.groups[0]]
        assert series.symbol == int(series.groups[1].removeprefix("seed:"))
        assert series.filled == ("final" in series.groups)
        assert all("seed" in text and "RankMe" in text for text in series.hover)


def test_every_series_has_a_key_in_a_legend(results: StudyResults) -> None:
    figures = [law_figure(results), alternatives_figure(results), tasks_figure(results)]
    figures += [trajectories_figure(results, column) for column in ("rankme", "loss")]
    figures += [spectra_figure(results, centred=centred) for centred in (False, True)]
    for figure in figures:
        for panel in figure.panels:
            known = {key.group for key in (*figure.legend, *panel.legend)}
            for series in panel.series:
                assert set(series.groups) <= known, (figure.name, series.label)


def test_alternatives_have_one_panel_each_and_say_their_correlation(results: StudyResults) -> None:
    figure = alternatives_figure(results)
    titles = [panel.title for panel in figure.panels]
    assert titles == [
        "RankMe (centred)",
        "encoder parameters",
        "hours of audio seen",
        "training FLOPs",
        "held-out loss",
    ]
    assert figure.panels[-1].subtitle == "Spearman −0.40 [−0.70, 0.03]"
    assert [panel.x.log for panel in figure.panels] == [False, True, True, True, False]


def test_training_hours_stand_in_where_they_are_what_was_fitted(results: StudyResults) -> None:
    found = {"train_hours": results.laws.correlations["hours_seen"]}
    changed = replace(results, laws=replace(results.laws, fits=(), correlations=found))
    titles = [panel.title for panel in alternatives_figure(changed).panels]
    assert "hours of training audio" in titles
    assert "hours of audio seen" not in titles


def test_without_a_fit_the_points_stay(results: StudyResults) -> None:
    bare = replace(results, laws=replace(results.laws, fits=()))
    figure = law_figure(bare)
    assert {series.kind for series in every_series(figure)} == {"points"}
    assert "No law was fitted" in figure.caption


def test_trajectories_start_at_step_zero_and_branches_join_the_trunk(results: StudyResults) -> None:
    figure = trajectories_figure(results, "rankme")
    assert [panel.title for panel in figure.panels] == ["data.clips", "mask.ratio", "model.width"]
    for panel in figure.panels:
        assert panel.legend[0].label == "base"
        trunks = {s.label.rsplit(",", 1)[0]: s for s in panel.series if s.label.endswith("trunk")}
        for series in panel.series:
            trunk = trunks[series.label.rsplit(",", 1)[0]]
            assert trunk.x[0] == 0
            if series is not trunk:
                assert (series.x[0], series.y[0]) in zip(trunk.x, trunk.y, strict=True)
                assert series.dash == "dash"
    widths = [key.label for key in figure.panels[-1].legend]
    assert widths == ["base", "width=16", "width=96", "width=128"]


def test_long_histories_are_thinned_to_their_ends(study: Path) -> None:
    path = sorted((study / "runs").iterdir())[0] / "metrics.parquet"
    rows = [{"step": step, "phase": "trunk", "loss": 1 / (step + 1)} for step in range(5000)]
    pq.write_table(pq.read_table(path).from_pylist(rows), path)
    lines = every_series(trajectories_figure(load_study(study), "loss"))
    longest = max(lines, key=lambda series: series.x[-1])
    assert (longest.x[0], longest.x[-1]) == (0, 4999)
    assert len(longest.x) < 300


def test_spectra_are_relative_to_their_largest_before_and_after(results: StudyResults) -> None:
    figure = spectra_figure(results, centred=False)
    for series in every_series(figure):
        assert series.y[0] == 1.0
        assert series.x[0] == 1.0
        assert np.all(np.diff(series.y) < 0)
    run = results.runs[results.points[0].run]
    final = run.spectrum(final=True, centred=False)
    assert final is not None
    base = next(s for s in figure.panels[0].series if s.label == "base, seed 0, after training")
    np.testing.assert_allclose(base.y, final / final[0])


def test_plotly_draws_the_specification_and_nothing_else(results: StudyResults) -> None:
    panel = law_figure(results).panels[0]
    drawn = json.loads(panel_json(panel, "alt"))
    assert len(drawn["data"]) == len(panel.series)
    for trace, series in zip(drawn["data"], panel.series, strict=True):
        assert trace["meta"]["groups"] == list(series.groups)
        if series.kind == "points":
            np.testing.assert_allclose(trace["x"], series.x, rtol=1e-5)
            np.testing.assert_allclose(trace["y"], series.y, rtol=1e-5)
            highs = np.add(trace["error_x"]["array"], trace["x"])
            np.testing.assert_allclose(highs, series.x_high, rtol=1e-5)
    assert drawn["layout"]["xaxis"]["title"]["text"] == "RankMe"


def test_plotly_reads_no_markup_from_data() -> None:
    label = "</script><b>&amp;$x_1$%{x}"
    series = Series("points", label, (1.0, math.nan), (1.0, 2.0), hover=(label, "two\nlines"), groups=(label,))
    text = panel_json(Panel(label, Axis(label), Axis(label), (series,)), label)
    assert "<" not in text
    trace = json.loads(text)["data"][0]
    assert trace["text"] == ["&lt;/script&gt;&lt;b&gt;&amp;amp;$x_1$%{x}", "two<br>lines"]
    assert trace["x"] == [1.0, None]


@pytest.mark.parametrize("label", ["plain", "_hidden", "$x^{", "a<b", "%d {0} \\alpha"])
def test_matplotlib_draws_any_label_large_and_not_blank(label: str) -> None:
    line = Series("line", label, (1.0, 10.0, 100.0), (1.0, 2.0, 3.0))
    panel = Panel(label, Axis(label, log=True), Axis(label), (line,), (Key("g", label, "line"),), subtitle=label)
    empty = Panel(label, Axis(label), Axis(label), (), note=label)
    figure = FigureSpec("name", label, "", "", (panel, empty), (Key("g", label, "band"),), columns=2)
    image = imread(io.BytesIO(figure_png(figure)))
    assert image.shape[0] > 450
    assert image.shape[1] > 1000
    assert float(np.std(image[..., :3])) > 0.02


@pytest.mark.parametrize(
    ("axis", "values", "labels"),
    [
        (Axis("", log=True, ticks="si"), [15e3, 9e5], ["20k", "50k", "100k", "200k", "500k", "1M"]),
        (Axis("", log=True), [1, 48], ["1", "2", "5", "10", "20", "50"]),
        (Axis("", log=True, ticks="power"), [3e11, 4e12], ["3×10¹¹", "10¹²", "3×10¹²"]),
        (Axis("", log=True, ticks="power"), [1e-3, 1.0, 0.0, math.nan], ["10⁻³", "10⁻²", "10⁻¹", "10⁰"]),
        (Axis("", log=True), [], []),
    ],
)
def test_ticks_of_logarithmic_axes(axis: Axis, values: list[float], labels: list[str]) -> None:
    assert [text for _, text in log_ticks(axis, values)] == labels
