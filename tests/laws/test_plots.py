"""Figures of comparisons and log-linear laws show what their rows say."""

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws import compare, fit, fit_loglinear, fit_two_stage
from sonoscale.results import Result

pyplot = pytest.importorskip("matplotlib.pyplot")
N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 5), np.geomspace(10.0, 1000.0, 4)))
NOISE = np.random.default_rng(0).normal(size=(2, 20))
RUNS = {
    "params": N, "hours": D, "rankme": 40 * (N / 1e6) ** 0.2 * D**0.1 * np.exp(0.05 * NOISE[0]),
    "accuracy": 0.3 * (N / 1e6) ** 0.1 * D**0.05 * np.exp(0.02 * NOISE[1]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_window():
    before = pyplot.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


def test_the_best_law_of_a_comparison_comes_first():
    found = compare(RUNS, ["params", "hours"], y="accuracy", bootstrap=80)
    ax = found.plot()
    lengths = [bar.get_width() for bar in ax.patches]
    assert lengths == sorted(one.loo_rmse for one in found.fits)
    first = min(found.fits, key=lambda one: one.loo_rmse)
    assert ax.get_yticklabels()[0].get_text() == f"{first.x_name}, {first.form.name}"


def test_coefficients_with_their_intervals():
    law = fit_loglinear(RUNS, ["params", "hours"], y="accuracy", bootstrap=80)
    ax = law.plot(pyplot.subplots()[1])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["log params", "log hours"]
    ends = law.coefficients["log params"]
    assert tuple(ax.lines[0].get_xdata()) == (ends.low, ends.high)


def test_the_second_stage_over_its_runs():
    law = fit_two_stage(RUNS, ["params", "hours"], y="accuracy", bootstrap=80)
    ax = law.plot()
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], RUNS["rankme"])
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, law.quality_law.predict(x).value)


def test_a_name_of_a_file_is_no_axes_and_a_file_is_written_all_the_same(tmp_path):
    law = fit(RUNS, ["params"], y="accuracy", form="power", bootstrap=80)
    for result in (law, compare(RUNS, ["params"], y="accuracy", bootstrap=80)):
        with pytest.raises(SonoscaleError, match=r"ax = 'law\.png': plot draws on Axes .*; to_figure\('result\.png'\)"):
            result.plot("law.png")
        result.to_figure(tmp_path / "law.png")
        assert (tmp_path / "law.png").read_bytes()[:4] == b"\x89PNG"
    before = pyplot.get_fignums()
    law.to_figure(str(tmp_path / "law.svg"))
    assert "<svg" in (tmp_path / "law.svg").read_text()
    assert pyplot.get_fignums() == before
    with pytest.raises(SonoscaleError, match=r"law\.jpg: must end in \.png, \.pdf or \.svg"):
        law.to_figure(tmp_path / "law.jpg")
    with pytest.raises(SonoscaleError, match="Result has no figure"):
        Result().to_figure(tmp_path / "runs.png")
