"""From a study to its runs."""

import itertools
import json

import numpy as np
import pytest
import yaml

from sonoscale.config import config_hash, validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import training_cost
from sonoscale.study import StudyConfig, expand
from sonoscale.study._points import fractional


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
        ({"encoder": [{"width": 24, "dept": 2}]}, "'encoder.dept' is not a key.*did you mean 'encoder.depth'"),
        ({"encoder": [{"width": 24}, 8]}, "'encoder' is not a key of a run.*mappings of keys that move together"),
        ({"data": [{"root": "a"}]}, "'data.root' would change the held-out clips"),
        ({"seed": [0, 1]}, "seeds are no axis.*replicates"),
        ({"encoder.width": []}, "sweep.encoder.width is empty"),
        ({"encoder.width": 8}, r"sweep.encoder.width = 8: give a list of values, or {range"),
        ({"encoder.width": {"range": [8, 32], "nn": 3}}, "sweep.encoder.width: unknown key 'nn'; did you mean 'n'"),
        ({"encoder.width": {"range": [0, 32], "n": 3, "scale": "log"}}, r"range = \[0.0, 32.0\]: a log scale"),
        ({"encoder.width": {"range": [8, 16], "n": 5}}, "5 values of .* are not all different"),
        ({"encoder.width": {"range": [8, 32]}}, "sweep.encoder.width: give n.*only sobol and latin-hypercube"),
        ({"size": {"encoder.width": [8, 16], "encoder.depth": [1]}}, "same number.*width has 2, encoder.depth has 1"),
        ({"size": {"encoder.width": {"range": [8, 16]}, "encoder.depth": [1]}}, "give n for encoder.width too"),
        ({"size": {"encoder.widht": [8, 16]}}, "'encoder.widht'.*did you mean 'encoder.width'"),
        ({"size": {}}, "sweep.size is empty"),
    ],
)
def test_a_sweep_that_cannot_be_run(study, sweep, expected):
    with pytest.raises(SonoscaleError, match=expected) as caught:
        expand(study(sweep=sweep))
    assert "\n" not in str(caught.value)


def values(runs, section, key):
    return [getattr(getattr(run.config, section), key) for run in runs]


def test_ranges_are_spaced_and_rounded_to_what_a_key_can_be(study):
    sweep = {
        "encoder.width": {"range": [16, 128], "n": 4, "scale": "log"},
        "train.lr": {"range": [0.001, 0.004], "n": 3, "scale": "log"},
        "objective.mask_ratio": {"range": [0.5, 0.8], "n": 3},
        "data.clips": {"range": [16, 60], "n": 3, "multiple": 20},
        "train.budgets": {"range": [8, 32], "n": 3, "scale": "log"},
    }
    runs = expand(study(sweep=sweep, train={"clip_seconds": 1.0, "batch_size": 16, "warmup_steps": 2, "budgets": [8]}))
    assert values(runs[1:4], "encoder", "width") == [32, 64, 128]  # 16 is the base
    assert values(runs[4:6], "train", "lr") == [0.001, 0.004]  # 0.002 is the base
    assert values(runs[6:9], "objective", "mask_ratio") == [0.5, 0.65, 0.8]
    assert values(runs[9:12], "data", "clips") == [20, 40, 60]
    assert values(runs[12:], "train", "budgets") == [(16,), (32,)]
    widths = expand(study(sweep={"encoder.width": {"range": [16, 100], "n": 3}}))
    assert values(widths, "encoder", "width") == [16, 56, 100]  # of 58, the nearest multiple of 4


def test_keys_of_different_sections_move_together(study):
    listed = {"size": [{"encoder.width": 8, "train.lr": 0.004}, {"encoder.width": 24, "train.lr": 0.001}]}
    zipped = {"size": {"encoder.width": [8, 24], "train.lr": [0.004, 0.001]}}
    ranged = {"size": {"encoder.width": {"range": [8, 24], "n": 2}, "train.lr": [0.004, 0.001]}}
    for sweep in (listed, zipped, ranged):
        runs = expand(study(sweep=sweep))
        assert [(r.label, r.axis) for r in runs[1:]] == [("width=8 lr=0.004", "size"), ("width=24 lr=0.001", "size")]
    inside = expand(study(sweep={"encoder": {"width": [8, 24], "depth": [2, 3]}}))
    assert [(r.config.encoder.width, r.config.encoder.depth) for r in inside[1:]] == [(8, 2), (24, 3)]


def test_one_key_replaces_its_alternative(study):
    runs = expand(study(design="grid", sweep={"train.flops": [[2e9], 4e9], "data.hours": [0.006, 0.012]}))
    assert [r.config.train.flops for r in runs[::2]] == [(2e9,), (4e9,)]
    assert all(r.config.train.budgets == (100, 200, 400) for r in runs), "the base's budgets stayed"
    assert values(runs[:2], "data", "hours") == [0.006, 0.012]


def test_every_isoflop_slice_is_trained_to_its_budget(study):
    slices = [{"flops": 1e10}, {"flops": 4e10, "sweep": {"encoder.width": [16, 32], "encoder.depth": [1, 2]}}]
    runs = expand(study(design={"kind": "isoflop", "slices": slices}, sweep={"encoder.width": [8, 16, 32]}))
    shapes = [(r.axis, r.config.encoder.width, r.config.encoder.depth) for r in runs]
    assert shapes == [("flops=1e+10", w, 1) for w in (8, 16, 32)] + [
        ("flops=4e+10", w, d) for w in (16, 32) for d in (1, 2)
    ]
    for run in runs:
        (steps,), budget = run.config.budgets, sum(run.config.train.flops or ())
        step = training_cost(run.config).flops * run.config.train.batch_size
        assert abs(steps * step - budget) <= step / 2, "more than a step away"
    with pytest.raises(SonoscaleError, match=r"sweep.train.budgets varies train.budgets.*design.slices"):
        expand(study(design={"kind": "isoflop", "slices": [{"flops": 1e10}]}, sweep={"train.budgets": [[4], [8]]}))


GRID = {"encoder.width": [8, 16, 32], "encoder.depth": [1, 2, 3], "objective.mask_ratio": [0.5, 0.6, 0.75]}


def test_a_fraction_of_a_grid_is_a_latin_square_where_there_is_one(study):
    runs = expand(study(design={"kind": "fractional", "points": 9}, sweep=GRID))
    points = {(r.config.encoder.width, r.config.encoder.depth, r.config.objective.mask_ratio) for r in runs}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert len({(point[a], point[b]) for point in points}) == 9, "a pair of levels is there twice"


@pytest.mark.parametrize(("sizes", "points"), [([2] * 5, 8), ([2] * 6, 16), ([2] * 7, 8), ([4, 4, 4], 16)])
def test_main_effects_of_a_fraction_are_orthogonal(sizes, points):
    levels = np.array(fractional(sizes, [points]))
    assert len(np.unique(levels, axis=0)) == points
    assert np.abs(np.corrcoef(levels.T) - np.eye(len(sizes))).max() < 1e-12


def test_two_levels_of_six_axes_in_sixteen_points_keep_interactions_off_the_main_effects():
    x = 2 * np.array(fractional([2] * 6, [16])) - 1
    three = [x[:, list(of)].prod(axis=1).mean() for of in itertools.combinations(range(6), 3)]
    assert np.abs(three).max() == 0  # resolution IV, as Box, Hunter and Hunter tabulate 2^(6-2)


FREE = {"encoder.width": {"range": [8, 64], "scale": "log"}, "train.lr": {"range": [1e-3, 1e-2], "scale": "log"}}


def test_a_hypercube_has_one_point_in_each_stratum(study):
    runs = expand(study(design={"kind": "latin-hypercube", "points": [6, 6]}, sweep=FREE))
    strata = np.floor(12 * np.log10(np.array(values(runs, "train", "lr")) / 1e-3))
    assert sorted(strata) == list(range(12))
    assert all(8 <= w <= 64 and w % 4 == 0 for w in values(runs, "encoder", "width"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"seeds": [0]}, {"seeds": 3}),
        ({"sweep": {"encoder.width": [8, 24]}}, {"sweep": {"encoder.width": [8, 32, 24]}}),
        ({"design": "grid", "sweep": {"encoder.width": [8, 24], "encoder.depth": [1, 2]}},
         {"design": "grid", "sweep": {"encoder.width": [8, 12, 24], "encoder.depth": [1, 2, 4]}}),
        ({"design": {"kind": "sobol", "points": 6}, "sweep": FREE},
         {"design": {"kind": "sobol", "points": 13}, "sweep": FREE}),
        ({"design": {"kind": "latin-hypercube", "points": 6}, "sweep": FREE},
         {"design": {"kind": "latin-hypercube", "points": [6, 5]}, "sweep": FREE}),
        ({"design": {"kind": "fractional", "points": 9}, "sweep": GRID},
         {"design": {"kind": "fractional", "points": [9, 6]}, "sweep": GRID}),
        ({"design": {"kind": "isoflop", "slices": [{"flops": 1e10}]}, "sweep": {"encoder.width": [8, 16]}},
         {"design": {"kind": "isoflop", "slices": [{"flops": 1e10}, {"flops": 2e10}]},
          "sweep": {"encoder.width": [8, 12, 16]}}),
        ({"design": "one-at-a-time"}, {"design": ["one-at-a-time", {"kind": "sobol", "points": 4, "sweep": FREE}]}),
        ({"design": "one-at-a-time"}, {"replicates": [{"at": "centre", "seeds": 4}]}),
    ],
)  # fmt: skip
def test_a_larger_study_keeps_the_runs_of_a_smaller(study, before, after):
    names = [{config_hash(run.config.outcome()) for run in expand(study(**one))} for one in (before, after)]
    assert names[0] < names[1]


def test_the_outcome_of_a_run_does_not_depend_on_how_the_study_is_written(study):
    listed = study(sweep={"encoder.width": [8, 24]}, seeds=[0, 1], design="one-at-a-time")
    ranged = study(
        sweep={"w": {"encoder.width": {"range": [8, 24], "n": 2}}}, seeds=2, design=[{"kind": "grid", "centre": True}],
        encoder={"backbone": "vit", "width": 16, "depth": 1, "heads": None}, families=[{"name": "only"}],
    )  # fmt: skip
    outcomes = [{config_hash(run.config.outcome()) for run in expand(one)} for one in (listed, ranged)]
    assert outcomes[0] == outcomes[1]
    again = validate(StudyConfig, json.loads(ranged.model_dump_json()))
    assert expand(again) == expand(ranged), "the kept study file is another study"


def test_families_have_budgets_of_their_own_in_steps_or_in_operations(study):
    families = [
        {"name": "short"},
        {"name": "long", "train": {"budgets": [16, 64]}},
        {"name": "counted", "train": {"flops": [1e9, 4e9]}},
        {"name": "swept", "sweep": {"train.flops": [[1e9], [2e9, 8e9]]}},
    ]
    runs = {run.label: run.config for run in expand(study(families=families, sweep={}, seeds=[0]))}
    assert {label: (run.budgets, run.train.flops) for label, run in runs.items() if "swept f" not in label} == {
        "short base": ((4, 8), None), "long base": ((16, 64), None),
        "counted base": (runs["counted base"].budgets, (1e9, 4e9)),  # the base of swept is that of short
    }  # fmt: skip
    step = training_cost(runs["counted base"]).flops * 16
    assert [budget * step for budget in runs["counted base"].budgets] == pytest.approx([1e9, 4e9], rel=0.1)
    assert [run.train.flops for label, run in runs.items() if "swept f" in label] == [(1e9,), (2e9, 8e9)]


def test_families_have_bases_of_their_own(study):
    families = [
        {"name": "vit", "encoder": {"depth": 2}},
        {"name": "conv", "encoder": {"backbone": "conv"}, "train": {"flops": [4e9]}, "design": "grid",
         "sweep": {"encoder.width": [8, 24]}},
    ]  # fmt: skip
    runs = expand(study(families=families, sweep={"objective.mask_ratio": [0.5]}))
    assert [(r.family, r.label, r.config.encoder.backbone, r.config.encoder.depth) for r in runs] == [
        ("vit", "vit base", "vit", 2), ("vit", "vit mask_ratio=0.5", "vit", 2),
        ("conv", "conv width=8", "conv", 1), ("conv", "conv width=24", "conv", 1),
    ]  # fmt: skip
    assert {r.config.budgets for r in runs[:2]} == {(4, 8)}
    assert {r.config.train.flops for r in runs[2:]} == {(4e9,)}


def test_more_seeds_at_chosen_points(study):
    at = [{"at": "centre", "seeds": 3}, {"at": "corners", "seeds": 2}, {"at": {"encoder.width": 12}, "seeds": [7]}]
    runs = expand(study(sweep={"encoder.width": [8, 12, 24], "objective.mask_ratio": [0.5, 0.6]}, replicates=at))
    seeds = {}
    for run in runs:
        seeds.setdefault(run.label, []).append((run.config.seed, run.replicate))
    assert {label: [seed for seed, _ in of] for label, of in seeds.items()} == {
        "base": [0, 1, 2], "width=8": [0, 1], "width=12": [0, 7], "width=24": [0, 1],
        "mask_ratio=0.5": [0, 1], "mask_ratio=0.6": [0, 1],
    }  # fmt: skip
    assert all([replicate for _, replicate in of] == list(range(len(of))) for of in seeds.values())
    grid = expand(study(design="grid", sweep=GRID, replicates=[{"at": "corners", "seeds": 2}]))
    repeated = {r.label for r in grid if r.replicate}
    assert len(repeated) == 2**3
    with pytest.raises(SonoscaleError, match=r"no point of the design is at centre: set design\.centre"):
        expand(study(design="grid", sweep={"encoder.width": [8, 24]}, replicates=[{"at": "centre", "seeds": 3}]))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"design": "gird"}, "design.kind = 'gird': did you mean 'grid'"),
        ({"design": {"kind": "sobol"}}, "design.kind = sobol: give points"),
        ({"design": {"kind": "sobol", "pionts": 8}}, "unknown key 'design.pionts'; did you mean 'points'"),
        ({"design": {"kind": "grid", "points": 8}}, "design.kind = grid takes no points"),
        ({"design": "isoflop"}, r"design.kind = isoflop: give slices"),
        ({"design": {"kind": "isoflop", "slices": [{"flops": 1e9}, {"flops": 1e9}]}}, "a budget is there twice"),
        ({"design": {"kind": "fractional", "points": 4}, "sweep": GRID}, "points = 4 cannot tell 7 main effects"),
        ({"design": {"kind": "fractional", "points": 30}, "sweep": GRID}, "there are 27 combinations: use grid"),
        ({"design": {"kind": "sobol", "points": 4}, "sweep": {}}, "sweep is empty"),
        ({"seeds": 0}, r"seeds = \[\]: give at least one"),
        ({"replicates": [{"at": "middle", "seeds": 2}]}, "replicates.0.at = 'middle': give centre, corners"),
        ({"replicates": [{"at": {"encoder.widht": 8}, "seeds": 2}]}, "did you mean 'encoder.width'"),
        ({"families": [{"name": "a", "encoder": {"widht": 8}}]}, "family 'a': unknown key 'encoder.widht'; did you"),
        ({"families": [{"name": "a", "data": {"root": "x"}}]}, "one pool of data"),
        ({"families": [{"name": "a", "train": {"steps": [9]}}]}, "key 'train.steps'; did you mean 'train.budgets'"),
        ({"families": [{"name": "a", "train": {"budgets": [9], "flops": [1e9]}}]}, "family 'a': .*give one of them"),
        (
            {"families": [{"name": "a", "train": {"budgets": [9, 4]}}]},
            r"family 'a': .*budgets = \[9, 4\].*must increase",
        ),
        ({"seeds": [2**63]}, r"seeds = \[9223372036854775808\]: give at least one.*below 2\^63 - 1"),
        ({"replicates": [{"at": "centre", "seeds": [2**63 - 1]}]}, r"seeds = \[9223372036854775807\].*below 2\^63 - 1"),
        ({"families": [{"name": "a"}, {"name": "a"}]}, "families: the name 'a' is used twice"),
        ({"families": [{"name": "a", "encoder": {"width": 9}}]}, "family 'a'.*width = 9 must be a multiple of 4"),
    ],
)
def test_a_design_that_cannot_be(study, changes, expected):
    with pytest.raises(SonoscaleError, match=expected) as caught:
        expand(study(**changes))
    assert "\n" not in str(caught.value)


def test_a_task_that_is_refused_is_one_line_and_not_also_a_list_that_is_too_short(study):
    for task, said in (
        ({"kind": "folde", "name": "a"}, "tasks.0.kind = 'folde': must be"),
        ({"kind": "procedural"}, "key 'tasks.0.name' is required"),
        ({"kind": "procedural", "name": "event", "train_clips": 0}, "tasks.0.train_clips = 0"),
    ):
        with pytest.raises(SonoscaleError) as caught:
            study(tasks=[task])
        assert said in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1, str(caught.value)
