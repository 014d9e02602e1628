"""Study and run files to start from, and the schema that editors check them with."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from sonoscale.config import load_config, validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import RunConfig
from sonoscale.pretrain import init as init_run
from sonoscale.pretrain._init import RUN_QUESTIONS
from sonoscale.study import StudyConfig, init, plan, schema, study
from sonoscale.study._templates import QUESTIONS

AUDIO = Path(__file__).parents[2] / ".." / "shared" / "data" / "pool"
STUDIES = Path(__file__).parents[2] / "studies"
STUDY = jsonschema.Draft202012Validator(schema())
ENCODERS = jsonschema.Draft202012Validator(schema("encoders"))
RUN = jsonschema.Draft202012Validator(schema("run"))


def problems(validator, raw):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(raw)]


@pytest.mark.parametrize("question", [name for name in QUESTIONS if name not in ("run", "continue")])
def test_a_template_is_a_study_that_can_be_planned(question, tmp_path):
    file = init(tmp_path / "my study.yaml", question=question)
    text = file.read_text()
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")
    assert problems(STUDY, yaml.safe_load(text)) == []
    assert json.loads((tmp_path / "study.schema.json").read_text()) == schema()
    made = study(file)
    assert made.config.name == "my-study"
    assert len(made.planned()) >= 12
    if question == "folder":
        with pytest.raises(SonoscaleError, match=r"data.root is not set.*--set data.root=PATH"):
            plan(made, speed=1e9)
    else:
        assert len(plan(made, speed=1e9).identified.exponents) >= 2


@pytest.mark.skipif(not AUDIO.is_dir(), reason="no real audio at ../shared/data/pool")
@pytest.mark.parametrize("question", [None, "width-data"])
def test_a_template_for_a_folder_of_audio(question, tmp_path):
    file = init(tmp_path / "study.yaml", question=question, data=AUDIO)
    planned = plan(file, speed=1e9)
    assert all(run.epochs > 0 for run in planned.runs)
    run = load_config(RunConfig, init_run(tmp_path / "run.yaml", data=AUDIO))
    assert run.data.kind == "folder"


@pytest.fixture
def existing(finished):
    """The folder of a run."""
    vit = ("width: 16", "backbone: vit", "depth: 1")
    return next(
        path
        for path in (finished[0] / "runs").iterdir()
        if all(text in (path / "config.yaml").read_text() for text in vit)
    )


def test_an_existing_run_to_train_further(existing, tmp_path):
    file = init(tmp_path / "further.yaml", run=existing, question="continue")
    made = study(file)
    assert problems(STUDY, yaml.safe_load(file.read_text())) == []
    runs = {run.label: run.config for run in made.planned()}
    assert {run.train.init for run in runs.values()} == {str(existing)}
    assert runs["frozen_layers=2"].is_frozen
    assert not runs["base"].is_frozen
    assert runs["base"].encoder == load_config(RunConfig, existing / "config.yaml").encoder
    assert "train_clips" in {one.name for one in plan(made, speed=1e9).identified.exponents}
    with pytest.raises(SonoscaleError, match="question = 'continue': give the run"):
        init(tmp_path / "none.yaml", question="continue")


def test_an_existing_run_as_the_base(existing, tmp_path):
    folder = existing
    file = init(tmp_path / "again.yaml", run=folder)
    made = study(file)
    assert problems(STUDY, yaml.safe_load(file.read_text())) == []
    base = next(run for run in made.planned() if run.label == "base")
    assert base.config.outcome() == load_config(RunConfig, folder / "config.yaml").outcome()
    assert len(plan(made, speed=1e9).identified.exponents) >= 2


@pytest.mark.parametrize("question", list(RUN_QUESTIONS))
def test_a_template_of_a_run(question, tmp_path):
    file = init_run(tmp_path / "run.yaml", question=question)
    raw = yaml.safe_load(file.read_text())
    assert problems(RUN, raw) == []
    config = load_config(RunConfig, file)
    assert config.objective.kind == ("latent" if question == "latent" else "contrastive")
    assert len(config.budgets) == 2


def test_what_cannot_be_written(tmp_path):
    file = init(tmp_path / "study.yaml")
    with pytest.raises(SonoscaleError, match="is there already"):
        init(file)
    assert init(file, question="isoflop", force=True) == file
    with pytest.raises(SonoscaleError, match=r"question = 'isoflops': there are folder \(one folder"):
        init(tmp_path / "other.yaml", question="isoflops")
    with pytest.raises(SonoscaleError, match="question = 'run': give the run"):
        init(tmp_path / "other.yaml", question="run")
    with pytest.raises(SonoscaleError, match="is the base of the questions run and continue, not of folder"):
        init(tmp_path / "other.yaml", question="folder", run=tmp_path)
    with pytest.raises(SonoscaleError, match="absent: no such folder"):
        init(tmp_path / "other.yaml", data=tmp_path / "absent")
    with pytest.raises(SonoscaleError, match=r"0 clips of audio; a study needs 96 or more|no audio"):
        init(tmp_path / "other.yaml", data=tmp_path)
    with pytest.raises(SonoscaleError, match="question = 'isoflop': there are procedural"):
        init_run(tmp_path / "run.yaml", question="isoflop")


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_studies_here_fit_the_schema(file):
    raw = yaml.safe_load(file.read_text())
    assert problems(ENCODERS if "encoders" in raw else STUDY, raw) == []


MINIMAL = {"name": "a", "data": {"kind": "procedural"}, "tasks": [{"kind": "procedural", "name": "event"}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"sweep": {"encoder.width": {"range": [8, 64], "n": 3, "scale": "log", "multiple": 8}}},
        {"sweep": {"size": {"encoder.width": [8, 16], "train.lr": {"range": [0.001, 0.002], "n": 2}}}},
        {"sweep": {"size": [{"encoder.width": 8, "encoder.depth": 2}], "encoder": [{"width": 24}]}},
        {"sweep": {"train.budgets": [[100], 200], "train.flops": [1e12]}, "seeds": 3},
        {"design": "grid"},
        {"design": [{"kind": "sobol", "points": 4, "sweep": {"encoder.depth": [1, 2]}}, "grid"]},
        {"design": {"kind": "latin-hypercube", "points": [4, 4]}, "sweep": {"encoder.depth": [1, 2]}},
        {"design": {"kind": "isoflop", "slices": [{"flops": 1e12, "sweep": {"encoder.width": [8]}}]}},
        {"replicates": [{"at": "centre", "seeds": 3}, {"at": {"encoder.width": 64}, "seeds": [1]}]},
        {"families": [{"name": "b", "encoder": {"depth": 2}, "data": {"clips": 256}, "design": "grid"}]},
        {"data": {"kind": "folder", "mixture": {"speech": 2, "music": 1}}},
    ],
)
def test_what_loads_fits_the_schema(changes):
    raw = MINIMAL | changes
    study(validate(StudyConfig, raw))
    assert problems(STUDY, json.loads(json.dumps(raw))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"swep": {}},
        {"encoder": {"widht": 8}},
        {"sweep": {"encoder.widht": [8, 16]}},
        {"sweep": {"data.root": ["a", "b"]}},
        {"sweep": {"encoder.width": 8}},
        {"sweep": {"encoder.width": ["wide"]}},
        {"sweep": {"encoder.width": {"range": [8, 64], "step": 3}}},
        {"design": "gird"},
        {"design": {"kind": "grid", "pionts": 3}},
        {"seeds": 0},
        {"replicates": [{"at": "middle", "seeds": 2}]},
        {"families": [{"name": "b", "encoder": {"widht": 2}}]},
        {"families": [{"name": "b", "data": {"root": "x"}}]},
        {"tasks": []},
    ],
)
def test_what_the_schema_refuses_does_not_load(changes):
    raw = MINIMAL | changes
    assert problems(STUDY, raw)
    with pytest.raises(SonoscaleError):
        study(validate(StudyConfig, raw))


def test_every_key_of_a_section_says_what_it_is():
    found = schema()
    for name in ("EncoderConfig", "TrainConfig", "DesignConfig", "FamilyConfig", "ReplicateConfig", "Range"):
        for key, one in found["$defs"][name]["properties"].items():
            assert one.get("description") or key == "kind", f"{name}.{key}"
    assert "one per core" in found["properties"]["workers"]["description"]


def test_the_commands(sonoscale, tmp_path):
    assert "sonoscale study plan" in sonoscale("study", "init", tmp_path / "a.yaml", "--question", "isoflop")
    assert json.loads(sonoscale("study", "schema")) == schema()
    assert json.loads(sonoscale("study", "schema", "run")) == schema("run")
    assert "--dry-run" in sonoscale("pretrain", "init", tmp_path / "run.yaml")
    printed = sonoscale(
        "pretrain", tmp_path / "run.yaml", "--dry-run", "--device", "cpu", "--set", "train.batch_size=4"
    )
    assert "24 in an example" in printed
    assert "init" in sonoscale("pretrain", "--help")
