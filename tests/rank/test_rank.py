"""Effective rank against a plain singular value decomposition and against its own definition's properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from sonoscale.errors import SonoscaleError
from sonoscale.rank import SpectralSketch, measure_rank, rankme


def population(n, dim, decay=1.0, mean=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -decay + mean


def sketch_of(rows, batch=100, blocks=16):
    sketch = SpectralSketch(rows.shape[1], blocks=blocks)
    for start in range(0, len(rows), batch):
        sketch.update(rows[start : start + batch])
    return sketch


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(1e-6, 1e6)))
def test_rankme_is_the_exponential_of_scipys_entropy(values):
    assert rankme(values) == pytest.approx(np.exp(stats.entropy(values)), rel=1e-10)


@pytest.mark.parametrize("k", [1, 3, 17])
def test_k_equal_singular_values_have_rank_k_whatever_zeros_follow(k):
    assert rankme(np.concatenate([np.full(k, 2.5), np.zeros(9)])) == pytest.approx(k)


def test_published_eps_raises_the_rank_with_the_number_of_zeros():
    few, many = np.r_[1.0, np.zeros(100)], np.r_[1.0, np.zeros(4000)]
    assert rankme(few, eps=1e-7) < rankme(many, eps=1e-7)
    assert rankme(few) == rankme(many) == 1.0


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [np.nan], [[1.0]]])
def test_rankme_refuses(bad):
    with pytest.raises(SonoscaleError):
        rankme(np.array(bad, dtype=float))


@pytest.mark.parametrize("mean", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("n", [20, 333])
def test_streamed_singular_values_are_numpys(mean, centred, n):
    rows = population(n, 48, mean=mean)
    direct = np.linalg.svd(rows - rows.mean(0) * centred, compute_uv=False)
    streamed = sketch_of(rows, batch=17).singular_values(centred=centred)
    assert streamed.shape == direct.shape
    # A Gram matrix resolves a singular value to about sqrt(eps) of the largest one.
    np.testing.assert_allclose(streamed, direct, rtol=1e-6, atol=1e-7 * direct[0])


def test_the_order_and_size_of_batches_do_not_matter():
    rows = population(500, 16, mean=5.0)
    one, many = sketch_of(rows, batch=500), sketch_of(rows, batch=7)
    for centred in (False, True):
        np.testing.assert_allclose(one.singular_values(centred=centred), many.singular_values(centred=centred))


def test_merge_is_the_union_commutative_and_associative():
    a, b, c = (population(n, 12, mean=m, seed=n) for n, m in [(100, 0.0), (37, 50.0), (64, -3.0)])
    sa, sb, sc = sketch_of(a), sketch_of(b), sketch_of(c)
    for centred in (False, True):
        whole = np.linalg.svd(np.vstack([a, b, c]) - centred * np.vstack([a, b, c]).mean(0), compute_uv=False)
        for merged in (
            sa.merge(sb).merge(sc),
            sc.merge(sb.merge(sa)),
            sb.merge(SpectralSketch(12)).merge(sc.merge(sa)),
        ):
            assert merged.n == 201
            np.testing.assert_allclose(merged.singular_values(centred=centred), whole, rtol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_of_any_dtype_gives_what_numpy_gives(dtype):
    rows = torch.from_numpy(population(100, 8)).to(dtype)
    sketch = SpectralSketch(8)
    sketch.update(rows)
    direct = np.linalg.svd(rows.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(sketch.singular_values(), direct, rtol=1e-10)


def test_rank_does_not_change_with_scale_or_rotation():
    rows = population(300, 10, mean=1.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((10, 10)))
    value = measure_rank(sketch_of(rows)).value
    assert measure_rank(sketch_of(rows @ rotation * 37.0)).value == pytest.approx(value)


def test_a_bad_row_is_named_and_changes_nothing():
    sketch = sketch_of(population(100, 8))
    before = sketch.singular_values()
    rows = population(20, 8, seed=1)
    rows[3, 2] = np.nan
    with pytest.raises(SonoscaleError, match="embedding 103 holds NaN"):
        sketch.update(rows)
    with pytest.raises(SonoscaleError, match=r"must be \[batch, 8\], not \[4, 7\]"):
        sketch.update(np.zeros((4, 7)))
    assert sketch.n == 100
    np.testing.assert_array_equal(sketch.singular_values(), before)


def test_empty_sketch_and_merge_of_different_dims():
    with pytest.raises(SonoscaleError, match="empty"):
        SpectralSketch(4).singular_values()
    with pytest.raises(SonoscaleError, match="dim 5"):
        SpectralSketch(4).merge(SpectralSketch(5))


@pytest.mark.parametrize(("centred", "decay"), [(False, 1.0), (True, 0.5)])
def test_interval_covers_what_another_sample_of_the_same_size_gives_on_average(centred, decay):
    n, dim, trials = 640, 16, 200
    values = [measure_rank(sketch_of(population(n, dim, decay, seed=s)), centred=centred) for s in range(trials)]
    truth = np.mean([record.value for record in values])
    covered = np.mean([record.lo <= truth <= record.hi for record in values])
    assert 0.90 <= covered <= 0.99


def test_warnings_say_what_should_stop_a_reader():
    few = measure_rank(sketch_of(population(100, 48)))
    assert any("n = 100 is under 8 * dim = 384" in w for w in few.warnings)
    offset = measure_rank(sketch_of(population(2000, 8, mean=20.0)))
    assert any("mean holds" in w for w in offset.warnings)
    assert measure_rank(sketch_of(population(2000, 8, mean=20.0)), centred=True).warnings == ()
    full = measure_rank(sketch_of(population(4000, 4, decay=0.0)))
    assert any("ceiling 4" in w for w in full.warnings)
    assert full.normalised == pytest.approx(1.0, abs=0.01)
