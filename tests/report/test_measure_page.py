"""The page of what was measured: what it says, what it leaves out, and that data on it is never markup."""

import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.measure import Measured, MeasuredDifference, Measurement
from sonoscale.measure._measured import short_names
from sonoscale.rank import SpectralSketch, compare_sketches, extrapolate, measure_all, rankme
from sonoscale.report._measure_page import measure_page_html, write_measurement_page
from sonoscale.report._measure_terminal import _alike

NAMES = ["rankme", "rankme_centred", "alpha_req"]
EVIL = '<script>evil("&")</script>'


class Page(HTMLParser):
    """The elements of a page, the cells of its tables by section, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.words = ""
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.found.append((tag, attributes))
        if tag in ("section", "footer") and "id" in attributes:
            self.sections.append(str(attributes["id"]))
        if tag == "tr":
            self.rows.setdefault(self.sections[-1], []).append([])
        if tag in ("td", "th"):
            self.rows[self.sections[-1]][-1].append("")
        if tag in ("td", "th", "script", "style"):
            self.within = tag

    def handle_endtag(self, tag):
        if tag == self.within:
            self.within = ""

    def handle_data(self, data):
        if self.within not in ("script", "style"):
            self.words += data
        if self.within in ("td", "th"):
            self.rows[self.sections[-1]][-1][-1] += data


def sketch_of(rows):
    sketch = SpectralSketch(rows.shape[1], blocks=8)
    for part in np.array_split(rows, 8):
        sketch.update(part)
    return sketch


@pytest.fixture(scope="module")
def sketches():
    """Two encoders of the same 400 clips, the second with a steeper spectrum."""
    clips = np.random.default_rng(0).standard_normal((400, 12))
    return [sketch_of(clips * np.arange(1, 13.0) ** -decay + 0.5) for decay in (0.5, 1.0)]


def bare(name, sketch):
    records, undefined = measure_all(sketch, NAMES, encoder=f"{name} weights:0")
    return Measured(name, f"{name} weights:0", sketch, records, undefined)


def full(name, sketch):
    """With everything that there can be of an encoder on audio."""
    record = rankme(sketch)
    return dataclasses.replace(
        bare(name, sketch), layers=[dataclasses.replace(record, layer=i, value=3.25 + i) for i in range(3)],
        groups={"dogs": dataclasses.replace(record, n=123), "cats": record},
        durations=[dataclasses.replace(record, mean_seconds=s) for s in (0.5, 2.0)],
        skipped=[("broken.wav", "it is empty")], limit=extrapolate(sketch), corpus="folder, 401 clips, abc",
        seconds=1800.0, wall_seconds=90.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def everything(sketches):
    measured = [full(name, sketch) for name, sketch in zip(("first", "second"), sketches, strict=True)]
    difference = compare_sketches(sketches[0], sketches[1], "rankme")
    differences = [
        MeasuredDifference("rankme", "first weights:0", "second weights:0", difference),
        MeasuredDifference("alpha_req", "first weights:0", "second weights:0", None, "too few values"),
    ]
    return Measurement(measured, "rankme", differences, "clips/", "animal", {"precision": "fp32", "durations": [0.5]})


@pytest.fixture(scope="module")
def page(everything):
    return measure_page_html(everything)


def test_sections_stand_in_order_and_links_lead_to_them(page):
    parsed = Page(page)
    parts = ["overview", "layers", "durations", "groups", "estimators", "differences", "skipped", "provenance"]
    assert parsed.sections == ["summary", *parts]
    assert [a["href"] for tag, a in parsed.found if tag == "a"] == [f"#{part}" for part in parts]
    ids = [a["id"] for _, a in parsed.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {"spectrum-0", "spectrum-1", "by_layer-0", "by_duration-0", "by_group-0"} <= set(ids)
    assert not re.search(r"\$[a-z_]+\b", parsed.words)


def test_numbers_that_were_measured_are_on_the_page(page, everything):
    parsed, first = Page(page), everything.measured[0]
    rankme, centred = first.record("rankme"), first.record("rankme_centred")
    assert f"RankMe is {rankme.value:#.4g} (95% interval {rankme.low:#.4g} to {rankme.high:#.4g})." in parsed.words
    assert f"From 400 clips (dim = 12, n/dim = 33.3). The mean holds {rankme.mean_energy:.1%}" in parsed.words
    assert f"Of infinitely many such clips it would be {first.limit.value:#.4g}" in parsed.words
    assert "1 clip could not be processed." in parsed.words
    overview = parsed.rows["overview"]
    assert overview[1][0] == "first"
    assert overview[1][1].startswith(f"{rankme.value:#.4g} [{rankme.low:#.4g}, ")
    assert overview[1][2].startswith(f"{centred.value:#.4g} [")
    assert overview[1][3:] == ["400", "12", "33.3", "1,800", "180", "1"]  # 90 s for half an hour
    assert [row[:3] for row in parsed.rows["layers"][1:4]] == [[str(i), "first", f"{3.25 + i:.3f}"] for i in range(3)]
    assert [row[0] for row in parsed.rows["durations"][1:]] == ["0.5", "2", "0.5", "2"]
    assert [row[0] for row in parsed.rows["groups"]] == ["animal", "dogs", "cats", "dogs", "cats"]
    assert parsed.rows["groups"][1][4] == "123"
    assert [row[0] for row in parsed.rows["estimators"][1:]] == [name for name in NAMES for _ in range(2)]
    assert parsed.rows["skipped"][1] == ["broken.wav", "it is empty", "all"]
    for reported in ("first weights:0", "folder, 401 clips, abc", "fp32"):
        assert reported in parsed.words


def test_differences_are_shown_or_why_there_are_none(page, everything):
    found = everything.differences[0].difference
    reported, unreported = Page(page).rows["differences"][1:]
    assert reported[:3] == ["rankme", "second", "first"]
    assert reported[3] == f"−{-found.value:#.4g}"
    assert reported[5:] == ["yes", "paired"]
    assert unreported[3:] == ["–", "", "", "too few values"]
    assert f"second minus first−{-found.value:#.4g} in RankMe" in Page(page).words


def test_an_estimator_without_a_value_says_why(page, everything):
    row = Page(page).rows["estimators"][-1]
    assert row[0] == "alpha_req"
    assert row[2] == "–"
    assert row[4] == everything.measured[1].undefined["alpha_req"]


def test_the_page_needs_nothing_from_elsewhere(page):
    for tag, attributes in Page(page).found:
        assert "src" not in attributes, (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), (tag, attributes)
        assert tag not in ("link", "iframe", "img", "base", "object"), (tag, attributes)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


def test_what_was_not_measured_has_no_section(sketches):
    parsed = Page(measure_page_html(Measurement([bare("a.npy", sketches[0])])))
    assert parsed.sections == ["summary", "overview", "estimators", "provenance"]
    assert [tag for tag, _ in parsed.found].count("figure") == 1
    assert parsed.rows["overview"][0][0] == "file"
    assert "seconds" not in " ".join(parsed.rows["overview"][0])
    assert parsed.rows["estimators"][0][1] == "value"  # of which one need not be said
    assert "Embeddings in 1 file." in parsed.words


def test_data_is_never_markup(everything):
    record = everything.measured[0].records[0]
    evil = [
        dataclasses.replace(
            one, name=f"{EVIL}{i}", identity=f"{EVIL}{i}", corpus=EVIL, groups={EVIL: record}, skipped=[(EVIL, EVIL)],
            undefined={f"{EVIL} where {EVIL}": EVIL, EVIL: EVIL},
            records=[dataclasses.replace(record, note=EVIL, warnings=(EVIL,))],
        )
        for i, one in enumerate(everything.measured)
    ]  # fmt: skip
    differences = [MeasuredDifference("rankme", evil[0].identity, evil[1].identity, None, EVIL)]
    page = measure_page_html(Measurement(evil, "rankme", differences, EVIL, EVIL, {EVIL: EVIL}))
    parsed = Page(page)
    assert len([tag for tag, _ in parsed.found if tag == "script"]) == 3  # the data, the library, the page's own
    assert "evil(" not in "".join(re.findall(r"<script>(.*?)</script>", page, re.DOTALL))
    assert parsed.words.count(EVIL) > 10


def test_only_the_first_hundred_skipped_clips_are_listed_and_all_are_counted(sketches):
    skipped = [(f"{i}.wav", "no sound") for i in range(250)]
    one = dataclasses.replace(full("e", sketches[0]), skipped=skipped)
    parsed = Page(measure_page_html(Measurement([one], audio="clips/")))
    assert len(parsed.rows["skipped"]) == 1 + 100
    assert "250 clips could not be processed" in parsed.words
    assert "The first 100 are listed." in parsed.words


def test_embeddings_without_a_rank_still_make_a_page():
    sketch = SpectralSketch(3)
    sketch.update(np.zeros((20, 3)))
    parsed = Page(measure_page_html(Measurement([bare("zero.npy", sketch)])))
    assert "zero.npyNo RankMe: " in parsed.words
    assert "figure" not in [tag for tag, _ in parsed.found]


def test_numbers_without_an_interval_still_make_a_page(everything):
    def lone(record):
        return dataclasses.replace(record, low=math.nan, high=math.nan)

    one = everything.measured[0]
    one = dataclasses.replace(
        one, records=[lone(r) for r in one.records], layers=[lone(one.layers[0])], limit=None,
        groups={value: lone(record) for value, record in one.groups.items()},
        durations=[lone(r) for r in one.durations],
    )  # fmt: skip
    parsed = Page(measure_page_html(Measurement([one], audio="clips/")))
    assert not re.search(r"\bnan\b", parsed.words)
    assert {"by_layer-0", "by_duration-0", "by_group-0"} <= {a.get("id") for _, a in parsed.found}


def test_one_page_is_written_and_a_failure_leaves_the_old_one(tmp_path, everything, page, monkeypatch):
    path = tmp_path / "o.html"
    write_measurement_page(everything, path)
    assert path.read_text(encoding="utf-8") == page
    assert [each.name for each in tmp_path.iterdir()] == ["o.html"]

    def fail(self, target):
        raise OSError(28, "no space left on device")

    path.write_text("the old page")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SonoscaleError, match=r"o\.html: cannot be written: no space left on device"):
        write_measurement_page(everything, path)
    assert path.read_text() == "the old page"
    assert [each.name for each in tmp_path.iterdir()] == ["o.html"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["runs/a", "/x/b.npy", "hf:/y/c/"], ["a", "b.npy", "c"]),
        (["x/a.npy", "y/a.npy"], ["x/a.npy", "y/a.npy"]),
        (["x/a", "x/a", "b"], ["a", "a (2)", "b"]),
        (["python:module:factory"], ["python:module:factory"]),
    ],
)
def test_short_names_are_all_different(names, short):
    assert short_names(names) == short


def test_a_warning_that_all_rows_share_but_for_its_numbers_is_given_once():
    rng = np.random.default_rng(0)
    records = [rankme(5 * i + rng.standard_normal((40 + i, 16))) for i in range(1, 4)]
    energy, under = sorted(_alike(records).values(), reverse=True)
    assert re.match(r"the mean holds 9\d\.\d to 99\.\d% of the energy", energy)
    assert under == "n = 41 to 43 is under 8 * dim = 128: not yet what many clips would show (ranks come out low)"
    assert _alike(records[:1]) == {}
    assert _alike([*records, rankme(rng.standard_normal((400, 16)))]) == {}
