"""What other implementations make of the same matrix.

reptrix 0.1.0, MONAI 1.6.1 and lightly 1.6.0 are run as installed; the paper, stable-pretraining 0.1.8
(`callbacks/rankme.py`, torch and JAX) and RADIO (`examples/ssl_metrics.py`) by their formulas on NumPy's SVD.
"""

import importlib.metadata
import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sonoscale.rank import measure_rank
from sonoscale.rank._formulas import alpha_req


def module_of(distribution, name):
    """One module of an installed package, without the rest of it: that asks for torchvision and more."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    path = next(Path(str(file.locate())) for file in files if str(file) == name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = {
    "steep": (600, 128, 1.5, 0.0),
    "flat with an offset": (600, 96, 0.3, 2.0),
    "fewer rows than dimensions": (80, 128, 1.0, 0.2),
}


@pytest.fixture(params=CASES, scope="module")
def case(request, population, sketch_of):
    """A matrix, its singular values, and its sketch."""
    n, dim, decay, mean = CASES[request.param]
    matrix = population(n, dim, decay=decay, mean=mean)
    return matrix, np.linalg.svd(matrix, compute_uv=False), sketch_of(matrix)


def test_reptrix(case):
    reptrix = pytest.importorskip("reptrix.rankme")
    matrix, _, sketch = case
    assert measure_rank(sketch, "rankme_reptrix").value == pytest.approx(
        reptrix.get_rankme(torch.from_numpy(matrix)), rel=1e-6
    )


def test_reptrix_alpha(case):
    reptrix = pytest.importorskip("reptrix.alpha")
    matrix, _, sketch = case
    last = min(100, min(matrix.shape) - 1)  # about the mean, the last eigenvalue of few rows is zero
    theirs = reptrix.get_alpha(torch.from_numpy(matrix), fit_range=np.arange(10, last))[0]
    ours = alpha_req(sketch.spectrum(centred=True), fit_range=(11, last))
    assert ours.alpha == pytest.approx(float(theirs), rel=1e-6)
    if last == 100:
        assert measure_rank(sketch, "alpha_req").value == ours.alpha


def test_stable_pretraining(case):
    """By its formulas: its package cannot be installed without the rest, as it hooks itself into Lightning."""
    _, s, sketch = case
    p = s / s.sum() + 1e-5
    ours = measure_rank(sketch, "rankme_stable_pretraining").value
    assert ours == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-6)
    p = s / (s.sum() + 1e-7) + 1e-7
    ours = measure_rank(sketch, "rankme_stable_pretraining_jax").value
    assert ours == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-6)


def test_radio(case):
    """By the documented formula: RADIO is no package."""
    _, s, sketch = case
    positive = s[s > 0]
    p = positive / (positive.sum() + 1e-7)
    assert measure_rank(sketch, "rankme_radio").value == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-6)


def test_lightly(case):
    theirs = module_of("lightly", "lightly/loss/regularizer/dse.py")
    matrix, _, sketch = case
    expected = theirs.DSERegularizer()._effective_dimensionality(torch.from_numpy(matrix))
    assert measure_rank(sketch, "rankme_lightly").value == pytest.approx(expected.item(), rel=1e-6)


def test_the_paper(case):
    _, s, sketch = case
    p = s / np.abs(s).sum() + 1e-7
    assert measure_rank(sketch, "rankme_paper").value == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-6)


def test_monai(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("monai.metrics")
    matrix, _, sketch = case
    theirs = metrics.compute_embedding_collapse(torch.from_numpy(matrix), include_indicators=["effective_rank"])
    assert measure_rank(sketch, "collapse_monai").value == pytest.approx(
        float(theirs["effective_rank_score"]), abs=1e-6
    )


def test_the_same_matrix_has_many_rank_mes(population, sketch_of):
    """With an offset, the published implementations disagree by a factor of tens."""
    sketch = sketch_of(population(4000, 512, decay=1.0, mean=3.0))
    uncentred, centred = (measure_rank(sketch, name, interval=False) for name in ("rankme", "rankme_centred"))
    assert centred.value > 30 * uncentred.value
    assert any("the mean holds" in warning for warning in uncentred.warnings)
    assert not any("the mean holds" in warning for warning in centred.warnings)
