"""Alignment and uniformity against the paper's own torch code, closed forms, and their ranges."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import hyp0f1

from sonoscale.errors import SonoscaleError
from sonoscale.rank import _hypersphere
from sonoscale.rank._hypersphere import alignment, uniformity


def gauss(n, dim, seed=0, mean=0.0):
    return np.random.default_rng(seed).standard_normal((n, dim)) + mean


def torch_alignment(x, y, alpha):
    x, y = (F.normalize(torch.from_numpy(rows), dim=1) for rows in (x, y))
    return (x - y).norm(p=2, dim=1).pow(alpha).mean().item()


def torch_uniformity(x, t):
    return torch.pdist(F.normalize(torch.from_numpy(x), dim=1), p=2).pow(2).mul(-t).exp().mean().log().item()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.7])
@pytest.mark.parametrize(("n", "dim"), [(2, 1), (2, 9), (500, 32)])
def test_alignment_is_the_papers(n, dim, alpha):
    x, y = gauss(n, dim, 0, 0.3), gauss(n, dim, 1, 0.3)
    assert alignment(x, y, alpha=alpha) == pytest.approx(torch_alignment(x, y, alpha), rel=1e-12)


def test_the_default_alignment_is_two_minus_twice_the_mean_cosine():
    x, y = gauss(100, 8), gauss(100, 8, 1)
    cosine = F.cosine_similarity(torch.from_numpy(x), torch.from_numpy(y)).mean().item()
    assert alignment(x, y) == pytest.approx(2 - 2 * cosine, rel=1e-12)


@pytest.mark.parametrize("t", [0.1, 2.0, 10.0])
@pytest.mark.parametrize(("n", "dim", "mean"), [(2, 3, 0.0), (3, 1, 0.0), (700, 32, 0.0), (700, 32, 5.0)])
def test_uniformity_is_the_papers(n, dim, mean, t):
    x = gauss(n, dim, mean=mean)
    assert uniformity(x, t=t) == pytest.approx(torch_uniformity(x, t), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1024, 1025, 1026, 2300])
def test_uniformity_over_more_than_one_block_is_the_papers(n):
    x = gauss(n, 6, mean=0.2)
    assert uniformity(x) == pytest.approx(torch_uniformity(x, 2.0), rel=1e-12)


@pytest.mark.parametrize("block", [1, 7, 99, 100, 101])
def test_blocks_do_not_show(monkeypatch, block):
    x = gauss(100, 5)
    whole = uniformity(x)
    monkeypatch.setattr(_hypersphere, "BLOCK", block)
    assert uniformity(x) == pytest.approx(whole, rel=1e-13)


def test_memory_is_far_from_n_squared(monkeypatch):
    monkeypatch.setattr(_hypersphere, "BLOCK", 64)
    x = gauss(2000, 4)
    tracemalloc.start()
    uniformity(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 8 / 4


@pytest.mark.parametrize("alpha", [0.5, 2.0, 3.0])
def test_identical_pairs_and_opposite_pairs_are_the_ends_of_alignment(alpha):
    x = gauss(50, 7)
    assert alignment(x, x * 3.0, alpha=alpha) == pytest.approx(0.0, abs=1e-7)  # 3 x does not round like x
    assert alignment(x, x, alpha=alpha) == 0.0
    assert alignment(x, -x, alpha=alpha) == pytest.approx(2.0**alpha, rel=1e-12)


def test_rounding_does_not_leave_the_ranges():
    for seed in range(100):
        rows = np.repeat(gauss(1, 7, seed), 2, axis=0)
        assert alignment(rows, -rows) <= 4.0
        assert uniformity(rows) <= 0.0
        assert uniformity(rows * [[1.0], [-1.0]]) >= -8.0


@pytest.mark.parametrize("t", [0.5, 2.0, 1e3])
def test_equal_rows_and_an_opposite_pair_are_the_ends_of_uniformity(t):
    row = gauss(1, 7)
    assert uniformity(np.repeat(row, 40, axis=0), t=t) == pytest.approx(0.0, abs=1e-14 * t)
    assert uniformity(np.concatenate([row, -row]), t=t) == pytest.approx(-4 * t, rel=1e-12)


@pytest.mark.parametrize("k", [3, 5, 40])
@pytest.mark.parametrize("t", [2.0, 5e3])  # exp(-2 * 5e3) is 0 in float64
def test_uniformity_of_simplex_vertices_and_of_orthogonal_axes(k, t):
    # unit vectors at cosine -1 / (k - 1): every squared distance is 2 k / (k - 1)
    assert uniformity(np.eye(k) - 1 / k, t=t) == pytest.approx(-2 * t * k / (k - 1), rel=1e-12)
    assert uniformity(np.eye(k), t=t) == pytest.approx(-2 * t, rel=1e-12)


@pytest.mark.parametrize("dim", [2, 3, 16])
def test_uniformity_of_the_uniform_distribution_on_the_sphere(dim):
    # E exp(k cos) over the sphere is 0F1(; dim / 2; k^2 / 4), with k = 2 t
    t = 2.0
    assert uniformity(gauss(3000, dim), t=t) == pytest.approx(math.log(hyp0f1(dim / 2, t**2)) - 2 * t, abs=0.01)


vectors = arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.integers(1, 5)),
    elements=st.floats(-1e300, 1e300).filter(lambda v: v == 0 or abs(v) > 1e-300),
).filter(lambda rows: bool((rows != 0).any(axis=1).all()))


@settings(deadline=None, max_examples=100)
@given(vectors, st.floats(0.1, 8.0), st.randoms(use_true_random=False))
def test_both_stay_in_their_ranges_at_any_magnitude(rows, parameter, random):
    other = rows[random.sample(range(len(rows)), len(rows))]
    other = other * np.array([random.choice([-1.0, 1.0]) for _ in rows])[:, None]
    assert 0.0 <= alignment(rows, other, alpha=parameter) <= 2.0**parameter
    assert -4.0 * parameter <= uniformity(rows, t=parameter) <= 0.0


def test_the_mean_of_many_largest_distances_is_not_over_it():
    rows = np.tile([0.0, 0.0, 0.0, 1.0], (11, 1))
    assert alignment(rows, -rows, alpha=0.5) == 2.0**0.5


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 8))
def test_lengths_order_and_rotation_change_nothing(seed, n, dim):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n, dim)) + 0.1
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    order, lengths = rng.permutation(n), 10.0 ** rng.uniform(-100, 100, (n, 1))
    moved_x, moved_y = (x @ rotation * lengths)[order], (y @ rotation)[order]
    assert alignment(moved_x, moved_y) == pytest.approx(alignment(x, y), rel=1e-9, abs=1e-12)
    assert uniformity(moved_x) == pytest.approx(uniformity(x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_of_any_float_dtype_gives_what_numpy_gives(dtype):
    x, y = (torch.from_numpy(gauss(60, 8, seed)).to(dtype).requires_grad_() for seed in (0, 1))
    a, b = x.detach().double().numpy(), y.detach().double().numpy()
    assert alignment(x, y) == alignment(a, b)
    assert uniformity(x) == uniformity(a)


def with_rows(value, *indices):
    rows = gauss(10, 3)
    rows[list(indices)] = value
    return rows


BAD = [
    (with_rows(0.0, 4, 8), "2 of 10 .*embeddings are all zero, the first is row 4"),
    (with_rows(np.nan, 3), "1 of 10 .*embeddings hold NaN or infinity, the first is row 3"),
    (with_rows(-np.inf, 9, 2, 5), "3 of 10 .*embeddings hold NaN or infinity, the first is row 2"),
    (np.ones((10, 3), dtype=int), "embeddings are int64: they must be floating point"),
    (np.ones((10, 3), dtype=complex), "complex128: they must be floating point"),
    (torch.ones(10, 3, dtype=torch.int64), "int64: they must be floating point"),
    (np.ones((1, 3)), r"n >= 2 and dim >= 1, not \[1, 3\]"),
    (np.ones((10, 0)), r"not \[10, 0\]"),
    (np.ones(10), r"not \[10\]"),
    (np.ones((10, 3, 1)), r"not \[10, 3, 1\]"),
]


@pytest.mark.parametrize(("rows", "message"), BAD)
def test_refusals_say_what_is_wrong(rows, message):
    with pytest.raises(SonoscaleError, match=message):
        uniformity(rows)
    with pytest.raises(SonoscaleError, match=message):
        alignment(rows, gauss(10, 3))
    with pytest.raises(SonoscaleError, match=message):
        alignment(gauss(10, 3), rows)


def test_the_side_at_fault_is_named():
    with pytest.raises(SonoscaleError, match="1 of 10 second embeddings"):
        alignment(gauss(10, 3), with_rows(0.0, 6))
    with pytest.raises(SonoscaleError, match=r"one shape, not \[10, 3\] and \[9, 3\]"):
        alignment(gauss(10, 3), gauss(9, 3))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_parameters_out_of_range(value):
    with pytest.raises(SonoscaleError, match=rf"alpha must be in \(0, 1000\], not {value}"):
        alignment(gauss(10, 3), gauss(10, 3), alpha=value)
    with pytest.raises(SonoscaleError, match=rf"t must be in \(0, 1e6\], not {value}"):
        uniformity(gauss(10, 3), t=value)
