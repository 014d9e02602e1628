"""The written report: one page that needs nothing else, its figures, and atomic replacement."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.report import Report, report
from sonoscale.report._html import page_html
from sonoscale.report._load import load_study
from sonoscale.report._planned import plan_study
from sonoscale.report._study_page import study_page

SECTIONS = [
    "summary",
    "effects-section",
    "laws",
    "trust",
    "budget",
    "scores",
    "training",
    "runs",
    "method",
    "provenance",
]
FIGURES = ["quality", "effects", "alternatives", "frontier", "tasks", "trajectories", "spectra"]


class Elements(HTMLParser):
    """The elements of a page: tags with attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within not in ("script", "style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def page(written: Report) -> str:
    return written.page.read_text(encoding="utf-8")


def page_of(folder: Path) -> str:
    results = load_study(folder)
    return page_html(study_page(results, plan_study(results, None)))


def test_page_and_figures_are_written_and_nothing_else(whole_study: Path, written: Report) -> None:
    assert written.page == whole_study / "report.html"
    assert [path.name for path in written.figures] == [f"{name}.png" for name in FIGURES]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.figures)
    assert {path.name for path in (whole_study / "figures").iterdir()} == {f"{name}.png" for name in FIGURES}
    assert not [path.name for path in whole_study.iterdir() if path.name.startswith(".")]


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    elements = Elements(page).found
    for tag, attributes in elements:
        assert "src" not in attributes, (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), (tag, attributes)
        assert tag not in ("link", "iframe", "img", "base", "object"), (tag, attributes)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


def test_the_page_has_its_sections_in_order_and_fills_every_blank(page: str) -> None:
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert [name for name in ids if name in SECTIONS] == SECTIONS
    assert len(ids) == len(set(ids))
    assert {f"{name}-0" for name in FIGURES} <= set(ids)
    links = [attributes["href"] for tag, attributes in elements.found if tag == "a"]
    assert links == [f"#{name}" for name in SECTIONS[1:]]
    words = " ".join(elements.words)
    assert not re.search(r"\$[a-z_]+\b", words)
    for value in (
        "Example CPU",
        "sonoscale study run small.yaml",
        "5412 (1.5 h)",
        "2.9.0",
        "Quality: mean score of a linear probe",
        "No plan can be made.",
    ):
        assert value in words
    assert "saturating: the interval rests on 8 configurations" in words
    assert "Not fitted: held-out loss, power: quality falls as loss grows" in words
    assert "No law in two stages through RankMe (centred): 8 configurations are too few." in words


def test_figures_and_tables_can_be_read_without_seeing(page: str) -> None:
    elements = Elements(page).found
    charts = [attributes for tag, attributes in elements if attributes.get("class") == "chart"]
    assert len(charts) == 1 + 3 + 5 + 1 + 2 + 2 + 2
    assert all(
        one["role"] == "group" and one["aria-describedby"] == "how" and one["aria-label"] and one["tabindex"] == "0"
        for one in charts
    )
    heads = [attributes for tag, attributes in elements if tag == "th"]
    assert heads
    assert all(attributes.get("scope") in ("col", "row") for attributes in heads)


def test_data_is_never_markup(make_study: Callable[..., Path]) -> None:
    folder = make_study(label=lambda label: f"<img src=x onerror=alert(1)>&{label}</script>")
    (folder / "failed.json").write_text(json.dumps([{"label": "<i>a</i>", "seed": 3, "error": "<script>boom"}]))
    provenance = json.loads((folder / "provenance.json").read_text()) | {"cpu": '"><script>evil()</script>'}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    page = page_of(folder)
    elements = Elements(page)
    assert not {"img", "i"} & {tag for tag, _ in elements.found}
    assert "evil()" in " ".join(elements.words)
    assert "<i>a</i>, seed 3: <script>boom" in " ".join("".join(elements.words).split("\n"))
    assert len([tag for tag, _ in elements.found if tag == "script"]) == 3  # the data, the library, the page's own
    assert "onerror" not in str([attributes for _, attributes in elements.found if "onerror" in attributes])


def test_failed_runs_are_shown_and_their_absence_is_not(study: Path, page: str) -> None:
    assert "Failed runs" not in page
    (study / "failed.json").write_text(json.dumps([{"label": "width=512", "seed": 1, "error": "no memory"}]))
    shown = page_of(study)
    assert "width=512, seed 1: no memory" in shown


def test_a_bare_study_still_makes_a_page(make_study: Callable[..., Path]) -> None:
    folder = make_study(seeds=1)
    shutil.rmtree(folder / "runs")
    (folder / "figures").mkdir()
    (folder / "figures" / "spectra.png").write_bytes(b"of an earlier report")
    (folder / "laws.json").write_text("{}")
    paths = report(folder)
    drawn = ["quality", "effects", "alternatives", "frontier", "tasks"]
    assert [path.stem for path in paths.figures] == drawn
    assert {path.stem for path in (folder / "figures").iterdir()} == set(drawn)
    words = " ".join(Elements(paths.page.read_text(encoding="utf-8")).words)
    for words_of in (
        "No law of quality on RankMe could be fitted.",
        "No law could be fitted.",
        "Not drawn: no training history of RankMe; no training history of training loss.",
        "Not drawn: no spectra were kept.",
        "No singular value spectra (spectra.npz) for any run.",
        "No correlation was computed.",
    ):
        assert words_of in words


def test_a_report_can_be_read_in_a_notebook(written: Report) -> None:
    assert written.headline.startswith("The best fit of quality on RankMe")
    assert "<table>" in written._repr_html_()
    assert len(json.loads(written.to_json())["rows"]) == 16


def test_a_failure_leaves_the_old_page_whole(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "report.html").write_text("the old page")

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SonoscaleError, match="no space left on device"):
        report(study)
    assert (study / "report.html").read_text() == "the old page"
    assert not list(study.rglob(".*"))


def test_the_same_study_gives_the_same_page(whole_study: Path, page: str) -> None:
    assert page_of(whole_study) == page


def test_a_page_of_many_runs_is_small_and_leaves_no_run_out_of_its_tables(whole_study: Path) -> None:
    results = load_study(whole_study)
    copies = tuple(
        replace(point, run=f"{point.run}-{i}", config=f"{point.config}-{i}")
        for i in range(150)
        for point in results.points
    )
    many = replace(results, points=copies, runs={point.run: results.runs[point.run.split("-")[0]] for point in copies})
    page = page_html(study_page(many, "no plan"))
    assert len(page.encode()) < 5e6
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert len(data["grids"]["grid0"]["rows"]) == len(copies)
    assert "of 2400 runs are left out of this figure" in page


def test_rows_share_what_they_say_of_one_encoder(page: str, whole_study: Path) -> None:
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    table = data["tables"]["histories"]
    assert "width" in table["join"]["keys"]
    assert "width" not in table["columns"]
    assert table["n"] > 1000
