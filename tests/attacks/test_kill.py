"""Every long command can be ended at any time, and given again."""

import pytest

import kill


@pytest.mark.slow
@pytest.mark.parametrize("name", kill.KINDS)
def test_ended_at_any_time_and_given_again(name):
    tally = kill.killed(name, 9)
    assert not tally.failed, "\n".join(tally.failed[:10])
