"""Log-linear models against other people's numbers, dense formulas and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from sonoscale.laws.loglinear import fit_loglinear


def table():
    """Forty runs of eight families; RandomState's stream is frozen for ever."""
    draw = np.random.RandomState(5)
    n, families = 40, np.repeat(np.arange(8), 5)
    params, tokens = np.exp(draw.uniform(15, 22, n)), np.exp(draw.uniform(18, 25, n))
    u = 0.15 * draw.normal(size=8)
    loss = np.exp(3.0 - 0.08 * np.log(params) - 0.05 * np.log(tokens) + u[families] + 0.05 * draw.normal(size=n))
    return {"params": params, "tokens": tokens, "family": np.array(list("abcdefgh"))[families], "loss": loss}


def dense(data):
    """z, X and dummies of the families but the first."""
    X = np.column_stack([np.ones(len(data["loss"])), np.log(data["params"]), np.log(data["tokens"])])
    return np.log(data["loss"]), X, (data["family"][:, None] == np.array(list("bcdefgh"))).astype(float)


def fitted(data, **options):
    return fit_loglinear(data, y="loss", x=["params", "tokens"], bootstrap=80, **options)


def values(model):
    return [one.value for one in model.coefficients.values()]


def test_random_effects_are_those_of_statsmodels():
    """statsmodels 0.15.0: MixedLM(z, X, groups=family).fit(reml=True, method="powell") on table()."""
    model = fitted(table(), family="family", effects="random")
    assert values(model) == pytest.approx([2.9818101889, -0.0720828448, -0.0546017536], rel=1e-8)
    assert model.within**2 == pytest.approx(0.0030728354516514136, rel=1e-6)
    assert model.between is not None
    assert model.between**2 == pytest.approx(0.0091376587, rel=1e-6)
    assert list(model.family_effects.values()) == pytest.approx(
        [-0.09422581767, 0.09295102405, -0.04345224731, -0.11762713202, 0.06152707227, -0.04227312943, 0.1443566978,
         -0.00125646764],
        rel=1e-6,
    )  # fmt: skip


def test_errors_inflation_and_outliers_are_those_of_statsmodels():
    """statsmodels 0.15.0: OLS(z, [X, dummies]).fit(cov_type="HC2").bse; for OLS(z, X), variance_inflation_factor."""
    model = fitted(table(), family="family")
    found = list(model.coefficients.values())[:3]
    assert [one.value for one in found] == pytest.approx([2.8731904269, -0.0716551645, -0.054600802], rel=1e-8)
    assert [one.se for one in found] == pytest.approx([0.1871933913, 0.0040715463, 0.0057406002], rel=1e-7)
    plain = fitted(table())
    assert list(plain.inflation.values()) == pytest.approx([1.000875068594813] * 2, rel=1e-10)
    assert plain.r2 == pytest.approx(0.7903708925596189, rel=1e-10)


def test_fixed_effects_are_dummies():
    data = table()
    z, X, dummies = dense(data)
    model = fitted(data, family="family")
    beta = np.linalg.lstsq(np.hstack([X, dummies]), z, rcond=None)[0]
    assert values(model) == pytest.approx(beta.tolist(), rel=1e-9)
    assert list(model.family_effects.values()) == pytest.approx([0.0, *beta[3:]], rel=1e-9)
    assert model.rmse == pytest.approx(np.sqrt(np.mean((z - np.hstack([X, dummies]) @ beta) ** 2)), rel=1e-9)


def test_clustered_errors_and_their_freedom_are_those_of_the_dense_formula():
    data = table()
    clusters = np.repeat(np.arange(13), [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 7])
    z, X, _ = dense(data)
    M = np.linalg.inv(X.T @ X)
    rest = np.eye(40) - X @ M @ X.T
    residual = rest @ z
    meat, ways = np.zeros((3, 3)), []
    for g in range(13):
        rows = np.flatnonzero(clusters == g)
        A = np.linalg.inv(np.asarray(linalg.sqrtm(rest[np.ix_(rows, rows)]), dtype=float))
        score = X[rows].T @ A @ residual[rows]
        meat += np.outer(score, score)
        ways.append(rest[:, rows] @ A @ X[rows] @ M)  # [n, P]
    model = fitted(data | {"run": clusters}, clusters="run")
    se = np.sqrt(np.diag(M @ meat @ M))
    for i, one in enumerate(model.coefficients.values()):
        B = np.stack([way[:, i] for way in ways], axis=1)
        eigenvalues = np.linalg.eigvalsh(B.T @ B)
        assert one.se == pytest.approx(se[i], rel=1e-8)
        assert one.df == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-8)


@pytest.mark.parametrize("effects", [None, "fixed", "random"])
def test_leaving_out_clusters_is_fitting_without_them(effects):
    data = table()
    data["run"] = np.arange(40) // 2 % 11  # two rows of one, some of them in two families
    z, X, dummies = dense(data)
    options = {} if effects is None else {"family": "family", "effects": effects}
    model = fitted(data, clusters="run", **options)
    V = np.eye(40)
    if effects == "fixed":
        X = np.hstack([X, dummies])
    if effects == "random":
        assert model.between is not None
        V += model.between**2 / model.within**2 * (data["family"][:, None] == data["family"])
    missed = np.empty(40)
    for run in range(11):
        out = data["run"] == run
        inverse = np.linalg.inv(V[np.ix_(~out, ~out)])
        beta = np.linalg.solve(X[~out].T @ inverse @ X[~out], X[~out].T @ inverse @ z[~out])
        missed[out] = z[out] - X[out] @ beta - V[np.ix_(out, ~out)] @ inverse @ (z[~out] - X[~out] @ beta)
    np.testing.assert_allclose(model.missed, missed, rtol=1e-7)
    assert model.loo_rmse == pytest.approx(np.sqrt(np.mean(missed**2)), rel=1e-8)
    assert model.loo_error == pytest.approx(np.sqrt(np.mean((np.exp(z) - np.exp(z - missed)) ** 2)), rel=1e-8)


@pytest.mark.parametrize("effects", ["fixed", "random"])
def test_leaving_out_families_is_fitting_without_them(effects):
    data = table()
    z, X, _ = dense(data)
    model = fitted(data, family="family", effects=effects)
    missed = np.empty(40)
    for family in "abcdefgh":
        out = data["family"] == family
        if effects == "fixed":
            rest = {name: column[~out] for name, column in data.items()}
            other = fitted(rest, family="family")
            beta = np.array(values(other)[:3])
            missed[out] = z[out] - X[out] @ beta - np.mean(list(other.family_effects.values()))
        else:
            assert model.between is not None
            V = np.eye(40) + model.between**2 / model.within**2 * (data["family"][:, None] == data["family"])
            inverse = np.linalg.inv(V[np.ix_(~out, ~out)])
            beta = np.linalg.solve(X[~out].T @ inverse @ X[~out], X[~out].T @ inverse @ z[~out])
            missed[out] = z[out] - X[out] @ beta
    assert model.family_rmse == pytest.approx(np.sqrt(np.mean(missed**2)), rel=1e-7)


def test_an_outlier_is_found_by_its_row():
    data = table()
    data["loss"][17] *= 1.5
    model = fitted(data, family="family")
    assert [one.row for one in model.outliers] == [17]
    assert model.outliers[0].value == data["loss"][17]
    rest = {name: np.delete(column, 17) for name, column in data.items()}
    other = fitted(rest, family="family")
    z, X, dummies = dense(data)
    full = np.hstack([X, dummies])
    without = np.delete(full, 17, axis=0)
    spread = np.sqrt(other.within**2 * (1 + full[17] @ np.linalg.inv(without.T @ without) @ full[17]))
    assert model.outliers[0].residual == pytest.approx((z[17] - full[17] @ values(other)) / spread, rel=1e-7)
    assert any("rows that do not belong to the rest" in note and "17 (loss" in note for note in model.warnings)
