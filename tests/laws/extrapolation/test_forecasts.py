"""Forecasts of `extrapolate` on curves whose truth is known: right, covered, and free of units and order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sonoscale.laws import extrapolate

X = np.geomspace(1e3, 1e6, 16)
AHEAD = np.array([2e6, 4e6])


def m2(x):
    return 0.5 + 8.0 * x**-0.35


def m3(x):
    return 0.3 + 6.0 * (1.0 / x + 1e-6) ** 0.3


def bnsl1(x):
    return 0.2 + 3.0 * x**-0.1 * (1.0 + (x / 3e4) ** 2.0) ** -0.1


def hill(x):
    return 0.6 + 2.0 * (1.0 + (x / 8e3) ** 1.5) ** -0.3


def logistic(x):
    return 0.4 + 1.2 / (1.0 + (x / 2e4) ** 0.6)


def m4(x):
    """(y - e) / (y0 - y)^s = a x^-b by bisection."""
    low, high = np.full_like(x, 0.35), np.full_like(x, 2.3)
    for _ in range(200):
        y = 0.5 * (low + high)
        over = (y - 0.35) / (2.3 - y) ** 0.7 > 9.0 * x**-0.4
        low, high = np.where(over, low, y), np.where(over, y, high)
    return 0.5 * (low + high)


def noisy(law, x, *, sd=0.01, seed=0):
    return law(x) * np.exp(sd * np.random.default_rng(seed).normal(size=len(x)))


def fields(forecast):
    return {name: np.asarray(value) for name, value in dataclasses.asdict(forecast).items()}


@pytest.mark.parametrize(
    ("law", "within"), [(m2, 0.03), (m3, 0.03), (m4, 0.03), (bnsl1, 0.06), (hill, 0.03), (logistic, 0.03)]
)
def test_each_kind_of_truth_is_recovered_at_twice_the_data(law, within):
    """Within 1 % without noise, within 3 % with noise of 1 %, whichever form of the panel is the right one.

    Within 6 % after a break, which only one of the six forms has.
    """
    x = np.geomspace(1e3, 1e6, 40)
    exact = extrapolate(x, law(x)).predict(AHEAD[:1])
    assert exact.value == pytest.approx(law(AHEAD[:1]), rel=0.01)
    for seed in range(3):
        assert extrapolate(x, noisy(law, x, seed=seed)).predict(AHEAD[:1]).value == pytest.approx(
            law(AHEAD[:1]), rel=within
        )


@pytest.mark.parametrize(
    ("up", "down", "ends", "words"),
    [
        (lambda fall: 1.0 - fall, lambda y: 1.0 - y, (0.0, 1.0), "log(1 - y)"),
        (lambda fall: 100.0 - 100.0 * fall, lambda y: 1.0 - y / 100.0, (0.0, 100.0), "log(100 - accuracy)"),
        (lambda fall: 30.0 / fall, lambda y: 30.0 / y, (0.0, np.inf), "log(1 / y)"),
    ],
    ids=["score", "percent", "rank"],
)
def test_what_rises_is_predicted_as_the_same_law_that_falls(up, down, ends, words):
    """A score is its distance from the ceiling, percent the same times 100, a rank its inverse: equal predictions."""
    fall = noisy(lambda x: 0.2 + 5.0 * x**-0.4, X)
    loss = extrapolate(X, fall).predict(AHEAD)
    rising = extrapolate(X, up(fall), y_name="accuracy" if ends[1] == 100 else "y")
    found = rising.predict(AHEAD)
    np.testing.assert_allclose(down(found.value), loss.value, rtol=2e-3)
    np.testing.assert_allclose(down(found.low), loss.high, rtol=5e-3)
    np.testing.assert_allclose(down(found.high), loss.low, rtol=5e-3)
    assert (ends[0] <= found.low).all()
    assert ((found.low < found.value) & (found.value < found.high)).all()
    assert (found.high <= ends[1]).all()
    assert rising.fitted == words


def test_the_unit_can_be_given():
    """The same rising numbers as a score and as an unbounded quantity end differently."""
    y = noisy(lambda x: 0.2 * x**0.1, X, sd=0.003)
    ends = {unit: extrapolate(X, y, unit=unit).predict([1e13]).high[0] for unit in ("fraction", "none")}
    assert ends["fraction"] <= 1.0 < ends["none"]


@pytest.mark.slow
def test_prediction_intervals_cover_new_runs():
    """60 curves with noise of 2 %, of four kinds: 95 % intervals hold 89 % or more (95 % less 2 binomial s.d.).

    A limit of the width keeps intervals that hold everything from passing.
    """
    n, inside, widths = 16, [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        law = (m2, m3, hill, logistic)[seed % 4]
        x = np.geomspace(1e3, 1e6, n)
        new = law(AHEAD) * np.exp(0.02 * rng.normal(size=2))
        found = extrapolate(x, law(x) * np.exp(0.02 * rng.normal(size=n))).predict(AHEAD)
        inside.append((found.low <= new) & (new <= found.high))
        widths.append(np.log(found.high / found.low))
    share, wide = np.mean(inside, axis=0), np.array(widths)
    assert (share >= 0.89).all(), share
    assert np.median(wide[:, 0]) < 0.25
    assert np.quantile(wide[:, 0], 0.95) < 0.6, "one wild curve of the panel widens the interval of a plain law"


def test_no_form_that_turns_upwards_widens_the_interval():
    """A broken power law that bends up just beyond an origin once predicted e^40 there."""
    found = extrapolate(X, noisy(m2, X, sd=0.02)).predict(AHEAD)
    assert (found.high / found.low < 1.6).all()


def test_drift_is_near_zero_where_the_law_holds_and_grows_where_it_breaks():
    x = np.geomspace(1e3, 1e6, 40)
    holds = extrapolate(x, m2(x), form="M2")
    assert holds.drift < 1e-4
    assert holds.noise < 1e-4
    drifts = []
    for bend in (0.0, 0.1, 0.3):
        y = x**-0.1 * (1.0 + (x / 1e5) ** 3.0) ** (-bend / 3.0)
        drifts.append(extrapolate(x, noisy(lambda _, y=y: y, x, sd=0.002), form="M1").drift)
    assert drifts[0] < 0.3 * drifts[1] < drifts[1] < drifts[2]


@pytest.mark.parametrize("n", [20, 40])
def test_a_bend_inside_the_data_leaves_no_gap_at_their_top(n):
    """A law that steepens at a third of the largest x: once, 95 % intervals held 25 % of new runs there at n = 40."""
    inside, errors = [], []
    for seed in range(6):
        x = np.geomspace(1e3, 1e6, n)
        ahead = np.array([1e6, 2e6, 1e7])
        law = [(one / 1e3) ** -0.1 * (1.0 + (one / 3e5) ** 10.0) ** -0.03 for one in (x, ahead)]
        rng = np.random.default_rng(seed)
        y, new = (one * np.exp(0.01 * rng.normal(size=len(one))) for one in law)
        found = extrapolate(x, y, y_name="loss")
        prediction = found.predict(ahead)
        inside.append((prediction.low <= new) & (new <= prediction.high))
        errors.append(np.log(prediction.value / law[1])[0])
        assert found.correction < 0
    assert np.mean(inside, axis=0)[0] >= 5 / 6
    assert np.mean(inside) >= 0.9
    assert np.sqrt(np.mean(np.square(errors))) < 0.07  # 0.12 and more without the correction at the top


def test_few_degrees_of_freedom_are_reported():
    few = extrapolate(X[:5], noisy(m2, X[:5]), y_name="loss")
    assert any("degrees of freedom are left" in note for note in few.warnings)
    fewer = extrapolate(X[:3], noisy(m2, X[:3]), y_name="loss")
    assert any("1 degree of freedom is left" in note for note in fewer.warnings)
    assert not any("of freedom" in note for note in extrapolate(X, noisy(m2, X)).warnings)


def test_intervals_widen_with_the_reach_and_the_level():
    law = extrapolate(X, noisy(m3, X))
    found = law.predict(np.array([1e6, 2e6, 8e6, 64e6]))
    assert (np.diff(np.log(found.high / found.low)) > 0).all()
    assert found.reach == pytest.approx([1, 2, 8, 64])
    widths = []
    for level in (0.5, 0.8, 0.95):
        found = extrapolate(X, noisy(m3, X), level=level).predict(AHEAD)
        widths.append(np.log(found.high / found.low))
    assert (widths[0] < widths[1]).all()
    assert (widths[1] < widths[2]).all()


@pytest.mark.parametrize("form", ["auto", "M2", "BNSL1", "saturating_loss"])
def test_seeds_as_rows_of_one_configuration_do_not_narrow_the_interval(form):
    y = noisy(m2, X, sd=0.02)
    once = extrapolate(X, y, form=form)
    rows = np.repeat(np.arange(len(X)), 3)
    often = extrapolate(X[rows], y[rows], clusters=rows, form=form)
    assert often.noise == pytest.approx(once.noise, rel=0.02)
    assert often.drift == pytest.approx(once.drift, rel=0.02, abs=1e-4)
    new = np.array([X[-1], *AHEAD])
    one, other = fields(once.predict(new)), fields(often.predict(new))
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(other[name], one[name], rtol=0.01)


def test_the_same_rows_without_clusters_do_narrow_it():
    """The control: with clusters withheld, the interval within the data is a fifth narrower."""
    y = noisy(m2, X, sd=0.02)
    rows = np.repeat(np.arange(len(X)), 3)
    reported, unreported = (extrapolate(X[rows], y[rows], clusters=labels).predict(X[-1:]) for labels in (rows, None))
    assert np.log(unreported.high / unreported.low) < 0.8 * np.log(reported.high / reported.low)


@pytest.mark.parametrize("form", ["auto", "M2", "power_loss"])
def test_units_change_nothing_but_units(form):
    """Searches end where steps are small, not at zero gradient: hence the tolerance of 1.5 %."""
    y = noisy(m2, X)
    base = fields(extrapolate(X, y, form=form).predict(AHEAD))
    for k in (1e-9, 1e6):
        found = fields(extrapolate(k * X, y, form=form).predict(k * AHEAD))
        for name in ("value", "low", "high", "reach"):
            np.testing.assert_allclose(found[name], base[name], rtol=0.015, err_msg=f"x in {k:g}")
        found = fields(extrapolate(X, k * y, form=form).predict(AHEAD))
        for name in ("value", "low", "high"):
            np.testing.assert_allclose(found[name] / k, base[name], rtol=0.015, err_msg=f"y in {k:g}")


def test_the_order_of_rows_changes_nothing():
    y, clusters = noisy(m3, X), np.arange(16) // 2 * 2
    order = np.random.default_rng(3).permutation(16)
    one = extrapolate(X, y, clusters=clusters)
    other = extrapolate(X[order], y[order], clusters=[f"c{c}" for c in clusters[order]])
    assert (one.n_clusters, other.n_clusters) == (8, 8)
    for name, value in fields(one.predict(AHEAD)).items():
        np.testing.assert_allclose(fields(other.predict(AHEAD))[name], value, rtol=1e-4)


def test_a_named_form_is_that_form_alone_on_its_own_scale():
    log = extrapolate(X, noisy(m2, X), form="M2")
    linear = extrapolate(X, noisy(m2, X), form="saturating_loss")
    assert [one.form for one in log.panel] == ["M2"]
    assert (log.scale, linear.scale) == ("log", "linear")
    assert log.panel[0].params["e"].value == pytest.approx(0.5, abs=0.03)
    assert linear.panel[0].params["e"].value == pytest.approx(0.5, abs=0.03)
    saturating = extrapolate(X, 1.0 - m2(X) / 2.0, form="saturating")
    assert saturating.panel[0].params["c"].value == pytest.approx(0.75, rel=1e-3)
    assert saturating.predict(AHEAD).value == pytest.approx(1.0 - m2(AHEAD) / 2.0, rel=1e-3)


N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 1e11, 7)))


def surface(n, d):
    return 1.7 + 400.0 * n**-0.34 + 410.0 * d**-0.28


def test_several_variables():
    """Loss against N and D on a grid: forecasts 4 times beyond it, 20 tables with noise of 0.3 %."""
    ahead = np.array([[2e9, 2e11], [4e9, 1e11]])
    truth, inside, floors = surface(*ahead.T), [], []
    for seed in range(20):
        y = surface(N, D) * np.exp(0.003 * np.random.default_rng(seed).normal(size=len(N)))
        law = extrapolate(np.stack([N, D], axis=1), y, x_names=("N", "D"))
        found = law.predict(ahead)
        np.testing.assert_allclose(found.value, truth, rtol=0.01)
        inside.append((found.low < truth) & (truth < found.high))
        floors.append(law.panel[0].params["e"].value)
    assert np.mean(inside) >= 0.85
    assert np.mean(floors) == pytest.approx(1.7, abs=0.03)
    assert (law.origins, law.panel[0].form) == (3, "additive")  # a quarter of the largest takes no row from a half
    assert found.reach == pytest.approx([4.0, 4.0])


def test_size_is_what_origins_roll_along():
    """Six times the product is the same order; the first variable alone is another."""
    x = np.stack([N, D], axis=1)
    y = surface(N, D) * np.exp(0.003 * np.random.default_rng(0).normal(size=len(N)))
    product = extrapolate(x, y, x_names=("N", "D"))
    flops = extrapolate(x, y, x_names=("N", "D"), flops=6 * N * D)
    first = extrapolate(x, y, x_names=("N", "D"), flops=N)
    assert flops.largest == 6 * product.largest
    assert (flops.drift, flops.coverage) == pytest.approx((product.drift, product.coverage))
    assert first.drift != pytest.approx(product.drift, rel=0.01)
    assert first.predict(x[-1:], flops=[4e9]).reach == pytest.approx([4.0])


def test_many_variables_do_not_exhaust_the_memory():
    """The starts are a grid over all exponents: 8^6 of them once."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(0, 5, size=(40, 6)))
    y = 1.0 + (0.5 * x**-0.5).sum(axis=1)
    law = extrapolate(x, y, x_names=[f"v{i}" for i in range(6)])
    assert law.predict(x[:3]).value == pytest.approx(y[:3], rel=0.05)


def test_an_extrapolation_says_where_it_could_not_be_tried():
    few = extrapolate(X[:5], m2(X[:5]))
    assert few.origins == 0
    assert few.coverage is None
    assert few.drift == 0.0
    assert any("no earlier extrapolation could be tried" in line for line in few.warnings)
    assert any("too few different runs for M4, BNSL1, HILL" in line for line in few.warnings)


def test_runs_of_one_size_need_a_direction():
    """Runs of one compute budget: nothing to roll along, and no side to call larger."""
    n = np.geomspace(1e6, 1e9, 12)
    x = np.stack([n, 1e18 / n], axis=1)
    y = 1.0 + n**-0.3 * 50 + (x[:, 1]) ** -0.3 * 400
    with pytest.raises(Exception, match=r"nothing says whether more y is better: say it \(higher_is_better\)"):
        extrapolate(x, y, x_names=("N", "D"))
    law = extrapolate(x, y, x_names=("N", "D"), higher_is_better=False)
    assert law.origins == 0
    assert law.predict(x).value == pytest.approx(y, rel=1e-2)
