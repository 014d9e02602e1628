"""What a study of real audio is refused for, and what it leaves where nothing was finished; in this process."""

import json

import numpy as np
import pytest
import soundfile

from sonoscale.config import validate
from sonoscale.errors import SonoscaleError
from sonoscale.pretrain import training_cost
from sonoscale.study import StudyConfig, _worker, expand
from sonoscale.study import study as open_study
from sonoscale.study._prepare import prepare

MIXTURES = [{"bells": 1}, {"birds": 1}, {"bells": 3, "birds": 1}]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Half-seconds of noise: 30 each of `bells` and `birds` in a pool, and 18 of a task beside it."""
    root, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    lines = ["path,label,fold"]
    for folder, files in (("pool/bells", 30), ("pool/birds", 30), ("toy", 18)):
        (root / folder).mkdir(parents=True)
        for i in range(files):
            soundfile.write(root / folder / f"{i:02d}.wav", 0.1 * rng.standard_normal(8000), 16_000)
    lines += [f"toy/{i:02d}.wav,{'ab'[i % 2]},{i // 2 % 3}" for i in range(18)]
    (root / "toy.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def study(root):
    """`study(**changes)`: of that audio; the task can be another."""

    def make(**changes):
        return validate(
            StudyConfig,
            {
                "name": "small",
                "data": {
                    "kind": "folder", "root": str(root), "audio": "pool", "heldout_clips": 32,
                    "mixture": changes.pop("mixture", {}),
                },
                "encoder": {"width": 8, "depth": 1},
                "train": {"clip_seconds": 0.4, "batch_size": 4, "budgets": [4], "warmup_steps": 0},
                "seeds": [0],
                "law": {"bootstrap": 100},
                "workers": 1,
                "tasks": [{"kind": "folder", "name": "toy", "metadata": changes.pop("metadata", "toy.csv")}],
            }
            | changes,
        )  # fmt: skip

    return make


def prepared(study, tmp_path):
    return prepare(study, expand(study), tmp_path / "out", tmp_path / "cache", 1, lambda what, done, total: None)


def names(corpus):
    return {corpus.name(i) for i in range(len(corpus))}


def test_no_mixture_is_trained_on_what_the_rank_is_measured_on(study):
    runs = expand(study(sweep={"data.mixture": MIXTURES}))
    assert len(runs) == 1 + len(MIXTURES)
    heldout = [names(run.config.data.heldout()) for run in runs]
    assert all(each == heldout[0] and len(each) == 32 for each in heldout)
    for run in runs:
        training = names(run.config.data.training())
        assert training
        assert not training & heldout[0]


def test_a_task_that_any_swept_mixture_trains_on_is_refused(study, root, tmp_path):
    data = study().data
    birds = sorted(name for name in names(data.training()) if "birds" in name)
    lines = [f"pool/birds/{name.rpartition('/')[2]},{'ab'[i % 2]},{i // 2 % 3}" for i, name in enumerate(birds[:12])]
    (root / "birds.csv").write_text("\n".join(["path,label,fold", *lines]))
    of_birds = {"metadata": "birds.csv", "mixture": {"bells": 1}}
    assert len(prepared(study(**of_birds), tmp_path)) == 1  # bells alone are fine
    for other in MIXTURES[1:]:
        with pytest.raises(SonoscaleError, match=r"task toy: \d+ of its clips are pre-training data too.*birds"):
            prepared(study(**of_birds, sweep={"data.mixture": [other]}), tmp_path)


def breaks(*arguments):
    raise OSError(5, "Input/output error")


def test_a_study_without_a_finished_run_deletes_nothing_that_is_not_its_own(study, in_process, tmp_path, monkeypatch):
    out = tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    for name in ("figures/law.png", "notes.txt"):
        (out / name).write_text("mine")
    monkeypatch.setattr(_worker, "_train", breaks)
    made = open_study(study(), out=out, cache=tmp_path / "cache").run(retries=0)
    (failure,) = made.failures
    assert (failure.label, failure.reason, failure.attempts) == ("base", "error", 1)
    with pytest.raises(SonoscaleError, match=r"ledger.parquet is missing: no run of this study is finished"):
        _ = made.ledger
    assert "0 of them trained" in made.headline
    assert (out / "figures" / "law.png").read_text() == (out / "notes.txt").read_text() == "mine"
    assert ["Input/output error" in each["error"] for each in json.loads((out / "failed.json").read_text())] == [True]


@pytest.mark.parametrize("name", ["ledger.parquet", "study.yaml", "report.html", "laws.json"])
def test_what_another_program_wrote_is_not_replaced(study, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(SonoscaleError, match=rf"{name}: .*(name another folder|no Parquet file)"):
        open_study(study(), out=out, cache=tmp_path / "cache").run()
    assert {file.name: file.read_text() for file in out.iterdir()} == {name: "mine"}


def test_short_clips_are_joined_and_examples_are_counted_apart(study, in_process, tmp_path):
    """Half-seconds in examples of 1.2 s: compute is a matter of examples, and clips seen are more."""
    config = study(train={"clip_seconds": 1.2, "batch_size": 4, "budgets": [2, 4], "warmup_steps": 0})
    ledger = open_study(config, out=tmp_path / "out", cache=tmp_path / "cache").run().ledger.to_pydict()
    assert sorted(set(ledger["examples_seen"])) == [8, 16]
    seen = zip(ledger["clips_seen"], ledger["examples_seen"], strict=True)
    assert all(clips >= 2 * examples for clips, examples in seen)
    cost = training_cost(expand(config)[0].config).flops
    assert sorted(set(ledger["flops"])) == [8 * cost, 16 * cost]
