"""Every command that writes can be ended at any time, and given again."""

import pytest

import kill


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill") / "in"
    kill.inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", kill.KINDS)
def test_ended_at_any_time_and_given_again(base, name):
    tally = kill.killed(name, 6, base=base)
    assert not tally.failed, "\n".join(tally.failed[:10])
