"""What an audit refuses, and what it decides and says."""

import numpy as np
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit import audit_rank

OPTIONS = {"rank": "rank", "quality": "quality", "bootstrap": 80, "permutations": 80}


def table(**changes):
    rng = np.random.default_rng(0)
    columns = {
        "params": np.exp(rng.normal(15, 1, 12)),
        "tokens": np.exp(rng.normal(20, 1, 12)),
        "rank": np.exp(rng.normal(3, 0.3, 12)),
        "quality": rng.uniform(0.3, 0.8, 12),
        "name": [f"r{i}" for i in range(12)],
    }
    return columns | changes


def put(column, row, value):
    values = list(table()[column])
    values[row] = value
    return {column: values}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"rank": "nothing"}, "no column 'nothing'; there are: params, tokens"),
        ({}, {"rank": "quality"}, "named both as rank and as quality"),
        ({}, {"covariates": ["quality"]}, "'quality' cannot be a covariate"),
        ({}, {"step": "params"}, "name the column .replicate."),
        ({}, {"warmup": 5.0}, "warmup=5 needs the column of steps"),
        ({}, {"rank": "name"}, "name, row 0: 'r0' is not a number"),
        ({"rank": [4.0] * 12}, {}, "rank is constant"),
        ({"quality": [0.4] * 12}, {}, "quality is constant"),
        (put("quality", 3, np.nan), {}, "quality, row 3: nan"),
        (put("tokens", 5, np.inf), {}, "tokens, row 5: inf"),
        (put("params", 2, 0), {}, "params, row 2: 0 is not above zero"),
        (put("quality", 7, 63.0), {}, "quality mixes fractions with percentages: .* 63 in row 7"),
        ({"rank": [1.0, 2.0]}, {}, "rank has 2 rows but quality has 12"),
        (put("name", 4, None), {"family": "name"}, "name, row 4: None is no name"),
        ({"config": list("aabbccddeeff")}, {"replicate": "config", "family": "name"}, "is in two families"),
        ({}, {"level": 1.5}, "level must lie between 0 and 1"),
        ({}, {"permutations": 10}, "too few"),
    ],
)
def test_refuses_and_names(changes, options, message):
    with pytest.raises(SonoscaleError, match=message):
        audit_rank(table(**changes), **(OPTIONS | options))


def test_scores_above_one_that_are_no_percentages_pass():
    assert audit_rank(table(quality=np.linspace(0.3, 2.9, 12)), **OPTIONS).configurations == 12


def notes(columns, **options):
    return " | ".join(audit_rank(columns, **(OPTIONS | options)).notes)


def test_says_what_it_decided():
    assert "covariates taken for themselves: params, tokens" in notes(table())
    assert "logarithms are taken of: rank, params, tokens" in notes(table())
    signed = table(lr=np.linspace(-1, 1, 12))
    assert "lr enters as it is" in notes(signed, covariates=["params", "lr"])
    assert "params is the same in all rows" in notes(table(params=[5.0] * 12))
    assert "rank enters as it is" in notes(table(rank=np.linspace(-3, 3, 12)))
    alike = {"params": np.repeat(np.arange(1, 7), 2), "tokens": np.repeat(np.arange(1, 7), 2)}
    found = audit_rank(table(**alike), **OPTIONS)
    assert found.configurations == 6
    assert "rows with the same params, tokens are taken as one configuration" in " ".join(found.notes)


def test_checkpoints_that_pass_for_runs_are_told():
    told = notes(table(run=[f"r{i // 3}" for i in range(12)]))
    assert "'run' has 4 values for 12 configurations" in told
    assert "has 12 values" not in notes(table())


def test_copies_of_rows_count_once():
    doubled = {name: [*column, column[3]] for name, column in table().items()}
    found = audit_rank(doubled, **OPTIONS, replicate="name")
    assert found.configurations == 12
    assert "1 rows are copies of others in every column (row 12 first): counted once" in found.notes
    assert isinstance(found.floor_quality, str)  # a copy is not a seed without spread
    once = audit_rank(table(), **OPTIONS, replicate="name")
    assert found.spearman == once.spearman


def test_losses_of_several_kinds_are_left_out():
    columns = table(loss=np.linspace(1, 2, 12), loss_of=["mae", "contrastive"] * 6)
    found = audit_rank(columns, **OPTIONS)
    assert found.covariates == ("log params", "log tokens")
    assert any("losses of several kinds" in note for note in found.notes)
    assert "log loss" in audit_rank(table(loss=np.linspace(1, 2, 12)), **OPTIONS).covariates
