"""Training that begins with an encoder of ours, and layers that keep their weights."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from sonoscale.config import validate
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.export import export
from sonoscale.pretrain import LatentPrediction, RunConfig, build_objective, pretrain, training_audio
from sonoscale.pretrain._initial import begin_with, initial_identity

TINY = {
    "data": {"kind": "procedural", "clips": 24, "heldout_clips": 32, "seconds": 1.0, "domains": ["music"]},
    "encoder": {"backbone": "vit", "width": 16, "depth": 2},
    "objective": {"kind": "contrastive"},
    "train": {"clip_seconds": 1.0, "batch_size": 8, "budgets": [6], "warmup_steps": 1, "rank_points": 2},
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """`train(**{"train.lr": 1e-3})`: a run with these keys, in one folder of runs."""
    place = tmp_path_factory.mktemp("initial")

    def run(**keys):
        torch.set_num_threads(1)
        return pretrain(TINY, place / "runs", set=keys, cache=place / "cache", logger="none", device="cpu", workers=1)

    return run


@pytest.fixture(scope="module")
def first(train):
    """The run that others begin with."""
    return train()


def encoder_of(run):
    return load_encoder(run.folder).state_dict()


def test_it_begins_where_the_other_ended_and_trains_from_there(train, first):
    found = train(**{"train.init": str(first.folder), "seed": 1})
    ended, begun = first.record["budgets"][-1]["rank"]["value"], found.record["rank_start"]["rankme"]
    assert begun == pytest.approx(ended, rel=1e-6)
    assert first.record["rank_start"]["rankme"] != pytest.approx(ended, rel=1e-3)
    assert found.record["budgets"][-1]["rank"]["value"] != pytest.approx(ended, rel=1e-6)
    assert encoder_of(found)["mean"] == encoder_of(first)["mean"]
    assert found.record["identity"]["init"] == load_encoder(first.folder).identity


def test_the_same_weights_are_the_same_run_wherever_they_lie(train, first, tmp_path):
    begun = train(**{"train.init": str(first.folder)})
    export(first.folder, "hf", tmp_path / "hf")
    shutil.copytree(first.folder, tmp_path / "copy")
    for source in (first.folder / "checkpoint.pt", tmp_path / "hf", f"hf:{tmp_path / 'hf'}", tmp_path / "copy"):
        again = train(**{"train.init": str(source)})
        assert (again.folder, again.finished_before) == (begun.folder, True), source
    other = train(**{"train.init": str(train(seed=3).folder)})
    assert other.folder != begun.folder
    assert begun.folder != first.folder


@pytest.mark.parametrize("frozen", [1, 2, 3])
def test_frozen_layers_keep_their_weights_and_the_others_do_not(train, first, frozen):
    found = train(**{"train.init": str(first.folder), "train.frozen_layers": frozen})
    before, after = encoder_of(first), encoder_of(found)
    layer = {"embed": 1, "blocks.0": 2, "blocks.1": 3, "norm": 3}
    for part, last in layer.items():
        names = [name for name in before if name.startswith(f"backbone.{part}.")]
        assert names
        same = all(torch.equal(before[name], after[name]) for name in names)
        assert same == (last <= frozen), part
    rank, kept = (run.record["budgets"][-1]["rank"]["value"] for run in (found, first))
    assert (rank == pytest.approx(kept, rel=1e-6)) == (frozen == 3)


def test_a_teacher_begins_as_a_copy_of_the_encoder(first):
    raw = TINY | {"objective": {"kind": "latent"}, "train": {**TINY["train"], "init": str(first.folder)}}
    config = validate(RunConfig, raw)
    objective, _ = build_objective(config, mean=0.0, std=1.0)
    begin_with(objective, str(first.folder), initial_identity(config))
    trained = load_encoder(first.folder)
    assert objective.encoder.identity == trained.identity
    assert isinstance(objective, LatentPrediction)
    teacher = objective.teacher.state_dict()
    assert all(torch.equal(teacher[name], each) for name, each in trained.backbone.state_dict().items())


def test_weights_that_changed_after_the_run_was_planned_are_refused(first):
    config = validate(RunConfig, TINY)
    objective, _ = build_objective(config, mean=0.0, std=1.0)
    with pytest.raises(SonoscaleError, match="is not the encoder that this run was to begin with"):
        begin_with(objective, str(first.folder), "sonoscale weights:0123456789abcdef")


def test_an_encoder_that_cannot_begin_a_run_is_one_line_that_names_key_and_remedy(train, first, tmp_path):
    other = tmp_path / "wave"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "hubert"}')
    for keys, said in (
        (
            {"train.init": str(tmp_path / "none")},
            f"train.init = {tmp_path / 'none'}: no such run folder, checkpoint or",
        ),
        ({"train.init": str(tmp_path)}, "neither a finished run"),
        ({"train.init": str(other)}, "a model of another kind"),
        (
            {"train.init": str(first.folder), "encoder.width": 32, "encoder.depth": 1},
            "its encoder has width = 16, and encoder.width = 32; give encoder: {width: 16, depth: 2}",
        ),
        ({"train.frozen_layers": 4}, "train.frozen_layers = 4: the encoder has 3 layers"),
        ({"train.freeze": 1}, "unknown key 'train.freeze'; did you mean 'train.frozen_layers'?"),
    ):
        with pytest.raises(SonoscaleError) as caught:
            train(**keys)
        assert said in str(caught.value), str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(SonoscaleError, match="no such run folder"):
        pretrain(TINY, set={"train.init": "none"}, dry_run=True, device="cpu")


def test_what_a_run_was_trained_on_is_also_what_the_run_was_that_it_began_with(tmp_path):
    """By this `sonoscale probe` finds clips of a test that an encoder has processed before."""

    def write(name, clips, init=None):
        folder = tmp_path / f"audio-{name}"
        folder.mkdir()
        for i in range(clips):
            soundfile.write(folder / f"{i}.wav", np.zeros(16_000), 16_000)
        raw = {"data": {"kind": "folder", "root": str(tmp_path), "audio": folder.name}, "train": {"init": init}}
        config = validate(RunConfig, raw).model_dump(mode="json")
        torch.save({"config": config, "step": 1, "encoder": {}}, tmp_path / f"{name}.pt")
        return tmp_path / f"{name}.pt"

    first = write("first", 3)
    second = write("second", 4, init=str(first))
    third = write("third", 5, init=str(second))
    corpora = [training_audio(run) for run in (first, second, third)]
    assert [None if corpus is None else len(corpus) for corpus in corpora] == [3, 7, 12]
    first.unlink()
    with pytest.raises(SonoscaleError, match=f"it began with {first}, whose own is not known"):
        training_audio(second)
