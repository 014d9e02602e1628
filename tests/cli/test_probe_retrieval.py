"""`sonoscale probe --protocol retrieval`: from audio to a table, on tones and on real audio."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from sonoscale.corpora import read_task
from sonoscale.encoders import load_encoder
from sonoscale.measure import embed_corpus

RATE = 16_000
DATA = Path(os.environ.get("SONOSCALE_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.fixture(scope="module")
def covers(tmp_path_factory):
    """Six tones, each sung by four in noise, and one clip that nothing is like; the first of each is the query."""
    root = tmp_path_factory.mktemp("covers")
    rng, lines = np.random.default_rng(0), ["path,work,role,singer"]
    for i in range(25):
        tone = 0.05 * np.sin(2 * np.pi * (200 * 1.5 ** (i // 4)) * np.arange(RATE // 4) / RATE)
        soundfile.write(root / f"{i}.wav", tone + 0.02 * rng.standard_normal(RATE // 4), RATE)
        lines.append(f"{i}.wav,song {i // 4},{'gallery' if i % 4 else 'query'},{i % 4}")
    (root / "covers.csv").write_text("\n".join(lines))
    (root / "plain.csv").write_text("\n".join(["path,label", *(",".join(x.split(",")[:2]) for x in lines[1:])]))
    (root / "alone.csv").write_text("\n".join(["path,work", *(f"{i}.wav,song {i}" for i in range(25))]))
    (root / "numbers.csv").write_text("\n".join(["path,value,fold", *(f"{i}.wav,{i},{i % 3}" for i in range(25))]))
    return root


def test_a_table_of_covers_from_one_end_to_the_other(covers, sonoscale, tmp_path):
    result = sonoscale(
        "probe", "logmel:", "--compare", "logmel:16", "--task", covers / "covers.csv", "--protocol", "retrieval",
        "--json", tmp_path / "scores.json", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    first, second = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert (first["protocol"], first["kind"], first["metric"], first["task"]) == (
        "retrieval/1", "retrieval", "mAP", "covers",
    )  # fmt: skip
    assert first["n"] == 6
    assert (first["score"], first["others"]["recall@1"]["score"]) == (pytest.approx(1), 1)
    assert first["chance"] == second["chance"] < 0.4
    assert "1 of 7 queries are left out" in result.stdout
    for word in ("retrieval/1, other metrics", "recall@1", "recall@10", "mrr", "ndcg@10", "chance"):
        assert word in result.stdout


def test_a_table_of_labels_is_searched_without_saying_so_again(covers, sonoscale, tmp_path):
    result = sonoscale(
        "probe", "logmel:", "--no-baselines", "--task", covers / "plain.csv", "--kind", "retrieval",
        "--protocol", "retrieval", "--json", tmp_path / "scores.json", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["scores"][0]["n"] == 24
    assert content["options"]["kind"] == "retrieval"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["covers.csv", "--protocol", "linear"], "protocol linear is for multiclass, multilabel, regression tasks, and "
         "this one is retrieval; for it there are retrieval, retrieval-all"),
        (["numbers.csv", "--protocol", "retrieval"], "and this one is regression; for it there are linear, knn"),
        (["alone.csv", "--protocol", "retrieval"], "no query has anything to find"),
        (["covers.csv", "--protocol", "retrieval", "--kind", "captions"], "no kind of task 'captions'; there are"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_said_before_anything_is_embedded(covers, sonoscale, tmp_path, arguments, expected):
    table, *options = arguments
    result = sonoscale("probe", "logmel:", "--task", covers / table, *options, "--cache", tmp_path / "cache")
    assert result.returncode == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.e2e
@pytest.mark.skipif(
    not (DATA / "tasks" / "esc10").is_dir() or not (DATA / "tasks" / "fsdd_digit").is_dir(),
    reason="no real audio: set SONOSCALE_TEST_DATA to a folder with tasks/esc10 and tasks/fsdd_digit",
)
def test_real_audio(sonoscale, tmp_path):
    tables = [DATA / "tasks" / name / "metadata.csv" for name in ("esc10", "fsdd_digit")]

    def command(*arguments):
        return sonoscale(
            "probe", "logmel:", "--no-baselines", "--audio-root", DATA, *arguments, "--cache", tmp_path / "cache",
            "--json", tmp_path / "scores.json",
        )  # fmt: skip

    result = command("--task", tables[0], "--protocol", "retrieval")
    assert result.returncode == 0, result.stderr
    (score,) = json.loads((tmp_path / "scores.json").read_text())["scores"]
    task = read_task("esc10", tables[0], audio_root=DATA)
    rows = embed_corpus(load_encoder("logmel:"), task.corpus).rows[0]
    folds, labels = np.array(task.folds), np.array(task.labels)
    expected = []
    for fold in sorted(set(folds)):
        x, y = rows[folds == fold].astype(np.float64), labels[folds == fold]
        similar, others = cosine_similarity(x), ~np.eye(len(x), dtype=bool)
        expected.append(
            np.mean([average_precision_score((y == y[i])[others[i]], similar[i, others[i]]) for i in range(len(x))])
        )
    assert list(score["per_fold"].values()) == pytest.approx(expected, abs=1e-4)
    assert score["chance"] < score["low"]

    # One speaker a fold, and the speaker is the group: nothing is left to search, and the message says what to do.
    result = command("--task", tables[1], "--protocol", "retrieval")
    assert "of their own group alone, which is left out: protocol retrieval-all searches it" in result.stderr
    result = command("--task", tables[1], "--protocol", "retrieval-all")
    assert result.returncode == 0, result.stderr
    (score,) = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert score["n"] == 1200
    assert score["chance"] < score["score"]
