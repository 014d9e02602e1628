"""Records: what they say, what they survive, and when they refuse to be compared."""

import dataclasses
import json
import math

import pyarrow.parquet as pq
import pytest

from sonoscale import __version__
from sonoscale.errors import SonoscaleError
from sonoscale.rank import RankRecord, check_comparable, compare, measure_all, measure_rank, read_records, write_records


@pytest.fixture
def record(population, sketch_of):
    """A full one."""
    sketch = sketch_of(population(400, 8, mean=0.3), method="qr")
    return measure_rank(sketch, encoder="mae@100", corpus="pool", layer=3, mean_seconds=2.5)


def test_provenance(record):
    assert (record.estimator, record.eps, record.centred, record.n, record.dim) == ("rankme", 0.0, False, 400, 8)
    assert (record.encoder, record.corpus, record.layer, record.mean_seconds) == ("mae@100", "pool", 3, 2.5)
    assert (record.dtype, record.method, record.version) == ("float64", "qr", __version__)
    assert (record.n_per_dim, record.normalised) == (50.0, record.value / 8)
    assert record.low < record.value < record.high


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_round_trip(tmp_path, population, sketch_of, record, suffix):
    short, undefined = measure_all(sketch_of(population(12, 8)))
    without = dataclasses.replace(record, low=math.nan, high=math.nan, warnings=("a", "b"))
    assert {r.estimator for r in short} & {"condition_number"}
    assert undefined
    endless = dataclasses.replace(record, value=math.inf, low=1.0, high=math.inf)
    file = tmp_path / f"records{suffix}"
    write_records([record, *short, endless], file)
    assert read_records(file) == [record, *short, endless]
    write_records([without], file)
    (back,) = read_records(file)
    assert math.isnan(back.low)
    assert math.isnan(back.high)
    assert dataclasses.replace(back, low=0, high=0) == dataclasses.replace(without, low=0, high=0)
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_files_are_plain_json_and_parquet(tmp_path, record):
    write_records([record], tmp_path / "r.json", more=[1])
    reported = json.loads((tmp_path / "r.json").read_text())
    assert reported["more"] == [1]
    assert reported["records"][0]["n_per_dim"] == 50.0
    write_records([record], tmp_path / "r.parquet")
    row = pq.read_table(tmp_path / "r.parquet").to_pylist()[0]
    assert (row["value"], row["layer"], row["warnings"]) == (record.value, 3, [])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(SonoscaleError, match=r"written to \.json or \.parquet"):
        write_records([], tmp_path / "r.csv")
    with pytest.raises(SonoscaleError, match="no such file"):
        read_records(tmp_path / "r.json")
    for text in ("{", "[]", '{"records": [{"value": 1}]}', '{"records": 3}', "{}"):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(SonoscaleError, match=r"r\.json: not a file of rank records"):
            read_records(tmp_path / "r.json")
    (tmp_path / "r.parquet").write_text("no")
    with pytest.raises(SonoscaleError, match="not a file of rank records"):
        read_records(tmp_path / "r.parquet")


@pytest.mark.parametrize(
    ("key", "other"),
    [("estimator", "rankme_paper"), ("eps", 1e-7), ("centred", True), ("n", 399), ("corpus", "other"),
     ("mean_seconds", 5.0), ("layer", 4), ("omitted", 2), ("dtype", "bfloat16")],
)  # fmt: skip
def test_what_was_measured_differently_is_not_compared(record, key, other):
    changed = dataclasses.replace(record, **{key: other})
    with pytest.raises(SonoscaleError, match=f"measured differently.*{key}"):
        compare(record, changed)
    assert compare(record, changed, force=True).value == 0.0
    check_comparable(record, changed, vary=[key])


def test_other_widths_and_encoders_are_what_is_compared(record):
    wider = dataclasses.replace(record, dim=16, encoder="other", value=record.value + 1)
    assert compare(record, wider).value == pytest.approx(1.0)


def test_independent_errors_add_as_squares():
    first = RankRecord("rankme", 10.0, 7.0, 13.0, 0.95, 0.0, False, 100, 20, 0.1)
    second = dataclasses.replace(first, value=20.0, low=16.0, high=24.0)
    found = compare(first, second)
    assert (found.value, found.low, found.high, found.paired) == (10.0, 5.0, 15.0, False)
    assert found.significant
    with pytest.raises(SonoscaleError, match=r"levels 0\.95 and 0\.9"):
        compare(first, dataclasses.replace(second, level=0.9))


def test_warnings_say_what_should_stop_a_reader(population, sketch_of):
    few = measure_rank(sketch_of(population(100, 48)))
    assert any("n = 100 is under 8 * dim = 384" in w for w in few.warnings)
    offset = measure_rank(sketch_of(population(2000, 8, mean=20.0)))
    assert any("mean holds" in w for w in offset.warnings)
    assert measure_rank(sketch_of(population(2000, 8, mean=20.0)), "rankme_centred").warnings == ()
    full = measure_rank(sketch_of(population(4000, 4, decay=0.0)))
    assert any("ceiling 4" in w for w in full.warnings)
    assert full.normalised == pytest.approx(1.0, abs=0.01)


def test_the_power_law_tells_its_range_and_its_fit(population, sketch_of):
    record = measure_rank(sketch_of(population(2000, 40)), "alpha_req")
    assert record.value == pytest.approx(2.0, abs=0.1)
    assert record.note.startswith("fitted on eigenvalues 11 to 40, with R2 = 0.99")
    assert record.warnings == ()


def test_a_level_is_a_share(population, sketch_of):
    with pytest.raises(SonoscaleError, match="level must be between 0 and 1, not 95"):
        measure_rank(sketch_of(population(100, 4)), level=95)


def test_a_record_is_drawn_as_a_share_of_the_largest_rank(record):
    pytest.importorskip("matplotlib")
    axes = record.plot()
    interval, point = axes.lines
    assert list(interval.get_xdata()) == pytest.approx([record.low / 8, record.high / 8])
    assert list(point.get_xdata()) == pytest.approx([record.value / 8])
    assert axes.get_title() == record.headline
    assert dataclasses.replace(record, low=math.nan, high=math.nan).plot(axes) is axes
