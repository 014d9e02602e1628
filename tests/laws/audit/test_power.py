"""The shares that a plan of a study quotes are those that the benchmark measured."""

import itertools
import re
from pathlib import Path

import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws.audit import audit_power
from sonoscale.laws.audit._power import MEASURED, MEASURED_AT

PAGE = Path(__file__).parents[3] / "docs" / "audit-verdicts.md"
SECTIONS = {
    "supported": "## `supported` where it does",
    "only_through_capacity": "## `only_through_capacity` where rank adds nothing",
}


@pytest.mark.parametrize("verdict", list(MEASURED))
def test_the_table_is_that_of_the_docs(verdict):
    section = PAGE.read_text().split(SECTIONS[verdict])[1].split("\n## ")[0]
    head, *rows = [line for line in section.splitlines() if line.startswith("|")]
    assert tuple(int(n) for n in re.findall(r"n = (\d+)", head)) == tuple(MEASURED_AT)
    measured = {row.split("|")[1].strip(): [float(x) for x in re.findall(r"([\d.]+) ±", row)] for row in rows[1:]}
    for truth, shares in MEASURED[verdict].items():
        assert measured[truth] == list(shares)


def test_more_configurations_never_lower_the_power():
    found = [audit_power(n) for n in range(1, 200)]
    for before, after in itertools.pairwise(found):
        assert all(after.supported[r] >= before.supported[r] for r in before.supported)
        assert after.only_through_capacity >= before.only_through_capacity
    assert [one.n for one in found if one.nearest == 12] == [8, 9, 10, 11]
    assert found[29].supported[0.5] == pytest.approx((0.475 + 0.810) / 2, abs=0.04)


def test_no_configuration():
    with pytest.raises(SonoscaleError, match="n = 0"):
        audit_power(0)
