"""Large tables are answered as small ones are: the limits are lowered, and the answers compared."""

from __future__ import annotations

import numpy as np
import pytest

from sonoscale.laws import FORMS, _fit_form, _newton, _thin, extrapolate, fit_form, read_runs
from sonoscale.laws.audit import _gather, audit
from sonoscale.laws.extrapolation import _rule
from sonoscale.laws.plan import _drift, _surface, plan_allocation

N = 5000
TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 1200.0, "beta": 0.36}


@pytest.fixture(scope="module")
def runs():
    """5,000 checkpoints of 2,500 runs, whose errors are half shared."""
    rng = np.random.default_rng(3)
    of = np.repeat(np.arange(N // 2), 2)
    n = np.exp(rng.uniform(np.log(1e6), np.log(1e10), N // 2))[of]
    d = np.exp(rng.uniform(np.log(1e8), np.log(1e12), N))
    error = 0.02 * (rng.standard_normal(N // 2)[of] + rng.standard_normal(N)) / np.sqrt(2)
    loss = (TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]) * np.exp(error)
    return {"config": of, "params": n, "tokens": d, "loss": loss, "rank": np.exp(rng.standard_normal(N)) * n**0.2}


def lowered(monkeypatch, most):
    for module in (_thin, _fit_form, _surface, _drift):
        monkeypatch.setattr(module, "MOST_RESAMPLED", most)
    monkeypatch.setattr(_rule, "_MOST_ROWS", most)


@pytest.mark.parametrize("name", ["chinchilla", "saturating_loss"])
def test_a_form_is_fitted_to_all_rows_with_intervals_as_wide_as_ever(runs, monkeypatch, name):
    x = np.stack([runs["params"], runs["tokens"]], axis=1) if name == "chinchilla" else runs["params"]
    options = {"clusters": runs["config"], "bootstrap": 200, "level": 0.9}
    whole = fit_form(name, x, runs["loss"], **options)
    lowered(monkeypatch, 1000)
    some = fit_form(name, x, runs["loss"], **options)
    assert some.objective == pytest.approx(whole.objective, rel=1e-9)
    assert (some.n, some.n_clusters) == (whole.n, whole.n_clusters) == (N, N // 2)
    assert some.rmse == pytest.approx(whole.rmse, rel=1e-6)
    for parameter, one in whole.params.items():
        other = some.params[parameter]
        assert other.value == pytest.approx(one.value, rel=1e-4)
        assert 0.6 < (other.high - other.low) / (one.high - one.low) < 1.6
    assert any("of the 5000 rows" in note for note in some.warnings)
    assert not any("of the 5000 rows" in note for note in whole.warnings)


@pytest.mark.parametrize("several", [False, True])
def test_a_panel_predicts_alike(runs, monkeypatch, several):
    x = np.stack([runs["params"], runs["tokens"]], axis=1) if several else runs["params"]
    names = ("params", "tokens") if several else ("params",)
    at = np.geomspace(1e9, 1e11, 4)
    points = np.stack([at, 10 * at], axis=1) if several else at

    def predicted():
        law = extrapolate(x, runs["loss"], clusters=runs["config"], x_names=names, y_name="loss")
        return law, law.predict(points)

    whole, one = predicted()
    lowered(monkeypatch, 1000)
    some, other = predicted()
    assert (np.abs(other.value - one.value) < 0.05 * (one.high - one.low)).all()
    ratio = (other.high - other.low) / (one.high - one.low)
    assert ((ratio > 0.6) & (ratio < 1.6)).all()
    assert (some.n, some.n_clusters, some.largest) == (whole.n, whole.n_clusters, whole.largest)


def test_a_plan_is_the_same(runs, monkeypatch):
    table = {name: runs[name] for name in ("config", "params", "tokens", "loss")}
    whole = plan_allocation(table, n="params", d="tokens", flops=1e22, next_runs=2, bootstrap=200)
    lowered(monkeypatch, 1000)
    some = plan_allocation(table, n="params", d="tokens", flops=1e22, next_runs=2, bootstrap=200)
    assert some.n.value == pytest.approx(whole.n.value, rel=1e-3)
    assert some.y.value == pytest.approx(whole.y.value, rel=1e-3)
    for name, one in whole.law.items():
        assert some.law[name].value == pytest.approx(one.value, rel=1e-2)
        assert 0.5 < (some.law[name].high - some.law[name].low) / (one.high - one.low) < 2.0
    assert any("of the 5000 rows" in note for note in some.warnings)


def test_an_audit_is_of_configurations_drawn_whatever_the_order_of_rows(runs, monkeypatch):
    monkeypatch.setattr(_gather, "_MOST_CONFIGURATIONS", 60)
    order = np.random.default_rng(0).permutation(400)
    options = {"rank": "rank", "y": "loss", "bootstrap": 100, "permutations": 100, "covariates": "params"}
    found = [audit({k: v[:400][o] for k, v in runs.items()}, **options) for o in (np.arange(400), order)]
    assert found[0].n_clusters == 60
    assert found[0].spearman == found[1].spearman
    assert any("60 of the 200 configurations" in note for note in found[0].notes)


def test_rows_are_drawn_by_cluster():
    few = np.repeat(np.arange(10), 400)
    rows = _thin.thinned(few, 1000)
    assert rows is not None
    assert len(rows) == 1000
    assert (np.bincount(few[rows]) > 60).all()  # every cluster keeps about its share
    pairs = np.repeat(np.arange(2000), 2)
    rows = _thin.thinned(pairs, 1001)
    assert rows is not None
    assert len(rows) == 1000
    assert set(np.bincount(pairs[rows])) == {0, 2}  # whole clusters, where there are many
    assert (np.diff(rows) > 0).all()
    assert _thin.thinned(pairs, 4000) is None


def test_sums_over_parts_are_those_over_all(runs, monkeypatch):
    x = np.stack([runs["params"], runs["tokens"]], axis=1)[:500]
    objective = _newton.Objective(form=FORMS["chinchilla"], x=x, y=runs["loss"][:500], scale="log", huber=0.01)
    start = np.array([[300.0, 0.3, 900.0, 0.33, 1.5]])
    weights = np.random.default_rng(0).integers(0, 3, (1, 500)).astype(float)
    whole = _newton.minimise(objective, weights, start)
    monkeypatch.setattr(_newton, "_ROWS", 64)
    parts = _newton.minimise(objective, weights, start)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-10)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5)


def test_copies_and_configurations_are_those_of_the_text_of_rows():
    """The reference: rows as text, as they were compared before."""
    rng = np.random.default_rng(1)
    table = {
        "params": [float(v) for v in rng.choice([1.0, 2.0, np.nan, -0.0, 0.0], 300)],
        "tokens": [int(v) for v in rng.integers(1, 4, 300)],
        "kind": [[None, "a", "b", 1, 1.0, True][i] for i in rng.integers(0, 6, 300)],
        "loss": [float(v) for v in rng.choice([2.0, 3.0], 300)],
    }
    first: dict[str, int] = {}
    kept = [i for i, row in enumerate(zip(*table.values(), strict=True)) if first.setdefault(repr(row), i) == i]
    found = read_runs(table, y="loss")
    assert found.rows.tolist() == kept
    sizes = [repr((table["params"][i], table["tokens"][i])) for i in kept]
    order = {label: i for i, label in enumerate(dict.fromkeys(sizes))}
    assert found.clusters.tolist() == [order[label] for label in sizes]
