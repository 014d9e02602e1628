"""From a study to its runs."""

import pytest
import yaml

from sonoscale.config import validate
from sonoscale.errors import SonoscaleError
from sonoscale.study import StudyConfig, expand


@pytest.fixture
def study(tiny):
    """The tiny study with some keys replaced."""

    def make(**changes):
        return validate(StudyConfig, yaml.safe_load(tiny.read_text()) | changes)

    return make


def test_one_at_a_time_changes_one_key_from_the_base(study):
    runs = expand(study(sweep={"encoder.width": [8, 16, 24], "data.clips": [16, 48]}, seeds=[0, 1, 2]))
    labels = [(run.label, run.axis) for run in runs if run.config.seed == 0]
    assert labels == [
        ("base", "base"), ("width=8", "encoder.width"), ("width=24", "encoder.width"), ("clips=16", "data.clips"),
    ]  # fmt: skip
    assert len(runs) == 4 * 3


def test_a_grid_has_every_combination_once(study):
    runs = expand(study(design="grid", sweep={"encoder.width": [8, 16], "encoder.depth": [1, 2, 3]}))
    assert {(r.config.encoder.width, r.config.encoder.depth) for r in runs} == {
        (w, d) for w in (8, 16) for d in (1, 2, 3)
    }
    assert len(runs) == 6
    assert {r.axis for r in runs} == {"base", "encoder.width", "encoder.depth", "several"}


def shapes(runs):
    return [(r.label, r.axis, r.config.encoder.width, r.config.encoder.depth, r.config.objective.kind) for r in runs]


def test_keys_of_a_section_change_together(study):
    together = [{"width": 24, "depth": 2}, {"width": 16, "depth": 3}, {"width": 16}, {"depth": 2, "backbone": "conv"}]
    runs = expand(study(sweep={"encoder": together, "objective": [{"kind": "latent"}]}))
    assert shapes(runs) == [
        ("base", "base", 16, 1, "mae"),  # of which {width: 16} is another name
        ("width=24 depth=2", "encoder", 24, 2, "mae"),
        ("depth=3", "encoder", 16, 3, "mae"),  # the width is that of the base
        ("depth=2 backbone=conv", "encoder", 16, 2, "mae"),
        ("kind=latent", "objective", 16, 1, "latent"),
    ]
    assert [run.config.encoder.backbone for run in runs] == ["vit", "vit", "vit", "conv", "vit"]


def test_sections_and_keys_are_combined_in_a_grid(study):
    sweep = {"encoder": [{"width": 8, "depth": 2}, {"width": 16}], "objective": [{"kind": "mae"}, {"kind": "latent"}]}
    assert shapes(expand(study(design="grid", sweep=sweep))) == [
        ("width=8 depth=2", "encoder", 8, 2, "mae"),
        ("width=8 depth=2 kind=latent", "several", 8, 2, "latent"),
        ("base", "base", 16, 1, "mae"),
        ("kind=latent", "objective", 16, 1, "latent"),
    ]


def test_seeds_share_their_configuration_and_nothing_else_does(study):
    runs = expand(study(seeds=[0, 1]))
    by_config = {}
    for run in runs:
        by_config.setdefault(run.config_id, []).append(run)
    assert all({r.config.seed for r in group} == {0, 1} for group in by_config.values())
    assert all(len({r.label for r in group}) == 1 for group in by_config.values())
    assert len(by_config) == 5


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"encoder.widht": [8]}, "encoder.widht.*did you mean 'encoder.width'"),
        ({"data.root": ["a", "b"]}, "'data.root' would change the held-out clips"),
        ({"data.heldout_clips": [64, 128]}, "only data.clips, data.hours and data.mixture can be swept"),
        ({"width": [8]}, "'width' is not a key of a run"),
        ({"optimizer.lr": [1]}, "'optimizer.lr' is not a key of a run"),
        ({"encoder.width": [8, 9]}, "run 'width=9'.*multiple of 4"),
        ({"encoder": [{"width": 24, "dept": 2}]}, "run 'width=24 dept=2'.*encoder.dept.*did you mean 'encoder.depth'"),
        ({"encoder": [{"width": 24}, 8]}, "'encoder' is not a key of a run.*a section alone with mappings"),
        ({"data": [{"clips": 16}]}, "'data' would change the held-out clips"),
    ],
)
def test_a_sweep_that_cannot_be_run(study, sweep, expected):
    with pytest.raises(SonoscaleError, match=expected):
        expand(study(sweep=sweep))
