"""The verb in Python: what a study returns, several protocols, the baseline."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import sonoscale as so
from sonoscale.audio import LogMelConfig
from sonoscale.config import validate
from sonoscale.corpora import FeatureStore, build_features
from sonoscale.encoders import embed_store, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.laws import QualityRule, quality
from sonoscale.laws._ledger import ledger_runs
from sonoscale.probe import logmel_statistics, probe_embeddings
from sonoscale.rank import rankme
from sonoscale.study import StudyConfig, study
from sonoscale.study._laws import fit_laws
from sonoscale.study._prepare import _check_tasks, prepare
from sonoscale.study._quality import protocols_for, readout_rank, untrained_twin


@pytest.fixture(scope="module")
def done(finished, cache):
    return study(finished[0], cache=cache)


@pytest.fixture(scope="module")
def columns(done):
    return done.ledger.to_pydict()


def test_a_finished_study_is_read_from_its_folder(done, finished):
    assert done.folder == finished[0]
    assert "5 runs of 5 configurations, 5 of them trained" in done.headline
    assert len(done.rows()) == 5 * 2
    assert "<table>" in done._repr_html_()
    assert json.loads(done.to_json())["laws"]["y"] == "quality"
    assert done.failures == []
    assert sum(len(line.get_xdata()) for line in done.plot().lines) == 10


def test_runs_are_what_every_law_reads(done):
    runs = done.runs()
    assert runs.counts == "10 runs of 5 configurations"
    means = {}
    for row in done.ledger.to_pylist():
        means.setdefault((row["run"], row["step"]), []).append(row["score"])
    for run, step, mean in zip(runs["run"], runs["step"], runs["quality"], strict=True):
        assert mean == pytest.approx(np.mean(means[run, step]))


def test_the_package_offers_the_verbs(tiny, finished):
    assert so.study(tiny).config.name == "tiny"
    assert callable(so.report)
    assert so.study(finished[0]).report().page == finished[0] / "report.html"


def test_several_protocols_give_a_row_each_and_linear_stays_as_it_was(done, finished, in_process, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(finished[0], folder)
    records = {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/record.json")}
    both = study(folder, cache=done.cache, set=["protocols=[linear, knn]", "sweep={}"]).run()
    assert {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/record.json")} == records, "trained again"
    rows = both.ledger.to_pylist()
    before = [row for row in done.ledger.to_pylist() if row["label"] == "base"]
    assert len(rows) == 2 * len(before)
    assert [row for row in rows if row["protocol"].startswith("linear")] == before
    for row in rows:
        assert row["score_low"] <= row["score"] <= row["score_high"]
    scores = [f"score:{task}:{p}" for task in ("event", "instrument") for p in sorted({r["protocol"] for r in rows})]
    runs = both.runs()
    np.testing.assert_allclose(runs["quality"], np.mean([runs[name] for name in scores], axis=0))
    assert set(both.laws["per_task"]) == {name.removeprefix("score:") for name in scores}
    assert set(json.loads((folder / "baseline.json").read_text())) == set(both.laws["per_task"])
    assert all(task in both.report().page.read_text() for task in both.laws["per_task"])


def test_each_task_is_scored_by_the_protocols_for_its_kind(tiny):
    config = validate(StudyConfig, {**CONFIG, "protocols": ["linear", "few-shot", "knn"]})
    classes = config.tasks[0].load(None)
    numbers = replace(classes, kind="regression", labels=tuple(float(i % 7) for i in range(len(classes.labels))))
    assert protocols_for(classes, config.protocols) == ["linear", "few-shot", "knn"]
    assert protocols_for(numbers, config.protocols) == ["linear", "knn"]
    with pytest.raises(SonoscaleError, match="protocol few-shot is for multiclass tasks"):
        _check_tasks([numbers], ["few-shot"])
    assert validate(StudyConfig, {k: v for k, v in CONFIG.items() if k != "protocols"}).protocols == (
        "linear", "knn", "few-shot",
    )  # fmt: skip


def test_a_protocol_that_does_not_exist(tiny):
    with pytest.raises(SonoscaleError, match=r"protocols: no protocol 'lineal'; there are linear, knn"):
        study(tiny, set=["protocols=[lineal]"])


def test_a_study_file_runs_no_code_of_a_protocol(tiny, tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(SonoscaleError, match=r"protocols: python:.*: a study file runs no code of a file"):
        study(tiny, set={"protocols": [f"python:{tmp_path / 'evil.py'}:MINE"]})
    assert not (tmp_path / "ran").exists()


def test_a_misspelt_key_is_answered_without_the_heavy_imports(tiny):
    code = (
        "import sys; from sonoscale.errors import SonoscaleError; from sonoscale.study import study\n"
        f"try: study({str(tiny)!r}, set=['train.lrr=1'])\n"
        "except SonoscaleError as error: print(error)\n"
        "print({'torch', 'scipy', 'pyarrow', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "set()"
    assert "did you mean 'train.lr'?" in found.stdout


def test_what_cannot_be_overridden_or_run(tiny, tmp_path):
    with pytest.raises(SonoscaleError, match="unknown key 'protocol'; did you mean 'protocols'"):
        study(tiny, set=["protocol=knn"])
    with pytest.raises(SonoscaleError, match="workers = 0"):
        study(tiny, out=tmp_path).run(workers=0)
    with pytest.raises(SonoscaleError, match=r"missing: no run of this study is finished; run it first"):
        study(tiny, out=tmp_path).runs()


def test_a_run_without_all_its_scores_is_in_no_law(columns):
    laws = fit_laws(columns, validate(StudyConfig, CONFIG).law)
    run = columns["run"][0]
    kinds = zip(columns["run"], columns["task"], strict=True)
    rows = [i for i, kind in enumerate(kinds) if kind != (run, "event")]
    fewer = {name: [values[i] for i in rows] for name, values in columns.items()}
    lacking = ledger_runs(fewer)
    assert np.isnan(lacking["quality"][lacking["run"] == run]).all()
    found = fit_laws(fewer, validate(StudyConfig, CONFIG).law)
    assert laws["fits"][0]["n"] == 10
    assert found["fits"][0]["n"] == 8
    assert any("left out: no value in quality" in note for note in found["notes"])


CONFIG = {
    "name": "bands",
    "data": {"kind": "procedural", "clips": 16, "heldout_clips": 32, "seconds": 1.0, "domains": ["environment"]},
    "encoder": {"width": 8, "n_mels": 32},
    "train": {"clip_seconds": 1.0, "batch_size": 4, "budgets": [2], "warmup_steps": 0},
    "seeds": [0],
    "law": {"bootstrap": 100},
    "protocols": ["linear"],
    "readouts": ["mean"],
    "tasks": [{"kind": "procedural", "name": "event", "train_clips": 52, "valid_clips": 26, "test_clips": 26}],
}


def test_the_baseline_of_a_study_is_the_encoder_logmel(tmp_path, cache):
    """With 32 bands, the log-mel statistics of the study's store are the embeddings of `logmel:32`."""

    from sonoscale.encoders import load_encoder
    from sonoscale.probe import logmel_statistics
    from sonoscale.study._prepare import prepare

    config = validate(StudyConfig, CONFIG)
    runs = study(config, out=tmp_path).planned()
    (job,) = prepare(config, runs, tmp_path, cache, 1, lambda what, done, total: None)
    corpus = config.tasks[0].load(None).corpus
    encoder = load_encoder("logmel:32")
    expected = torch.cat([encoder.embed(torch.from_numpy(corpus.wave(i))[None]) for i in range(len(corpus))])
    found = logmel_statistics(FeatureStore.open(job.tasks[0].store))
    assert found.shape == (104, 64)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_several_readouts_give_a_row_each_and_quality_is_that_of_the_first(done, finished, in_process, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(finished[0], folder)
    records = {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/record.json")}
    both = study(folder, cache=done.cache, set=["readouts=[mean, frequency+std]", "sweep={}"]).run()
    assert {f: f.stat().st_mtime_ns for f in folder.glob("runs/*/record.json")} == records, "trained again"
    rows = both.ledger.to_pylist()
    before = [row for row in done.ledger.to_pylist() if row["label"] == "base"]
    assert {row["readout"] for row in before} == {"mean"}
    assert [row for row in rows if row["readout"] == "mean"] == before
    for row in rows:
        measured = row["rankme_readout_low"] <= row["rankme_readout"] <= row["rankme_readout_high"]
        assert measured
        assert (row["rankme_readout"] == row["rankme"]) == (row["readout"] == "mean")
        assert row["floor_untrained"] is not None
        assert row["floor_logmel"] is not None
        assert row["ceiling"] is None
    other = [row["score"] for row in rows if row["readout"] == "frequency+std"]
    assert len(other) == len(before)
    assert other != [row["score"] for row in before]
    names = {f"{task}:{readout}" for task in ("event", "instrument") for readout in ("mean", "frequency+std")}
    runs = both.runs()
    assert {name.removeprefix("score:") for name in runs.columns if name.startswith("score:")} == names
    np.testing.assert_allclose(runs["quality"], (runs["score:event:mean"] + runs["score:instrument:mean"]) / 2)
    assert set(both.laws["per_task"]) == set(json.loads((folder / "baseline.json").read_text())) == names
    assert all(task in both.report().page.read_text() for task in names)


def test_the_floor_of_a_run_is_its_own_network_before_any_training(done):
    """The twin has the rank that the run had at step 0, and the floor is what a probe of it scores."""
    row = next(row for row in done.ledger.to_pylist() if row["task"] == "event" and row["label"] == "width=8")
    plan = next(run for run in done.planned() if run.label == "width=8")
    trained = load_encoder(done.folder / "runs" / row["run"])
    twin = untrained_twin(plan.config, trained)
    assert twin.config == trained.config
    (job,) = prepare(done.config, [plan], done.folder, done.cache, 1, lambda what, made, total: None)
    rank = rankme(embed_store(twin, FeatureStore.open(job.heldout_store))).value
    assert rank == pytest.approx(row["rankme_start"], rel=2e-3)  # mean and deviation of log-mels are rounded
    task = done.config.tasks[0].load(None)
    store = build_features(task.corpus, LogMelConfig(n_mels=trained.config.n_mels), done.cache, dtype="float32")
    expected = probe_embeddings(embed_store(twin, store), task.labels, task.folds, scheme="split")
    assert row["floor_untrained"] == expected.score
    statistics = probe_embeddings(logmel_statistics(store), task.labels, task.folds, scheme="split")
    assert row["floor_logmel"] == statistics.score


def test_runs_of_one_architecture_and_seed_share_a_twin(done):
    rows = [row for row in done.ledger.to_pylist() if row["task"] == "event"]
    by_label = {row["label"]: row["floor_untrained"] for row in rows}
    assert by_label["mask_ratio=0.5"] == by_label["base"]
    architectures = {row["width"] for row in rows}
    assert len(list((done.folder / "floors").iterdir())) == 2 * (len(architectures) + 1)  # tasks; log-mel statistics


@pytest.mark.parametrize("shape", [(300, 40), (96, 700)])
def test_the_rank_of_a_readout_is_that_of_its_rows(shape):
    """Also of one wider than there are clips, with the interval of the same blocks of clips."""
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * np.arange(1, shape[1] + 1) ** -0.7 + 0.3
    found = readout_rank(rows)
    assert (found["n"], found["dim"]) == shape
    for name in ("rankme", "rankme_centred"):
        expected = rankme(rows, estimator=name)
        for end in ("value", "low", "high"):
            assert found[name][end] == pytest.approx(getattr(expected, end), rel=1e-5)


def test_the_rule_of_quality_is_registered_and_a_change_is_said(done, finished, in_process, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(finished[0], folder)
    (registered,) = json.loads((folder / "quality.json").read_text())["rules"]
    assert registered["rule"] == {"weights": "reliability", "min_reliability": 0.0, "level": 0.95}
    assert registered["finished_runs"] == 0
    assert {QualityRule(**json.loads(text)) for text in done.ledger["quality_rule"].to_pylist()} == {QualityRule()}
    assert [each["name"] for each in done.laws["quality"]["scores"]] == ["event", "instrument"]
    assert any("too few replicates" in note for note in done.laws["notes"])  # one seed
    same = study(folder, cache=done.cache, set=["ceiling=logmel"]).run()
    assert not any("rule of quality was changed" in note for note in same.laws["notes"])
    for row in same.ledger.to_pylist():  # of kept log-mels, and of the audio itself
        assert row["ceiling"] == pytest.approx(row["floor_logmel"], abs=0.04)
    changed = study(folder, cache=done.cache, set=["ceiling=logmel", "quality.min_reliability=0.5"]).run()
    assert any("rule of quality was changed on" in n and "when 5 runs were" in n for n in changed.laws["notes"])
    assert quality(folder).rule == QualityRule(min_reliability=0.5)


def test_the_command_shows_what_quality_is_made_of(sonoscale, finished, tmp_path):
    shown = sonoscale("study", "quality", finished[0], "--weights", "plain", "--json", tmp_path / "quality.json")
    assert "quality is the mean accuracy over 2 tasks (event, instrument) by linear/" in shown
    assert "Without training, quality is log-mel statistics" in shown
    assert "was changed after the scores were seen" in shown
    content = json.loads((tmp_path / "quality.json").read_text())
    assert content["registered"]["weights"] == "reliability"
    assert [each["weight"] for each in content["scores"]] == [0.5, 0.5]


def test_a_ceiling_that_is_not_there_is_said_before_anything_is_done(tiny, tmp_path):
    with pytest.raises(SonoscaleError, match="no such run folder or checkpoint file"):
        study(tiny, out=tmp_path / "out", set=["ceiling=/no/such/run"]).run()
    assert not (tmp_path / "out").exists()


def test_a_readout_that_does_not_exist(tiny):
    with pytest.raises(SonoscaleError, match=r"readouts.*'mean', 'mean\+std', 'frequency' or 'frequency\+std'"):
        study(tiny, set=["readouts=[median]"])
