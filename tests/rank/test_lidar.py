"""LiDAR against its definition, and what other implementations make of it."""

import numpy as np
import pytest
import torch

from sonoscale.errors import SonoscaleError
from sonoscale.rank import LidarSketch


@pytest.fixture(scope="module")
def views():
    """`[300, 10, 20]`: clips, views of each, dim."""
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((300, 1, 20)) * np.arange(1, 21.0) ** -0.5
    noise = rng.standard_normal((300, 10, 20)) * np.arange(20, 0, -1.0) ** -0.3
    return clips + 0.3 * noise + 2.0


def defined(views, delta, *, over=0):
    """Eigenvalues by the paper's matrices; `over` is taken off each number that sums are divided by."""
    means = views.mean(axis=1)
    between = np.cov(means.T, bias=over == 0)
    rest = (views - means[:, None]).reshape(-1, views.shape[2])
    within = rest.T @ rest / (len(rest) - over) + delta * np.eye(views.shape[2])
    w, v = np.linalg.eigh(within)
    root = v @ np.diag(w**-0.5) @ v.T
    return np.linalg.eigvalsh(root @ between @ root)[::-1]


def effective_rank(values):
    p = values / values.sum()
    return np.exp(-np.sum(p * np.log(p)))


def fed(views, *cuts):
    sketch = LidarSketch(views.shape[2])
    for part in np.split(views, cuts):
        sketch.update(part)
    return sketch


@pytest.mark.parametrize("delta", [1e-8, 1e-4, 1.0])
def test_definition(views, delta):
    expected = defined(views, delta)
    np.testing.assert_allclose(fed(views).eigenvalues(delta=delta), expected, rtol=1e-9)
    record = fed(views).measure(delta=delta)
    assert record.value == pytest.approx(effective_rank(expected), rel=1e-9)
    assert record.low < record.value < record.high
    assert (record.n, record.dim, record.centred) == (300, 20, True)
    assert record.estimator == f"lidar(delta={delta:g}, views=10)"


def test_radio_divides_by_one_less_and_adds_delta_again(views):
    """Its eigenvalues differ by the factor of the two denominators, and so does its rank where delta is small."""
    theirs = effective_rank(defined(views, 1e-8, over=1) + 1e-8)
    assert fed(views).measure(delta=1e-8).value == pytest.approx(theirs, rel=1e-6)


def test_reptrix_takes_the_spectrum_of_a_spectrum(views):
    """It hands the LiDAR matrix to a principal component analysis of its rows, which squares the eigenvalues."""
    reptrix = pytest.importorskip("reptrix.lidar")
    theirs = reptrix.get_lidar(torch.from_numpy(views), 300, 10, del_sigma_augs=1e-8)
    eigenvalues = fed(views).eigenvalues(delta=1e-9)  # its scatter within clips is not divided by their 10 views
    assert theirs == pytest.approx(effective_rank(eigenvalues**2), rel=0.1)
    assert theirs < 0.5 * effective_rank(eigenvalues)


def test_cuts_merges_and_libraries_make_no_difference(views, tmp_path):
    expected = fed(views).measure()
    merged = fed(views[:113]).merge(fed(views[113:]))
    as_tensor = LidarSketch(20)
    as_tensor.update(torch.from_numpy(views))
    merged.save(tmp_path / "l.safetensors")
    for sketch in (fed(views, 1, 100, 299), merged, as_tensor, LidarSketch.load(tmp_path / "l.safetensors")):
        assert sketch.n == 300
        assert sketch.measure().value == pytest.approx(expected.value, rel=1e-10)
    cut = fed(views, 1, 100, 299).measure()
    assert (cut.low, cut.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_the_interval_covers_the_mean_over_samples():
    records = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        clips = rng.standard_normal((128, 1, 8)) * np.arange(1, 9.0) ** -0.7
        records.append(fed(clips + 0.3 * rng.standard_normal((128, 4, 8))).measure())
    mean = np.mean([record.value for record in records])
    assert 0.9 <= np.mean([record.low <= mean <= record.high for record in records]) <= 0.99


def test_a_rotation_changes_nothing_and_views_that_agree_leave_delta(views):
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((20, 20)))
    assert fed(views @ rotation).measure().value == pytest.approx(fed(views).measure().value)
    same = np.repeat(views[:, :1], 3, axis=1)
    means = np.linalg.svd(same[:, 0] - same[:, 0].mean(axis=0), compute_uv=False)
    assert fed(same).measure().value == pytest.approx(effective_rank(means**2), rel=1e-9)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5, 20), r"\[clips, views, 20\]"), ((5, 1, 20), "at least 2 views"), ((5, 3, 19), r"not \[5, 3, 19\]")],
)
def test_wrong_shapes(shape, message):
    with pytest.raises(SonoscaleError, match=message):
        LidarSketch(20).update(np.zeros(shape))


def test_too_little_to_tell(views):
    with pytest.raises(SonoscaleError, match="at least 2 clips, not 1"):
        fed(views[:1]).measure()
    with pytest.raises(SonoscaleError, match="no clip differs from another"):
        fed(np.repeat(views[:1], 5, axis=0)).measure()
    with pytest.raises(SonoscaleError, match="singular with delta = 0"):
        fed(np.repeat(views[:, :1], 2, axis=1)).measure(delta=0.0)
    few = fed(views[:12]).measure()
    assert few.value < 12
    assert any("12 clips are fewer than dim = 20" in warning for warning in few.warnings)
    spoiled = views.copy()
    spoiled[4, 2, 0] = np.nan
    sketch = fed(views[:50])
    with pytest.raises(SonoscaleError, match="NaN"):
        sketch.update(spoiled)
    assert sketch.measure().value == fed(views[:50]).measure().value
    close = np.full((3, 2, 20), 1e-135) + 1e-145 * np.arange(2)[None, :, None]
    with pytest.raises(SonoscaleError, match="cannot be squared"):
        sketch.update(close)
    assert sketch.measure().value == fed(views[:50]).measure().value
    handful = fed(views[:3]).measure()
    assert (handful.low, handful.high) == (1.0, 2.0)
    assert any("no interval" in warning for warning in handful.warnings)
