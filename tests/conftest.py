"""How the tests are spread over processes: a file stays together, and what takes long starts first."""

import os
import tempfile

import pytest

# Started by tests in processes of their own, and no modules to look for examples in.
collect_ignore_glob = ["*_worker.py"]

# A file whose tests share nothing and take long: each is a group of its own.
APART = "tests/docs/test_pages.py"

# What takes longest, longest first (pytest --durations=0): a group as marked, or a file.
LONGEST = [
    "study",
    APART,
    "resume",
    "ray",
    "torch.distributed",
    "tests/study/test_encoders.py",
    "tests/cli/test_bad_input.py",
    "tests/pretrain/test_contrastive_distributed.py",
    "tests/encoders/test_hf.py",
    "tests/encoders/test_backbones.py",
    "tests/cli/test_measure.py",
    "tests/corpora/test_features.py",
    "tests/report/test_page.py",
    "tests/corpora/test_describe.py",
    "tests/corpora/test_pack.py",
    "tests/export/test_standalone.py",
    "tests/report/test_browser.py",
]


def group_of(node: str) -> str:
    """The group of a test by its id, which pytest-xdist ends with `@` and the name of its marked group."""
    test, _, marked = node.rpartition("@")
    if test and "]" not in marked:
        return marked
    file = node.split("::")[0]
    return node if file == APART else file


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests group by group, groups in the order of how long they take."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)
    first = {group: place for place, group in enumerate(LONGEST)}

    def place_of(group: str) -> int:
        return first.get(group.split("::")[0], len(first))

    items[:] = [item for group in sorted(groups, key=place_of) for item in groups[group]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """`--dist loadgroup`, except that what is in no group stays with its file: module fixtures are made once."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests():
    """Nothing of a user's cache is read or written."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if "SONOSCALE_CACHE" not in os.environ:
            patch.setenv("SONOSCALE_CACHE", folder)
        yield


@pytest.fixture(scope="session")
def ray_cluster():
    """Ray with a cluster of two cores on this machine, started once; tests that use it are of the group `ray`."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it keeps a token in the home folder
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
            object_store_memory=100 * 2**20,
        )  # fmt: skip
        yield ray
        ray.shutdown()
