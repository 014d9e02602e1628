"""Bad input to a sketch: each has one defined answer, and a refused batch changes nothing."""

import numpy as np
import pytest
import torch

from sonoscale.errors import SonoscaleError
from sonoscale.rank import SpectralSketch, measure_all, measure_rank


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_rows_that_are_not_finite_are_counted_and_named(population, sketch_of, bad, of):
    sketch = sketch_of(population(100, 8))
    before = sketch.spectrum()
    rows = population(20, 8, seed=1)
    rows[3, 2], rows[17, 0] = bad, bad
    with pytest.raises(SonoscaleError, match="2 of 20 embeddings hold NaN or infinity, the first is row 103"):
        sketch.update(of(rows))
    assert sketch.n == 100
    np.testing.assert_array_equal(sketch.spectrum(), before)


@pytest.mark.parametrize("of", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_rows_that_are_not_finite_can_be_left_out_and_are_told(population, sketch_of, of):
    rows = population(300, 8)
    rows[[5, 250]] = np.nan
    sketch = SpectralSketch(8, nan_policy="omit")
    sketch.update(of(rows))
    sketch.update(of(np.full((3, 8), np.inf)))
    kept = np.delete(rows, [5, 250], axis=0)
    np.testing.assert_allclose(sketch.spectrum(), np.linalg.svd(kept, compute_uv=False))
    record = measure_rank(sketch)
    assert (record.n, record.omitted) == (298, 5)
    assert any("5 embeddings with NaN or infinity were left out" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((4, 7)), r"must be \[batch, 8\], not \[4, 7\]"),
        (np.zeros(8), r"must be \[batch, 8\], not \[8\]"),
        (np.zeros((2, 3, 8)), r"not \[2, 3, 8\]"),
        (np.zeros((4, 8), dtype=int), "embeddings are int64: they must be floating point"),
        (np.zeros((4, 8), dtype=bool), "embeddings are bool"),
        (np.zeros((4, 8), dtype=complex), "embeddings are complex128"),
        (np.full((4, 8), "a"), "embeddings are <U1"),
        (torch.zeros((4, 8), dtype=torch.int8), "embeddings are int8"),
        (np.full((4, 8), 1e200), "magnitude 1e.200 cannot be squared"),
        (np.full((4, 8), 1e-200), "magnitude 1e-200 cannot be squared"),
    ],
)  # fmt: skip
def test_what_is_not_embeddings_is_refused(rows, message):
    sketch = SpectralSketch(8)
    with pytest.raises(SonoscaleError, match=message):
        sketch.update(rows)
    assert sketch.n == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim >= 1"),
        ({"dim": 4, "blocks": 1}, "blocks >= 2"),
        ({"dim": 10**6}, "needs 119,209 GiB, more than this machine has"),
        ({"dim": 4, "method": "svd"}, '"gram" or "qr", not \'svd\''),
        ({"dim": 4, "nan_policy": "zero"}, '"raise" or "omit", not \'zero\''),
    ],
)  # fmt: skip
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(SonoscaleError, match=message):
        SpectralSketch(**arguments)


def test_no_rows_at_all():
    sketch = SpectralSketch(4)
    sketch.update(np.empty((0, 4)))
    for ask in (sketch.spectrum, sketch.mean_energy, lambda: measure_rank(sketch), lambda: measure_all(sketch)):
        with pytest.raises(SonoscaleError, match="the sketch is empty"):
            ask()


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_a_single_row(population, sketch_of, method):
    records, undefined = measure_all(sketch_of(population(1, 6), method=method))
    by_name = {record.estimator: record for record in records}
    assert by_name["rankme"].value == pytest.approx(1.0)
    assert (by_name["rankme"].low, by_name["rankme"].high) == (1.0, 1.0)
    assert any("no interval" in warning for warning in by_name["rankme"].warnings)
    assert "all singular values are zero" in undefined["rankme_centred"]
    assert "all singular values are zero" in undefined["rankme_standardised"]


@pytest.mark.parametrize("method", ["gram", "qr"])
@pytest.mark.parametrize("value", [0.1, 1e4, -3e-7])
def test_constant_embeddings(sketch_of, method, value):
    row = value * np.linspace(1, 2, 6)
    records, undefined = measure_all(sketch_of(np.tile(row, (777, 1)), method=method, batch=50))
    by_name = {record.estimator: record.value for record in records}
    assert by_name["rankme"] == pytest.approx(1.0, abs=1e-6)
    assert by_name["collapse_monai"] == 1.0
    assert {"rankme_centred", "rankme_standardised", "participation_ratio", "nesum", "alpha_req"} <= set(undefined)


def test_all_zero_embeddings_have_no_rank(sketch_of):
    records, undefined = measure_all(sketch_of(np.zeros((50, 3))))
    assert [record.estimator for record in records] == ["collapse_monai"]
    assert "the embeddings are all zero" in undefined["rankme"]


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_fewer_rows_than_dimensions(population, sketch_of, method):
    rows = population(30, 100)
    sketch = sketch_of(rows, method=method)
    np.testing.assert_allclose(sketch.spectrum(), np.linalg.svd(rows, compute_uv=False), rtol=1e-8)
    centred = sketch.spectrum(centred=True)
    assert centred.shape == (30,)
    assert centred[-1] == 0.0  # the mean takes one away
    assert any("n = 30 is under dim = 100" in warning for warning in measure_rank(sketch).warnings)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_dimensions_that_repeat_others_count_for_nothing(population, sketch_of, method):
    rows = population(400, 6)
    repeated = np.hstack([rows, rows, np.zeros((400, 20))])
    alone, together = (measure_rank(sketch_of(each, method=method)) for each in (rows, repeated))
    assert together.value == pytest.approx(alone.value, rel=1e-9)
    assert any("26 singular values are zero" in warning for warning in together.warnings)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_a_constant_dimension_has_no_part_in_the_standardised_rank(population, sketch_of, method):
    rows = population(400, 6)
    constant = np.hstack([rows, np.full((400, 1), 0.1)])
    values = [measure_rank(sketch_of(each, method=method), "rankme_standardised").value for each in (rows, constant)]
    assert values[1] == pytest.approx(values[0], rel=1e-9)


def test_sketches_of_different_shape_do_not_merge():
    with pytest.raises(SonoscaleError, match="dim 4 and 5"):
        SpectralSketch(4).merge(SpectralSketch(5))
    with pytest.raises(SonoscaleError, match="blocks 16 and 8"):
        SpectralSketch(4).merge(SpectralSketch(4, blocks=8))
    with pytest.raises(SonoscaleError, match="method gram and qr"):
        SpectralSketch(4).merge(SpectralSketch(4, method="qr"))
