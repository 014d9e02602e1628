"""One configuration system: what a user gets wrong is named in one line."""

import pytest

from sonoscale.config import config_hash, load_config, parse_override, validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig
from sonoscale.study import StudyConfig

MINIMAL = """
name: tiny
data: {kind: procedural}
tasks: [{kind: procedural, name: event}]
"""


@pytest.fixture
def study_file(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(MINIMAL)
    return file


def test_overrides_reach_nested_keys(study_file):
    study = load_config(StudyConfig, study_file, ["encoder.width=32", "train.budgets=[20, 60]", "train.warmup_steps=4"])
    assert study.encoder.width == 32
    assert study.train.budgets == (20, 60)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("encoder.widht=32", ["'encoder.widht'", "did you mean 'encoder.width'"]),
        ("encodr.width=32", ["'encodr'", "did you mean 'encoder'"]),
        ("data.clps=9", ["clps", "did you mean", "clips"]),
        ("width=32", ["unknown key 'width'", "did you mean 'encoder.width'"]),
        ("train.mask_ratio=0.5", ["'train.mask_ratio'", "did you mean 'objective.mask_ratio'"]),
        ("encoder.budgets=[9]", ["'encoder.budgets'", "did you mean 'train.budgets'"]),
        ("data.kind=radio", ["data", "radio", "procedural", "folder"]),
        ("encoder.width=31", ["width = 31", "multiple of 4"]),
        ("encoder.width=wide", ["encoder.width", "'wide'", "whole number"]),
        ("objective={kind: mae, mask_ratio: 1.5}", ["objective.mask_ratio", "1.5", "less than 1"]),
        ("objective.mask_ratio=0.5", ["mask_ratio says nothing of kind = contrastive", "give kind: mae or latent"]),
        ("encoder.patch_mels=7", ["patch_mels = 7", "n_mels = 64"]),
        ("train.budgets=[300, 100]", ["budgets = [300, 100]", "increase"]),
        ("train.warmup_steps=90", ["warmup_steps = 90", "step 80"]),
        ("train.lr=.nan", ["train.lr", "nan"]),
        ("train.decay_fraction=1.0", ["budgets", "decay_fraction = 1.0", "same step"]),
        ("law.level=0.999", ["bootstrap = 1000", "level = 0.999", "4000"]),
        ("seeds=[1, 1]", ["seeds = [1, 1]", "once"]),
        ("tasks=[]", ["tasks", "at least 1"]),
        ("name=a/b", ["name", "a/b"]),
        ("width", ["'width'", "key=value"]),
    ],
)
def test_bad_values_are_one_line_that_names_them(study_file, override, expected):
    with pytest.raises(SonoscaleError) as caught:
        load_config(StudyConfig, study_file, [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("text", "expected"), [("[1, 2", "YAML"), ("- a\n- b", "mapping"), ("name: x", "'data' is required")]
)
def test_bad_files(tmp_path, text, expected):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(SonoscaleError, match=expected) as caught:
        load_config(StudyConfig, file)
    assert str(file) in str(caught.value)


def test_a_problem_of_a_file_has_its_line(study_file):
    study_file.write_text(MINIMAL + "encoder:\n  depth: 2\n  widht: 32\nfamilies:\n  - name: a\n  - {nmae: b}\n")
    with pytest.raises(SonoscaleError) as caught:
        load_config(StudyConfig, study_file, ["train.lr=2"])
    lines = [line.removeprefix(str(study_file)) for line in str(caught.value).splitlines()]
    assert lines[0].startswith(", line 7: unknown key 'encoder.widht'; did you mean 'encoder.width'")
    assert lines[1].startswith(": train.lr = 2: "), "an override is in no line"
    assert lines[2:] == [
        ", line 10: key 'families.1.name' is required",
        ", line 10: unknown key 'families.1.nmae'; did you mean 'families.1.name'?",
    ]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SonoscaleError, match=r"absent\.yaml"):
        load_config(StudyConfig, tmp_path / "absent.yaml")


def test_override_of_a_value_as_if_it_were_a_section(study_file):
    with pytest.raises(SonoscaleError, match="'name' is a value"):
        load_config(StudyConfig, study_file, ["name.first=x"])


def test_a_swept_key_can_be_overridden(study_file):
    study = load_config(StudyConfig, study_file, ["sweep.encoder.width=[16, 32]", "sweep.data.clips=[8]"])
    assert study.sweep == {"encoder.width": (16, 32), "data.clips": (8,)}


MASKED = {"encoder": {"backbone": "vit"}, "objective": {"kind": "mae"}, "train": {"clip_seconds": 2.0}}


def test_two_ways_of_writing_a_run_have_one_outcome():
    base = validate(RunConfig, MASKED)
    same = validate(RunConfig, {
        "encoder": {"backbone": "vit", "heads": 2}, "objective": {"kind": "mae", "mask_ratio": 0.752},
        "train": {"clip_seconds": 2.0, "parametrisation": "standard"},
    })  # fmt: skip
    other = validate(RunConfig, MASKED | {"encoder": {"backbone": "vit", "heads": 4}})
    assert base.outcome() == same.outcome()
    assert base.outcome() != other.outcome()
    assert base.outcome() != base.model_copy(update={"seed": 1}).outcome()


def test_override_values_are_yaml():
    assert parse_override("a.b=[1, two]") == ("a.b", [1, "two"])
    assert parse_override("a=b=c") == ("a", "b=c")


def test_hash_ignores_the_order_of_keys_only():
    assert config_hash({"a": 1, "b": [1, 2]}) == config_hash({"b": [1, 2], "a": 1})
    assert config_hash({"a": [1, 2]}) != config_hash({"a": [2, 1]})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"train": {"clip_seconds": 0.2}, "encoder": {"patch_frames": 32}},
            "shorter than one patch of 32 frames",
        ),
        ({"objective": {"kind": "mae", "mask_ratio": 0.999}, "train": {"clip_seconds": 2.0}}, "leaves 0 of 48 patches"),
        ({"train": {"clip_seconds": 3.0}}, "longer than data.seconds"),
    ],
)
def test_impossible_runs(raw, expected):
    with pytest.raises(SonoscaleError, match=expected):
        validate(RunConfig, raw)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data={root: x}", "key 'data.kind' is required: procedural, folder or corpus"),
        ("data={kind: folders}", "data.kind = 'folders': must be procedural, folder or corpus; did you mean 'folder'?"),
        ("train.budgets=100", "train.budgets = 100: must be a list: budgets: [100]"),
        ("train.steps=50", "unknown key 'train.steps'; did you mean 'train.budgets'?"),
        ("tasks=[{kind: folder, metadata: x.csv}]", "key 'tasks.0.name' is required"),
        ("tasks=[{name: a}]", "key 'tasks.0.kind' is required: procedural, folder or open"),
        ("encoder=wide", "encoder = 'wide': must be a section: keys, each with its value"),
    ],
)
def test_messages_are_about_the_file_and_not_about_its_parser(study_file, override, expected):
    with pytest.raises(SonoscaleError) as caught:
        load_config(StudyConfig, study_file, [override])
    assert str(caught.value).partition(": ")[2] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * 50_000, "nested too deeply"),
        ("a: &a [*a]", "a value that holds itself"),
        ("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
         + "".join(f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)),
         "holds more than 200,000 values"),
        ("name: 2024-13-45", "not valid YAML: month must be in 1..12"),
    ],
    ids=["deep", "itself", "aliases", "date"],
)  # fmt: skip
def test_yaml_that_is_too_deep_or_too_much(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(SonoscaleError, match=f"study.yaml: .*{message}"):
        load_config(StudyConfig, tmp_path / "study.yaml")
