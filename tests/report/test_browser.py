"""The pages in a real browser, without a network: what is drawn, selected, sorted, filtered, copied and planned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from browser import BROWSER, Tab, browse
from sonoscale.errors import SonoscaleError
from sonoscale.laws.plan import Designed, plan_allocation
from sonoscale.laws.plan import plan as make_plan
from sonoscale.measure import Measured, Measurement
from sonoscale.rank import SpectralSketch, measure_all, rankme
from sonoscale.report import Report, write_measurement_page
from sonoscale.report._html import Page, Section, page_html
from sonoscale.report._load import load_study
from sonoscale.report._planned import plan_study
from sonoscale.report._planner import planner_data, planner_figure
from sonoscale.report._study_page import study_page

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on PATH")

CHARTS = "Array.from(document.querySelectorAll('.chart'), (one) => one.id)"
OPAQUE = """(() => {
  const view = views.get(document.getElementById('NAME')).view, found = {};
  const walk = (item) => {
    if (item.items) item.items.forEach(walk);
    if (item.datum && item.datum.of === 'configuration' && item.mark.marktype === 'symbol' && item.mark.role === 'mark')
      found[item.datum.config] = Math.max(found[item.datum.config] || 0, item.opacity);
  };
  walk(view.scenegraph().root);
  return found;
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browse(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(tab: Tab, written: Report) -> Iterator[Tab]:
    """The page of the study, open and drawn; when a test ends it must have complained of nothing and asked nobody."""
    tab.errors.clear()
    tab.requests.clear()
    tab.open(written.page)
    tab.show("#quality-0")
    yield tab
    assert tab.errors == []
    assert [one for one in tab.requests if not one.startswith(("file:", "data:", "blob:"))] == []


def picked(tab: Tab) -> set[str]:
    return set(tab.run("Array.from(selection.runs)"))


def point(tab: Tab, chart: str, index: int = 0) -> tuple[float, float, dict[str, Any]]:
    """Where a configuration is drawn in the window, and its row."""
    found = tab.run(
        f"""(() => {{
          const element = document.getElementById({chart!r}), view = views.get(element).view, marks = [];
          const walk = (item, x, y) => {{
            if (item.items) item.items.forEach((one) => walk(one, x + (item.x || 0), y + (item.y || 0)));
            else if (item.datum && item.datum.of === 'configuration' && item.datum.final
              && item.mark.marktype === 'symbol'
              && item.mark.role === 'mark') marks.push([x + item.x, y + item.y, item.datum.config]);
          }};
          walk(view.scenegraph().root, view.origin()[0] + view.padding().left, view.origin()[1] + view.padding().top);
          const box = element.querySelector('svg, canvas').getBoundingClientRect(), mark = marks[{index}];
          return [box.x + mark[0], box.y + mark[1], mark[2]];
        }})()"""
    )
    return found[0], found[1], found[2]


def test_every_chart_is_drawn_in_both_themes_and_widths(tab: Tab, written: Report) -> None:
    for width, dark in ((1200, False), (1200, True), (400, False), (400, True)):
        tab.errors.clear()
        tab.open(written.page, width=width, dark=dark)
        names = tab.run(CHARTS)
        assert len(names) == 16
        for name in names:
            tab.show(f"#{name}")
            marks = tab.run(
                f"document.querySelectorAll('#{name} svg .mark-symbol path, #{name} svg .mark-line path, "
                f"#{name} svg .mark-rule line').length"
            )
            assert marks >= 3, (name, width, dark)
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.errors == []
        ink = tab.run("getComputedStyle(document.querySelector('#quality-0 svg .role-axis-title text')).fill")
        assert ink == ("rgb(230, 234, 238)" if dark else "rgb(29, 39, 51)")


def test_the_first_screen_answers_before_anything_is_scrolled(page: Tab) -> None:
    leads = page.run(
        "Array.from(document.querySelectorAll('.answer .lead'), (one) => one.getBoundingClientRect().bottom)"
    )
    assert len(leads) == 4
    assert max(leads) < 900
    assert page.run("document.getElementById('quality-0').getBoundingClientRect().top") < 450


def test_a_click_on_a_point_selects_its_runs_in_every_chart_and_table(page: Tab) -> None:
    x, y, config = point(page, "quality-0", 3)
    page.click(x, y)
    page.wait("selection.runs.size > 0")
    assert picked(page) == set(page.run(f"Array.from(runsOf.get('{config}'))"))
    for chart in ("quality-0", "alternatives-1"):
        page.show(f"#{chart}")
        opacity = page.run(OPAQUE.replace("NAME", chart))
        assert opacity.pop(config) > 0.9
        assert set(opacity.values()) == {0.1}, chart
    assert page.run("document.querySelectorAll('#runs tr[aria-selected=true]').length") == 4  # two seeds, two budgets
    assert page.run("document.getElementById('selected-count').textContent") == "2 runs of 1 configuration"
    page.key("Escape")
    assert picked(page) == set()


def test_a_click_with_shift_adds_and_takes_away(page: Tab) -> None:
    for index in (1, 2):
        x, y, _ = point(page, "quality-0", index)
        page.click(x, y, shift=True)
    page.wait("selection.runs.size === 4")
    page.click(x, y, shift=True)
    page.wait("selection.runs.size === 2")


def test_a_brush_selects_what_lies_inside(page: Tab) -> None:
    x, y, config = point(page, "quality-0", 5)
    page.drag((x - 14, y - 14), (x + 14, y + 14))
    page.wait("selection.runs.size > 0")
    inside = page.run("Array.from(selection.runs, (run) => aboutRun.get(run).config)")
    assert config in inside
    assert len(set(inside)) < 8


def test_a_row_of_a_table_selects_with_mouse_and_keyboard(page: Tab) -> None:
    page.show("#runs tbody tr")
    page.click(*page.at("#runs tbody tr", 2))
    assert picked(page) == {page.run("document.querySelectorAll('#runs tbody tr')[2].dataset.run")}
    page.run("document.querySelectorAll('#runs tbody tr')[9].focus()")
    page.key("Enter")
    assert picked(page) == {page.run("document.querySelectorAll('#runs tbody tr')[9].dataset.run")}


def test_tables_sort_filter_and_show_the_selected(page: Tab) -> None:
    rows = "Array.from(document.querySelectorAll('#runs tbody tr'), (one) => one.children[0].textContent)"
    quality = """Array.from(document.querySelectorAll('#runs tbody tr'), (row) => Number(row.children[
      Array.from(document.querySelectorAll('#runs thead th')).findIndex((one) => one.textContent === 'quality')]
      .textContent))"""
    head = "Array.from(document.querySelectorAll('#runs thead button')).find((one) => one.textContent === 'quality')"
    unsorted = page.run(quality)
    page.run(f"{head}.click()")
    falling = page.run(quality)
    assert falling == sorted(unsorted, reverse=True) != unsorted
    assert page.run(f"{head}.closest('th').getAttribute('aria-sort')") == "descending"
    page.run(f"{head}.click()")
    assert page.run(quality) == falling[::-1]
    page.run(
        "(() => { const box = document.querySelector('#runs input[type=search]'); box.value = 'WIDTH=9';"
        "box.dispatchEvent(new Event('input')); })()"
    )
    assert set(page.run(rows)) == {"width=96"}
    assert "4 of 32 rows match" in page.run("document.querySelector('#runs .more').textContent")
    page.run(
        "(() => { const box = document.querySelector('#runs input[type=search]'); box.value = '';"
        "box.dispatchEvent(new Event('input')); })()"
    )
    page.run("selection.set([runs[0].run])")
    page.run("document.querySelector('#runs input[type=checkbox]').click()")
    assert len(page.run(rows)) == 2


@pytest.mark.parametrize(
    ("label", "first", "count"),
    [
        ("CSV", "task,metric,chance,", 4),
        ("Markdown", "| task | metric |", 5),
        ("LaTeX", "\\begin{tabular}{llrrrrrrrrr}", 9),
    ],
)
def test_tables_copy_as_text(page: Tab, label: str, first: str, count: int) -> None:
    page.run(
        "Array.from(document.querySelectorAll('#scores .tablebar button'))"
        f".find((one) => one.textContent === '{label}').click()"
    )
    page.wait("window.copied")
    lines = page.run("window.copied").split("\n")
    assert lines[0].startswith(first)
    assert len(lines) == count
    if label == "LaTeX":
        assert "speakers & mAP & 0.050" in lines[6]
        assert "100\\%" not in lines[6]  # no floor is known
        assert lines[1] == "\\toprule"


def test_colour_x_y_and_panels_are_any_variable(page: Tab) -> None:
    def choose(name: str, value: str) -> None:
        page.run(
            f"(() => {{ const one = document.querySelector('[data-choose={name}]'); one.value = '{value}';"
            "one.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )
        page.wait("!document.getElementById('quality-0').dataset.busy")

    titles = (
        "Array.from(document.querySelectorAll('#quality-0 svg .role-axis-title text, #quality-0 svg "
        ".role-legend-title text'), (one) => one.textContent)"
    )
    choose("x", "flops")
    assert page.run(titles) == ["training FLOPs", "quality", "swept variable"]
    assert page.run("document.querySelectorAll('#quality-0 svg .mark-area path').length") == 1  # its own law
    choose("x", "mask_ratio")
    assert page.run("document.querySelectorAll('#quality-0 svg .mark-area path').length") == 0  # it has none
    choose("y", "score_esc10")
    choose("colour", "width")
    assert page.run(titles) == ["mask ratio", "esc10", "width"]
    page.show("#trajectories-0")
    assert "width" in page.run("document.querySelector('#trajectories-0 svg .role-legend-title text').textContent")
    page.show("#quality-0")
    choose("x", "rankme")
    choose("facet", "mask_ratio")
    headers = page.run("Array.from(document.querySelectorAll('#quality-0 svg text'), (one) => one.textContent)")
    assert {"0.5", "0.75", "0.9"} <= set(headers)
    drawn = "document.querySelectorAll('#quality-0 svg .mark-symbol.role-mark path').length"
    assert page.run(drawn) == 16 + 32  # each configuration and each run in one panel, at both budgets


def test_with_the_keyboard_charts_are_walked_and_what_is_there_is_said(page: Tab) -> None:
    page.run("document.getElementById('quality-0').focus()")
    page.key("ArrowRight")
    lowest = page.run(
        "rowsOf('encoders').filter((row) => row.of === 'configuration' && row.final)"
        ".reduce((a, b) => (b.rankme < a.rankme ? b : a))"
    )
    assert set(page.run("Array.from(selection.runs, (run) => aboutRun.get(run).config)")) == {lowest["config"]}
    assert page.run("document.getElementById('live').textContent").startswith(
        f"{lowest['label']}, RankMe {lowest['rankme']}"
    )
    page.key("ArrowRight")
    assert lowest["config"] not in page.run("Array.from(selection.runs, (run) => aboutRun.get(run).config)")


def test_what_lies_under_the_mouse_is_named_with_command_and_folder(page: Tab) -> None:
    x, y, config = point(page, "quality-0", 2)
    page.mouse("mouseMoved", x - 40, y - 40)
    page.mouse("mouseMoved", x, y)
    page.wait("!document.getElementById('tooltip').hidden")
    said = page.run("document.getElementById('tooltip').textContent")
    assert "sonoscale study run small.yaml" in said
    run = page.run(f"Array.from(runsOf.get('{config}'))[0]")
    assert f"study/runs/{run}" in said


def test_names_from_data_are_text_wherever_they_are_shown(
    tab: Tab, make_study: Callable[..., Path], tmp_path: Path
) -> None:
    evil = "<img src=x onerror=alert(1)>'];alert(2)//"
    results = load_study(make_study(label=lambda label: label + evil))
    results = replace(
        results, points=tuple(replace(p, axis=p.axis if p.axis == "base" else p.axis + evil) for p in results.points)
    )
    (tmp_path / "evil.html").write_text(page_html(study_page(results, evil)), encoding="utf-8")
    tab.errors.clear()
    tab.requests.clear()
    tab.open(tmp_path / "evil.html")
    for name in tab.run(CHARTS):
        tab.show(f"#{name}")
    tab.run("selection.set(runs.slice(0, 3).map((row) => row.run))")
    tab.show("#quality-0")
    x, y, _ = point(tab, "quality-0", 2)
    tab.mouse("mouseMoved", x, y)
    tab.wait("!document.getElementById('tooltip').hidden")
    assert tab.run("document.querySelectorAll('img').length") == 0
    assert evil in tab.run("document.getElementById('tooltip').textContent")
    assert tab.errors == []
    assert len(tab.requests) == 1


def planned_page(plan: Any, path: Path, folder: Path | None = None) -> Path:
    data = planner_data(plan, folder)
    assert data is not None
    sections = [Section("budget", "Budget", ('<div id="planner"></div>', planner_figure(plan)))]
    path.write_text(page_html(Page("test", "A plan", [], [], sections, {}, planner=data)), encoding="utf-8")
    return path


def planned(tab: Tab, **limits: float) -> dict[str, Any]:
    return json.loads(tab.run(f"JSON.stringify(planFor({json.dumps(limits)}))"))


@pytest.mark.parametrize("y", ["loss", "accuracy"])
def test_the_planner_splits_a_budget_as_the_command_does(tab: Tab, tmp_path: Path, y: str) -> None:
    rng = np.random.default_rng(1)
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e8, 6), np.geomspace(1e8, 1e10, 6)))
    loss = (0.17 + 12 / n**0.34 + 30 / d**0.36) * np.exp(0.01 * rng.standard_normal(36))
    table = {"params": n, "tokens": d, y: loss if y == "loss" else 1 - loss}
    options: dict[str, Any] = {"n": "params", "d": "tokens", "bootstrap": 80}
    tab.errors.clear()
    tab.open(planned_page(plan_allocation(table, flops=1e19, **options), tmp_path / "plan.html"))
    for limits in ({"flops": 1e19}, {"flops": 3e17}, {"flops": 2e19, "params": 5e7}, {"flops": 1e18, "tokens": 2e9}):
        caps = {f"most_{short}": limits[name] for short, name in (("n", "params"), ("d", "tokens")) if name in limits}
        expected, found = plan_allocation(table, flops=limits["flops"], **caps, **options), planned(tab, **limits)
        for name, one in (("params", expected.n), ("tokens", expected.d)):
            assert found["best"][name] == pytest.approx(one.value, rel=1e-6)
            assert found["intervals"][name] == pytest.approx([one.low, one.high], rel=1e-6)
        assert [found[key] for key in ("y", "low", "high")] == pytest.approx(
            [expected.y.value, expected.y.low, expected.y.high], rel=1e-6
        )
        assert found["flops"] == pytest.approx(expected.flops, rel=1e-6)
        assert found["edges"] == expected.edges
    assert "more than 100 times beyond" in planned(tab, flops=1e26)["error"]
    tab.show("#planner-curve-0")
    before = tab.run("document.querySelector('.planner .result').textContent")
    tab.run(
        "(() => { const one = document.getElementById('plan-flops'); one.value = 40;"
        "one.dispatchEvent(new Event('input')); })()"
    )
    assert tab.run("document.querySelector('.planner .result').textContent") != before
    assert tab.run("document.getElementById('plan-flops').getAttribute('aria-valuetext')")
    assert tab.errors == []


def test_the_planner_designs_for_a_budget_as_the_command_does(tab: Tab, make_study: Callable[..., Path]) -> None:
    folder = make_study()
    base = {
        "name": "planned",
        "encoder": {
            "backbone": "vit",
            "width": 48,
            "depth": 4,
            "heads": 4,
            "n_mels": 64,
            "patch_mels": 16,
            "patch_frames": 16,
        },
        "objective": {"kind": "mae", "mask_ratio": 0.75},
        "train": {"clip_seconds": 2.0, "batch_size": 32},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(base))
    results = load_study(folder)
    chosen = plan_study(results, None)
    assert not isinstance(chosen, str), chosen
    (folder / "report.html").write_text(page_html(study_page(results, chosen)), encoding="utf-8")
    tab.errors.clear()
    tab.open(folder / "report.html")
    largest = max(one.high for one in chosen.reach if one.name == "FLOPs")
    tried: list[dict[str, Any]] = [{"flops": share * largest} for share in (0.02, 0.3, 1.0, 8.0)]
    tried += [{"flops": largest, "hours": 0.4}, {"flops": largest, "latency": 2e6}]
    for limits in tried:
        expected, found = make_plan(folder, **limits), planned(tab, **limits)
        assert isinstance(expected, Designed)
        assert found["best"] == expected.best
        assert [found[key] for key in ("y", "low", "high")] == pytest.approx(
            [expected.y.value, expected.y.low, expected.y.high], rel=1e-6
        )
        assert found["costs"] == pytest.approx(expected.plan.costs, rel=1e-6)
        assert found["edges"] == expected.edges
    with pytest.raises(SonoscaleError):
        make_plan(folder, flops=1000 * largest)
    assert "100 times" in planned(tab, flops=1000 * largest)["error"]
    assert "below the cheapest" in planned(tab, flops=largest, latency=1.0)["error"]
    said = tab.run("document.querySelector('.planner .result').textContent")
    assert f"{chosen.y.value:.3f}"[:4] in said
    assert tab.errors == []


def test_the_page_of_what_was_measured_is_drawn(tab: Tab, tmp_path: Path) -> None:
    sketch = SpectralSketch(6)
    sketch.update(np.random.default_rng(0).standard_normal((96, 6)) * np.arange(1, 7) ** -1.0)
    records, undefined = measure_all(sketch, ["rankme", "rankme_centred"])
    layers = [rankme(sketch, layer=i) for i in range(3)]
    groups, durations = {"<b>": layers[0], "c": layers[1]}, [rankme(sketch, mean_seconds=s) for s in (1.0, 2.0)]
    one = Measured(
        "an encoder", "an encoder", sketch, records, undefined, layers=layers, groups=groups, durations=durations
    )
    write_measurement_page(Measurement([one], audio="clips"), tmp_path / "o.html")
    tab.errors.clear()
    tab.open(tmp_path / "o.html")
    names = tab.run(CHARTS)
    assert names == ["spectrum-0", "spectrum-1", "by_layer-0", "by_duration-0", "by_group-0"]
    for name in names:
        tab.show(f"#{name}")
        assert tab.run(f"document.querySelectorAll('#{name} svg path').length") > 2
    assert tab.errors == []
