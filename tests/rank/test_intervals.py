"""What an interval claims, against what other samples of the same population give."""

import numpy as np
import pytest
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.rank import (
    ESTIMATORS,
    SpectralSketch,
    clips_needed,
    compare,
    compare_sketches,
    extrapolate,
    measure_rank,
    rank_curve,
)
from sonoscale.rank._formulas import spectrum_rankme
from sonoscale.rank._interval import from_left_out

DIM = 16
SPECTRA = {
    "power law": np.arange(1, DIM + 1.0) ** -1,
    "slow power law": np.arange(1, DIM + 1.0) ** -0.5,
    "exponential": np.exp(-np.arange(DIM) / 3),
    "spiked": np.r_[np.full(3, 10.0), np.ones(DIM - 3)],
}


@pytest.fixture(scope="module", params=SPECTRA)
def trials(request):
    """Sketches of 250 samples of 8 * dim rows of one population, and its singular values."""
    spectrum, made = SPECTRA[request.param], []
    for seed in range(250):
        sketch = SpectralSketch(DIM)
        sketch.update(np.random.default_rng(seed).standard_normal((8 * DIM, DIM)) * spectrum)
        made.append(sketch)
    return spectrum, made


def test_the_interval_covers_the_mean_over_samples_of_this_size(trials):
    _, sketches = trials
    records = [measure_rank(sketch) for sketch in sketches]
    mean = np.mean([record.value for record in records])
    assert 0.92 <= np.mean([record.low <= mean <= record.high for record in records]) <= 0.98


def test_the_extrapolation_covers_the_rank_of_the_population(trials):
    spectrum, sketches = trials
    truth = np.exp(stats.entropy(spectrum))
    limits = [extrapolate(sketch) for sketch in sketches]
    assert 0.91 <= np.mean([limit.low <= truth <= limit.high for limit in limits]) <= 0.98
    plain = [measure_rank(sketch) for sketch in sketches]
    assert np.mean([record.value for record in plain]) < truth  # a finite sample shows too low a rank
    assert abs(np.mean([limit.value for limit in limits]) / truth - 1) < 0.005
    assert all(limit.trusted for limit in limits)


def test_a_narrower_level_covers_less(trials):
    _, sketches = trials
    wide, narrow = (measure_rank(sketches[0], level=level) for level in (0.95, 0.5))
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


@pytest.fixture(scope="module")
def samples():
    """Sketches of 120 samples of 400 rows of one population."""
    dim, made = 30, []
    for seed in range(120):
        made.append(SpectralSketch(dim))
        made[-1].update(np.random.default_rng(seed).standard_normal((400, dim)) * np.arange(1, dim + 1) ** -0.7 + 0.2)
    return made


@pytest.mark.parametrize("name", ["rankme", "rankme_centred", "participation_ratio", "nesum", "alpha_req"])
def test_the_standard_error_is_the_spread_over_samples(samples, name):
    records = [measure_rank(sketch, name) for sketch in samples]
    values = [record.value for record in records]
    halves = [(record.high - record.low) / 2 / stats.t.ppf(0.975, 15) for record in records]
    assert np.mean(halves) == pytest.approx(np.std(values), rel=0.25)


def test_rows_that_resemble_each_other_need_groups():
    """20 clips of each recording: dealt by row the interval is far too narrow, by recording it is right."""
    values, by_row, by_group = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        recordings = rng.standard_normal((100, 1, 12)) * np.arange(1, 13) ** -1.0
        rows = (recordings + 0.02 * rng.standard_normal((100, 20, 12))).reshape(-1, 12)
        groups = np.repeat(np.arange(100), 20)
        for record_of, labels in ((by_row, None), (by_group, groups)):
            order = rng.permutation(len(rows))
            sketch = SpectralSketch(12)
            sketch.update(rows[order], None if labels is None else labels[order])
            record_of.append(measure_rank(sketch))
        values.append(by_row[-1].value)
    half = {id(r): (np.mean([each.high - each.low for each in r]) / 2 / 2.13) for r in (by_row, by_group)}
    assert half[id(by_row)] < 0.5 * np.std(values)
    assert half[id(by_group)] == pytest.approx(np.std(values), rel=0.3)


def test_unequal_blocks_are_weighted():
    """For a mean, the jackknife over unequal blocks has the closed form of a weighted variance."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 60, 12)
    blocks = [rng.normal(3, 2, size) for size in sizes]
    rows = np.concatenate(blocks)
    without = [(rows.sum() - b.sum()) / (len(rows) - len(b)) for b in blocks]
    found = from_left_out(rows.mean(), len(rows), [len(b) for b in blocks], lambda: without)
    assert found.corrected == pytest.approx(rows.mean())
    expected = np.sqrt(np.mean([(b.mean() - rows.mean()) ** 2 / (len(rows) / len(b) - 1) for b in blocks]))
    assert found.error == pytest.approx(expected)
    assert found.error == pytest.approx(rows.std() / np.sqrt(len(rows)), rel=0.5)


def test_finite_samples_of_a_power_law_of_512_dimensions():
    """The population's own rank is 117.2; samples of 256, 512, 2048 and 16384 rows show these."""
    spectrum = np.arange(1, 513.0) ** -1
    rng = np.random.default_rng(0)
    for n, expected in ((256, 67), (512, 97), (2048, 113), (16384, 117)):
        sketch = SpectralSketch(512)
        for _ in range(n // 256):
            sketch.update(rng.standard_normal((256, 512)) * spectrum)
        assert spectrum_rankme(sketch.spectrum()) == pytest.approx(expected, abs=1)
    limit = extrapolate(sketch)
    assert limit.low < np.exp(stats.entropy(spectrum)) < limit.high


def test_the_curve_is_of_disjoint_samples(population, sketch_of):
    rows = population(960, 10)
    points = rank_curve(sketch_of(rows))
    assert [(point.n, point.samples) for point in points] == [(60, 16), (120, 8), (240, 4), (480, 2), (960, 1)]
    values = [point.value for point in points]
    assert values == sorted(values)
    halves = [
        spectrum_rankme(np.linalg.svd(rows[np.arange(960) % 16 // 8 == half], compute_uv=False)) for half in (0, 1)
    ]
    assert values[3] == pytest.approx(np.mean(halves))
    assert [(p.n, p.samples) for p in rank_curve(sketch_of(rows, blocks=6))] == [(160, 6), (320, 3), (640, 1), (960, 1)]


def test_as_many_clips_as_are_said_to_be_needed_are_enough():
    spectrum, tolerance = np.arange(1, 25.0) ** -0.8, 0.02

    def sketch(n, seed):
        made = SpectralSketch(24)
        made.update(np.random.default_rng(seed).standard_normal((n, 24)) * spectrum)
        return made

    needed = clips_needed(sketch(800, 0), tolerance)
    assert needed.trusted
    assert needed.n == max(needed.for_interval, needed.for_bias)
    truth = np.exp(stats.entropy(spectrum))
    at_bias = np.mean([spectrum_rankme(sketch(needed.for_bias, seed).spectrum()) for seed in range(1, 41)])
    assert at_bias / truth - 1 == pytest.approx(-tolerance, rel=0.35)
    records = [measure_rank(sketch(needed.for_interval, seed)) for seed in range(1, 41)]
    assert np.mean([r.high - r.value for r in records]) / truth == pytest.approx(tolerance, rel=0.35)


def test_too_little_to_extrapolate(population, sketch_of):
    with pytest.raises(SonoscaleError, match=r"n = 7 is under 2 \* dim = 8: too few to extrapolate"):
        extrapolate(sketch_of(population(7, 4)))
    with pytest.raises(SonoscaleError, match="condition_number of these 100 embeddings has no standard error"):
        extrapolate(sketch_of(population(100, 4) * [1, 1, 0, 1]), "condition_number")
    with pytest.raises(SonoscaleError, match="level must be between 0 and 1, not 95"):
        extrapolate(sketch_of(population(100, 4)), level=95)
    with pytest.raises(SonoscaleError, match="empty"):
        rank_curve(SpectralSketch(4))
    with pytest.raises(SonoscaleError, match="tolerance must be a positive share"):
        clips_needed(sketch_of(population(100, 4)), 0)
    assert not extrapolate(sketch_of(population(100, 20))).trusted


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_the_limit_of_a_wide_flat_spectrum_holds_too(decay):
    """Where the bias is many times the error, so that its second order decides."""
    dim, held = 128, 0
    spectrum = np.arange(1, dim + 1.0) ** -decay
    truth = np.exp(stats.entropy(spectrum))
    for seed in range(20):
        sketch = SpectralSketch(dim)
        sketch.update(np.random.default_rng(seed).standard_normal((8 * dim, dim)) * spectrum)
        limit = extrapolate(sketch)
        assert limit.high <= dim
        assert abs(limit.value / truth - 1) < 0.003
        assert limit.bias < -2 * (limit.high - limit.low)
        held += limit.low <= truth <= limit.high
    assert held >= 17


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_handful_of_rows_has_a_value_but_no_interval(population, sketch_of, n):
    for name in ("rankme", "rankme_centred"):
        sketch = sketch_of(population(n, 5))
        record = measure_rank(sketch, name)
        assert record.value == measure_rank(sketch, name, interval=False).value
        assert (record.low, record.high) == ESTIMATORS[name].bounds(n, 5)
        assert any("no interval" in warning for warning in record.warnings)


def test_a_value_is_not_lost_where_a_left_out_block_has_none(population, sketch_of):
    record = measure_rank(sketch_of(population(16, 20)), "alpha_req")
    assert record.value == measure_rank(sketch_of(population(16, 20)), "alpha_req", interval=False).value
    assert any("no interval" in warning for warning in record.warnings)


def test_a_dimension_that_lives_in_one_block_only(sketch_of):
    """A nearly dead unit: without its block it is constant, not rounding noise blown up to unit variance."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = np.maximum(rng.standard_normal((640, 16)), 0).astype(np.float32)
        rows[:, 3] = 0
        rows[rng.integers(640), 3] = 1.234
        gram, qr = (measure_rank(sketch_of(rows, method=m), "rankme_standardised") for m in ("gram", "qr"))
        assert (gram.low, gram.high) == (pytest.approx(qr.low, rel=1e-6), pytest.approx(qr.high, rel=1e-6))


def test_an_outlier_does_not_spoil_what_is_left_without_it(population, sketch_of):
    rows = population(320, 8)
    rows[5] *= 1e12
    spectra = dict(enumerate(rest for _, rest in sketch_of(rows).leave_one_out("uncentred")))
    others = np.delete(rows, np.arange(5, 320, 16), axis=0)
    np.testing.assert_allclose(spectra[5], np.linalg.svd(others, compute_uv=False), rtol=1e-9)


def test_differences_without_an_interval_are_not_significant(population, sketch_of):
    fine, dead = sketch_of(population(200, 4)), sketch_of(population(200, 4) * [1, 1, 0, 1])
    for first, second in ((fine, dead), (dead, fine), (dead, dead)):
        assert not compare_sketches(first, second, "condition_number").significant
    one, other = (measure_rank(each, interval=False) for each in (fine, dead))
    assert not compare(one, other).significant
    with pytest.raises(SonoscaleError, match="level must be between 0 and 1, not 95"):
        compare_sketches(fine, fine, level=95)


def test_the_same_number_of_other_rows_omitted_is_not_the_same_clips(population):
    sketches = []
    for bad in (3, 19):
        rows = population(200, 4)
        rows[bad] = np.nan
        sketches.append(SpectralSketch(4, nan_policy="omit"))
        sketches[-1].update(rows[:100])
        sketches[-1].update(rows[100:])
    with pytest.raises(SonoscaleError, match="do not hold the same clips"):
        compare_sketches(*sketches)
    assert compare_sketches(sketches[0], sketches[0]).value == 0.0


def test_pairing_cancels_what_two_encoders_share(population):
    """Two encoders that differ by a constant few percent, over clips some blocks of which are easy."""
    first, second, alone = SpectralSketch(12), SpectralSketch(12), []
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((800, 12)) * np.exp(rng.normal(0, 1, (800, 1)))
    for sketch, decay in ((first, 1.0), (second, 0.97)):
        sketch.update(clips * np.arange(1, 13) ** -decay)
        alone.append(measure_rank(sketch))
    difference = compare_sketches(first, second)
    assert difference.paired
    assert difference.value == pytest.approx(alone[1].value - alone[0].value)
    assert difference.significant
    assert alone[0].high > alone[1].low  # which the intervals of each do not show
    same = compare_sketches(first, first)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    third = SpectralSketch(12)
    third.update(clips[:-1])
    with pytest.raises(SonoscaleError, match="do not hold the same clips"):
        compare_sketches(first, third)


def test_without_an_interval_the_value_is_the_same(population, sketch_of):
    sketch = sketch_of(population(200, 6))
    for name in ESTIMATORS:
        if name != "alpha_req":
            quick = measure_rank(sketch, name, interval=False)
            assert quick.value == measure_rank(sketch, name).value
            assert np.isnan([quick.low, quick.high]).all()
