"""The verb: encoders on tasks from Python, what it gives back and what it refuses."""

import json

import numpy as np
import pytest
import soundfile
import torch

import sonoscale
from sonoscale.audio import LogMelConfig
from sonoscale.corpora import build_features, open_task
from sonoscale.encoders import AudioEncoder, EncoderConfig, embed_store, load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.probe import (
    ProbeResult,
    ProbeResults,
    Score,
    _knn,
    _logistic,
    _retrieval,
    logmel_statistics,
    probe,
    probe_embeddings,
    probe_store,
)
from sonoscale.probe._knn import vote
from sonoscale.probe._results import make_results

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones of two pitches in noise, five folds of eight."""
    root = tmp_path_factory.mktemp("tones")
    rng, lines = np.random.default_rng(0), ["path,label,fold"]
    for i in range(40):
        pitch = (300, 1200)[i % 2]
        wave = 0.05 * np.sin(2 * np.pi * pitch * np.arange(RATE // 4) / RATE)
        soundfile.write(root / f"{i}.wav", wave + 0.05 * rng.standard_normal(RATE // 4), RATE)
        lines.append(f"{i}.wav,{pitch},{i // 2 % 5}")
    (root / "metadata.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A checkpoint of an untrained encoder with 32 bands."""
    torch.manual_seed(0)
    config = EncoderConfig(backbone="vit", width=16, depth=1, n_mels=32)
    encoder = AudioEncoder(config).eval()
    file = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    content = {"encoder": config.model_dump(mode="json"), "data": "gone"}
    torch.save({"config": content, "encoder": encoder.state_dict()}, file)
    return file


def test_the_package_and_its_floor_are_the_verb(folder, tmp_path):
    results = sonoscale.probe("logmel:16", folder, protocols="knn", baselines=False)
    assert isinstance(results, ProbeResults)
    assert results.rows() == probe(["logmel:16"], [open_task(folder)], protocols=["knn"], baselines=False).rows()


def test_everything_is_in_rows_json_frame_text_and_figure(folder, tmp_path):
    shown, partial = [], []
    results = probe(
        "logmel:16", folder, compare="logmel:8", protocols=["linear", "knn"], cache=tmp_path, workers=1,
        out=tmp_path / "scores.json", progress=lambda what, done, total: shown.append((what, done, total)),
        report=partial.append,
    )  # fmt: skip
    encoders = ["logmel:16", "logmel:8", "logmel"]
    rows = results.rows()
    assert [(row["encoder"], row["protocol"]) for row in rows] == [
        (encoder, protocol) for encoder in encoders for protocol in ("linear/2", "knn/1")
    ]
    assert all(row["task"] == folder.name and row["low"] <= row["score"] <= row["high"] for row in rows)
    assert all(row["chance"] == 0.5 for row in rows)
    assert results.to_frame()["score"].tolist() == [row["score"] for row in rows]
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content == json.loads(results.to_json())
    assert [each["score"] for each in content["scores"]] == [row["score"] for row in rows]
    assert content["options"]["versions"]["torch"] == torch.__version__
    assert [len(each.scores) for each in partial] == [2, 4, 6]
    assert {what.split(": ")[0] + ":" for what, _, _ in shown} >= {"logmel:16:", "logmel:8:"}
    text = repr(results)
    for part in ("linear/2", "knn/1", "chance", "logmel:8", "minus logmel:16, paired by clip", ".500"):
        assert part in text
    assert "<table>" in results._repr_html_()
    assert len(results.plot().get_yticklabels()) == 6
    assert results.headline.startswith(f"logmel:16 by linear/2: {folder.name} accuracy ")


def test_baselines_have_the_bands_of_the_run(folder, run):
    results = probe(run, folder, protocols="knn")
    assert [each.encoder for each in results.scores] == [str(run), "logmel:32", f"untrained:{run}"]
    assert [each.dim for each in results.scores] == [16, 64, 16]
    assert any("not compared with its training audio" in note for note in results.notes)


def test_an_encoder_may_be_an_object(folder):
    encoder = load_encoder("logmel:16")
    (score,) = probe(encoder, folder, protocols="knn", baselines=False).scores
    assert score.encoder == encoder.identity
    assert score.result == probe("logmel:16", folder, protocols="knn", baselines=False).scores[0].result


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"encoders": []}, "encoders: none given"),
        ({"tasks": []}, "tasks: none given"),
        ({"protocols": []}, "protocols: none given"),
        ({"protocols": "magic"}, "no protocol 'magic'; there are linear, knn"),
        ({"device": "tpu9"}, "device = 'tpu9': must be auto, cpu, cuda"),
        ({"out": "/no/where.json"}, r"out = /no/where\.json: must end in \.json"),
        ({"seed": -1}, "seed = -1: must be a whole number"),
        ({"workers": 0}, "workers = 0: must be at least 1"),
        ({"encoders": 5}, "encoders: 5 is neither a path or spec nor an encoder"),
        ({"tasks": [None]}, "tasks = .None.: must be text, a path, a Task"),
        ({"label": "colour"}, "no column 'colour'"),
        ({"encoders": "/no/such/run", "compare": "logmel"}, "/no/such/run: no such run folder"),
        ({"tasks": "hear/esc51"}, r"did you mean 'hear/esc50'"),
        ({"layers": True}, "gives no layers"),
    ],
)
def test_what_cannot_be_is_one_line(folder, options, expected):
    with pytest.raises(SonoscaleError, match=expected) as error:
        probe(**{"encoders": "logmel:8", "tasks": folder, "baselines": False, **options})
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)


def points(n, noise, seed=0):
    """Embeddings of two classes, and of each clip its class and part."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = np.stack([2.0 * y - 1, np.ones(n)], axis=1) + noise * rng.standard_normal((n, 2))
    return x.astype(np.float32), y, np.repeat(["train", "valid", "test"], n // 3)


def test_a_difference_is_that_of_each_clip():
    one, y, parts = points(1200, 1.0)
    other = (one + 0.7 * np.random.default_rng(1).standard_normal(one.shape)).astype(np.float32)
    fitted, tested = parts != "test", parts == "test"
    right = [
        vote(x[fitted], np.eye(2)[y[fitted]], x[tested])[0].argmax(axis=1) == y[tested] for x in (one, other)
    ]  # fmt: skip
    by_clip = right[1].astype(float) - right[0]
    results = make_results([_score(x, y, parts, name) for x, name in ((one, "one"), (other, "other"))], [], {})
    (found,) = results.differences
    assert found.value == pytest.approx(by_clip.mean())
    assert found.high - found.low == pytest.approx(3.92 * by_clip.std() / np.sqrt(400), rel=0.15)
    first, second = (each.result for each in results.scores)
    assert found.high - found.low < 0.9 * np.hypot(first.high - first.low, second.high - second.low)
    assert found.significant == (found.high < 0 or found.low > 0)


def _score(x, y, parts, name):
    result = probe_embeddings(x, y, parts, protocol="knn", scheme="split")
    return Score(name, name, "points", 2, None, result, 0.0, 0.0)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("accuracy", "better in 1 of 1 comparisons, worse in 0"), ("mae", "better in 0 of 1 comparisons, worse in 1")],
)
def test_the_headline_knows_which_way_is_better(metric, expected):
    draws = np.random.default_rng(0).normal(0.8, 0.01, 1000)
    scores = [
        Score(name, name, "t", 2, None, ProbeResult(float(each.mean()), 0.7, 0.9, None, {}, {}, 0.1, 9, 2, metric,
                                                    "multiclass", "knn/1", draws=each), 0.0, 0.0)
        for name, each in (("high", draws), ("low", draws - 0.1))
    ]  # fmt: skip
    assert expected in make_results(scores, [], {}).headline


def test_a_warning_is_said_once(folder):
    """The remark of a protocol goes with every score, and is printed for the first."""
    text = repr(probe(["logmel:16", "logmel:8"], folder, protocols="xares-asis", baselines=False))
    assert text.count("scores are optimistic") == 1
    assert "and 1 more scores" in text


def test_an_encoder_does_not_differ_from_itself():
    x, y, parts = points(300, 1.0)
    results = make_results([_score(x, y, parts, name) for name in ("one", "same")], [], {})
    (found,) = results.differences
    assert (found.value, found.low, found.high, found.significant) == (0, 0, 0, False)
    assert "significantly better in 0 of 1 comparisons, worse in 0" in results.headline


def test_on_the_cpu_nothing_touches_a_gpu(monkeypatch):
    """A machine with a GPU, whose use is an error, and products that would be worth it."""

    def guarded(method):
        def call(self, *args, **options):
            assert not any("cuda" in str(each) for each in (*args, *options.values()))
            return method(self, *args, **options)

        return call

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.Tensor, "cuda", guarded(torch.Tensor.cuda))
    monkeypatch.setattr(torch.Tensor, "to", guarded(torch.Tensor.to))
    monkeypatch.setattr(_logistic, "LARGE", 0)
    monkeypatch.setattr(_knn, "BLOCK", 1000)
    monkeypatch.setattr(_retrieval, "BLOCK", 1000)
    x, y, parts = points(120, 1.0)
    for protocol in ("linear", "knn", "knn-tuned", "few-shot", "xares", "retrieval"):
        probe_embeddings(x, y, parts, protocol=protocol, scheme="split", device="cpu")
    for protocol in ("linear", "knn", "retrieval"):  # the guard holds: these would take it
        with pytest.raises((AssertionError, RuntimeError)):
            probe_embeddings(x, y, parts, protocol=protocol, scheme="split")


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    """Log-mels of 32 bands of the tones."""
    config = LogMelConfig(n_mels=32)
    return build_features(open_task(folder).corpus, config, tmp_path_factory.mktemp("store"), dtype="float32")


def test_a_checkpoint_on_kept_log_mels_scores_as_on_its_audio(folder, run, store):
    task = open_task(folder)
    encoder = load_encoder(run)
    found = probe_store(encoder, store, task.labels, task.folds, protocols=["linear", "knn", "retrieval"])
    assert list(found) == [(name, "mean") for name in ("linear", "knn", "retrieval")]
    embeddings = embed_store(encoder, store)
    assert found["linear", "mean"] == probe_embeddings(embeddings, task.labels, task.folds)
    results = probe(run, task, protocols=["linear", "knn", "retrieval"], baselines=False)
    for each, other in zip(results.scores, found.values(), strict=True):
        assert each.result.score == pytest.approx(other.score, abs=0.03)


def test_one_log_mel_baseline_whether_from_audio_or_kept(folder, store):
    task = open_task(folder)
    waves = torch.from_numpy(np.stack([task.corpus.wave(i) for i in range(len(task.corpus))]))
    expected = load_encoder("logmel:32").embed(waves).numpy()
    np.testing.assert_allclose(logmel_statistics(store), expected, rtol=1e-4, atol=1e-4)
    found = probe_store("logmel", store, task.labels, task.folds)["linear", "mean"]
    assert found == probe_embeddings(logmel_statistics(store), task.labels, task.folds)


def test_every_layer_is_read_out_in_the_pass_of_the_output(folder, run):
    """Layers and readouts of one call are those of separate calls, and the network runs once over each clip."""
    task, names = open_task(folder), ["mean", "mean+std"]
    encoder, passes = load_encoder(run), 0

    def count(module, arguments):
        nonlocal passes
        passes += len(arguments[0])

    hook = encoder.backbone.blocks[0].register_forward_pre_hook(count)
    together = probe(encoder, task, readouts=names, layers=True, baselines=False)
    hook.remove()
    assert passes < 1.3 * len(task.corpus)  # and a few clips by which the encoder is checked
    assert [(s.result.readout, s.layer, s.dim) for s in together.scores] == [
        (name, layer, width) for name, width in zip(names, (encoder.dim, 2 * encoder.dim), strict=True)
        for layer in range(encoder.layers)
    ]  # fmt: skip
    means = probe(encoder, task, layers=True, baselines=False)
    assert [s.result for s in means.scores] == [s.result for s in together.scores[: encoder.layers]]
    output = probe(encoder, task, readouts=names, baselines=False)
    assert output.scores[1].result == together.scores[-1].result
