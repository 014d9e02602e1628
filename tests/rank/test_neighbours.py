"""Two-NN against known dimensions, another library's neighbour search, and simulation of its interval."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import KDTree, distance
from sklearn.datasets import make_swiss_roll
from sklearn.neighbors import NearestNeighbors

from sonoscale.errors import SonoscaleError
from sonoscale.rank import _neighbours
from sonoscale.rank._neighbours import two_nn


def isometry(dim, into, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((into, dim)))[0].T


def sample(kind, n, dim, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, dim)) if kind == "cube" else rng.standard_normal((n, dim))


def reference(rows, discard):
    """The fit and the log ratios, by scikit-learn's tree (which takes differences) and NumPy's least squares."""
    distances = NearestNeighbors(n_neighbors=3, algorithm="ball_tree").fit(rows).kneighbors(rows)[0]
    mu = np.sort(distances[:, 2] / distances[:, 1])
    n = len(mu)
    kept = min(n - round(discard * n), n - 1)
    cumulate = np.arange(1, n + 1) / n
    slope = np.linalg.lstsq(np.log(mu[:kept, None]), -np.log(1 - cumulate[:kept]), rcond=None)[0][0]
    return slope, np.log(mu)


# The tolerances are the bias of the boundary, which grows with d (two_nn's docstring), and 3 standard errors.
@pytest.mark.parametrize(("dim", "tolerance"), [(1, 0.09), (2, 0.1), (5, 0.15), (10, 0.22)])
@pytest.mark.parametrize("kind", ["cube", "gauss"])
def test_known_dimensions_in_64(kind, dim, tolerance):
    found = two_nn(sample(kind, 2000, dim) @ isometry(dim, 64))
    assert found.value == pytest.approx(dim, rel=tolerance)
    assert found.mle == pytest.approx(dim, rel=tolerance)
    assert (found.n, found.duplicates, found.level) == (2000, 0, 0.95)


def test_a_rolled_up_sheet_has_dimension_two():
    rows = make_swiss_roll(3000, random_state=0)[0] @ isometry(3, 16)
    assert two_nn(rows).value == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(("n", "discard"), [(10, 0.1), (64, 0.0), (333, 0.25), (1500, 0.1)])
def test_it_is_scikit_learns_neighbours_and_numpys_line(n, discard, offset):
    rows = sample("gauss", n, 5, seed=n) @ isometry(5, 24) + offset
    found = two_nn(rows, discard=discard, level=0.9)
    slope, log_mu = reference(rows, discard)
    assert found.value == pytest.approx(slope, rel=1e-9)
    assert found.mle == pytest.approx(n / log_mu.sum(), rel=1e-9)
    # at d = low (high) the observed sum would be at the 5% (95%) quantile of its Gamma distribution
    assert stats.gamma.cdf(log_mu.sum(), n, scale=1 / found.low) == pytest.approx(0.05, rel=1e-6)
    assert stats.gamma.cdf(log_mu.sum(), n, scale=1 / found.high) == pytest.approx(0.95, rel=1e-6)


def test_a_large_mean_costs_nothing():
    rows = np.round(sample("cube", 800, 3) * 2.0**30) / 2.0**30  # a shift by 1e4 is then exact
    plain, shifted = two_nn(rows), two_nn(rows + 1e4)
    assert shifted.value == pytest.approx(plain.value, rel=1e-12)
    assert shifted.mle == pytest.approx(plain.mle, rel=1e-12)


def test_tight_clusters_far_apart_are_searched_in_full(monkeypatch):
    rng = np.random.default_rng(0)
    # 1e-10 between neighbours at 1 between clusters: |x|^2 + |y|^2 - 2xy has no correct digit left
    rows = np.repeat(rng.standard_normal((40, 6)), 30, axis=0) + 1e-10 * rng.standard_normal((1200, 6))
    searched = []
    full = distance.cdist
    monkeypatch.setattr(distance, "cdist", lambda x, *a: searched.append(len(x)) or full(x, *a))
    assert two_nn(rows).value == pytest.approx(reference(rows, 0.1)[0], rel=1e-9)
    assert sum(searched) == 1200
    searched.clear()
    two_nn(sample("gauss", 1200, 6) + 1e7)
    assert sum(searched) == 0  # centring first leaves nothing in doubt


def test_near_copies_keep_their_digits():
    rng = np.random.default_rng(0)
    # triples 1e-12 apart: centring rounds by 1e-16, a ten-thousandth of that
    rows = np.repeat(rng.standard_normal((100, 4)), 3, axis=0) + 1e-12 * rng.standard_normal((300, 4))
    assert two_nn(rows).value == pytest.approx(reference(rows, 0.1)[0], rel=1e-9)


@pytest.mark.parametrize("block", [7, 100, 499, 500])
def test_blocks_do_not_show(monkeypatch, block):
    rows = sample("gauss", 500, 4)
    whole = two_nn(rows)
    monkeypatch.setattr(_neighbours, "BLOCK", block)
    assert two_nn(rows) == whole


def test_memory_is_far_from_n_squared(monkeypatch):
    monkeypatch.setattr(_neighbours, "BLOCK", 64)
    rows = sample("gauss", 2000, 4)
    tracemalloc.start()
    two_nn(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 8 / 4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-290, 300), st.integers(10, 80), st.integers(2, 8))
def test_scale_rotation_and_order_change_nothing(seed, power, n, dim):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim))
    moved = rng.permutation(rows) @ isometry(dim, dim, seed) * 10.0**power
    before, after = two_nn(rows), two_nn(moved)
    for field in ("value", "mle", "low", "high"):
        assert getattr(after, field) == pytest.approx(getattr(before, field), rel=1e-7)
    assert before.low < before.mle < before.high


def test_exact_copies_count_once_and_are_reported():
    rows = sample("cube", 200, 3)
    rows[0, 0] = 0.0
    copies = np.concatenate([rows, rows[:50], rows[:1]])
    copies[-1, 0] = -0.0  # equal to 0.0
    found, alone = two_nn(copies), two_nn(rows)
    assert (found.n, found.duplicates) == (200, 51)
    assert (found.value, found.mle, found.low, found.high) == (alone.value, alone.mle, alone.low, alone.high)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_of_any_float_dtype_gives_what_numpy_gives(dtype):
    rows = torch.from_numpy(sample("gauss", 100, 16)).to(dtype).requires_grad_()
    assert two_nn(rows) == two_nn(rows.detach().double().numpy())


def coverage(trials, dim, n, *, widen=1.0):
    """How often the interval, its halves widened, holds `dim`; and the spread of `mle` over what it assumes."""
    found = [two_nn(np.random.default_rng(seed).random((n, dim))) for seed in range(trials)]
    held = [f.mle + widen * (f.low - f.mle) <= dim <= f.mle + widen * (f.high - f.mle) for f in found]
    mle = np.array([f.mle for f in found])
    return np.mean(held), mle.std() / mle.mean() * np.sqrt(n)


def test_the_interval_is_exact_for_independent_ratios(monkeypatch):
    def independent(rows):
        rng = np.random.default_rng(int(rows[0, 0] * 2**40))
        return np.ones(len(rows)), 1.0 + rng.pareto(2.0, len(rows))

    monkeypatch.setattr(_neighbours, "_two_nearest", independent)
    held, spread = coverage(1000, 2, 50)
    assert held == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1000))
    assert spread == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_shared_distances_make_the_interval_too_narrow_as_documented(monkeypatch, dim):
    def periodic(rows):
        distances = KDTree(rows, boxsize=1.0).query(rows, 3)[0]
        return distances[:, 1], distances[:, 2]

    monkeypatch.setattr(_neighbours, "_two_nearest", periodic)
    held, spread = coverage(600, dim, 100)
    assert 0.84 <= held <= 0.92  # nominal 0.95
    assert 1.15 <= spread <= 1.4
    assert coverage(600, dim, 100, widen=1.27)[0] == pytest.approx(0.95, abs=0.025)


def test_coverage_on_the_square_and_the_cube_of_five_is_what_the_docstring_says():
    assert coverage(600, 2, 100)[0] == pytest.approx(0.87, abs=0.04)
    assert coverage(600, 5, 100)[0] == pytest.approx(0.71, abs=0.06)


def test_bias_at_ten_dimensions_leaves_the_interval_behind():
    found = [two_nn(sample("cube", 2000, 10, seed)) for seed in range(4)]
    assert all(f.high < 10 for f in found)
    assert np.mean([f.mle for f in found]) == pytest.approx(8.59, abs=0.4)


LATTICE = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (LATTICE, "neighbours of 125 of 125 distinct rows are equally far"),
        (LATTICE @ isometry(3, 9) + 1e4, "of 125 distinct rows are equally far"),
        (np.eye(30), "neighbours of 30 of 30 distinct rows are equally far"),
        (np.repeat(sample("cube", 9, 3), 4, axis=0), r"at least 10 distinct rows, not 9 \(of 36 rows\)"),
        (np.ones((50, 3)), r"at least 10 distinct rows, not 1 \(of 50 rows\)"),
        (
            np.concatenate([sample("cube", 20, 1), [[1e-200], [2e-200]]]),
            "2 of 22 distinct rows are nearer another than 1e-140",
        ),
        (np.where(np.arange(60).reshape(20, 3) // 3 == 7, np.nan, 1.0), "1 of 20 embeddings hold NaN.* row 7"),
        (np.arange(40).reshape(20, 2), "int64: they must be floating point"),
        (torch.ones(20, 2, dtype=torch.int32), "int32: they must be floating point"),
        (np.ones(20), r"not \[20\]"),
        (np.ones((20, 0)), r"not \[20, 0\]"),
        (np.ones((1, 4)), r"not \[1, 4\]"),
    ],
)
def test_refusals_say_what_is_wrong(rows, message):
    with pytest.raises(SonoscaleError, match=message):
        two_nn(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discard": 1.0}, r"discard must be in \[0, 1\), not 1.0"),
        ({"discard": -0.1}, "not -0.1"),
        ({"discard": np.nan}, "not nan"),
        ({"discard": 0.95}, "discard=0.95 leaves 1 of 20"),
        ({"level": 0.0}, r"level must be in \(0, 1\), not 0.0"),
        ({"level": 1.0}, "not 1.0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(SonoscaleError, match=message):
        two_nn(sample("cube", 20, 3), **options)
