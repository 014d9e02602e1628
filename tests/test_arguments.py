"""What is of another type than a signature says is refused in one line, by every verb, before anything is done."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import sonoscale as so
from sonoscale import corpora, rank
from sonoscale.arguments import check_arguments
from sonoscale.errors import SonoscaleError

EMBEDDINGS = np.random.default_rng(0).standard_normal((64, 4))
SKETCH = rank.SpectralSketch(4)
SKETCH.update(EMBEDDINGS)

VERBS = {
    "rankme": (rank.rankme, {"embeddings": EMBEDDINGS}),
    "measure_all": (rank.measure_all, {"sketch": SKETCH}),
    "clips_needed": (rank.clips_needed, {"sketch": SKETCH}),
    "SpectralSketch": (rank.SpectralSketch, {"dim": 4}),
    "RankMonitor": (rank.RankMonitor, {"probe": [EMBEDDINGS]}),
    "get_estimator": (rank.get_estimator, {"name": "rankme"}),
    "measure": (so.measure, {"embeddings": "no.npy"}),
    "pretrain": (so.pretrain, {"config": {}, "dry_run": True, "device": "cpu"}),
    "probe": (so.probe, {"encoders": "logmel:8", "tasks": "no"}),
    "export": (so.export, {"run": "no", "to": "hear", "out": "no"}),
    "study": (so.study, {"source": "no.yaml"}),
    "report": (so.report, {"folder": "no"}),
    "load_encoder": (so.load_encoder, {"spec": "logmel:8"}),
    "describe": (corpora.describe, {"audio": "no"}),
    "pack": (corpora.pack, {"audio": "no", "out": "no"}),
    "fetch": (corpora.fetch, {"name": "no"}),
    "open_corpus": (corpora.open_corpus, {"spec": "no"}),
    "open_task": (corpora.open_task, {"spec": "no"}),
}
NOT_FOR = {  # what is of any type, or of no use beside the rest that is given
    "rankme": {"embeddings"},
    "RankMonitor": {"probe", "group"},
    "measure": {"precision"},
    "measure_all": {"sketch"},
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("value", [object(), b"x", 1j], ids=["object", "bytes", "complex"])
def test_every_argument_of_another_type_is_refused_in_one_line(name: str, value: object):
    function, given = VERBS[name]
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or argument in NOT_FOR.get(name, ()):
            continue
        with pytest.raises(SonoscaleError) as refused:
            function(**{**given, argument: value})
        assert "\n" not in str(refused.value)
        assert re.search(rf"\b{argument}\b", str(refused.value))


def test_numbers_paths_and_lists():
    def move(speed: float, steps: int, to: "str", names: "Sequence[str] | None" = None, fast: bool = False): ...  # type: ignore  # noqa: F821

    move.__annotations__ = {"speed": "float", "steps": "int", "to": "str | Path", "names": "Sequence[str] | None"}
    move.__annotations__["fast"] = "bool"
    check_arguments(move, {"speed": 2, "steps": np.int64(3), "to": "x", "names": ("a",), "fast": np.True_})
    check_arguments(move, {"speed": np.float32(2), "names": None})
    for wrong, words in (
        ({"speed": True}, "speed = True: must be a number"),
        ({"steps": 2.0}, "steps = 2.0: must be a whole number"),
        ({"to": 3}, "to = 3: must be text or a path"),
        ({"names": "ab"}, "names = 'ab': must be a list of texts or None"),
        ({"names": ["a", 3]}, "names = ['a', 3]: must be a list of texts or None"),
        ({"fast": 1}, "fast = 1: must be True or False"),
    ):
        with pytest.raises(SonoscaleError, match=re.escape(words)):
            check_arguments(move, wrong)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"workers": -1}, "workers = -1"),
        ({"batch_seconds": float("nan")}, "batch_seconds = nan"),
        ({"max_skipped": -1}, "max_skipped = -1"),
    ],
)
def test_measure_names_a_number_out_of_range(options: dict[str, float], named: str):
    with pytest.raises(SonoscaleError, match=named):
        so.measure("logmel:8", "no", **options)


def test_measure_of_an_array_points_to_rankme():
    with pytest.raises(SonoscaleError, match="rankme"):
        so.measure(embeddings=EMBEDDINGS)


def test_a_negative_number_of_processes():
    with pytest.raises(SonoscaleError, match="devices = -1"):
        so.pretrain({}, devices=-1, device="cpu", dry_run=True)


def test_a_study_takes_overrides_as_training_does(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(
        "{name: s, data: {kind: procedural}, sweep: {encoder.width: [8]}, tasks: [{kind: procedural, name: event}]}"
    )
    for given in ("encoder.depth=3", ["encoder.depth=3"], {"encoder.depth": 3}):
        assert so.study(file, set=given).config.encoder.depth == 3
        assert so.pretrain._pretrain._read({}, given).encoder.depth == 3


def test_sparse_tensors_are_refused():
    torch = pytest.importorskip("torch")
    for tensor in (torch.eye(8).to_sparse(), torch.empty(8, 2, device="meta")):
        with pytest.raises(SonoscaleError, match="to_dense"):
            so.rankme(tensor)


def test_floors_show_the_signature_of_their_verb():
    assert list(inspect.signature(so.study).parameters)[:2] == ["source", "out"]


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'measure'"):
        _ = so.mesure
    with pytest.raises(AttributeError, match="did you mean 'expand'"):
        _ = so.study.expandd


def test_a_script_without_a_guard_starts_its_work_once(tmp_path):
    """Spawned workers would run it again, and each of them would fail to start workers of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from sonoscale.processes import worker_pool\n"
        "with worker_pool(1, doing='counting') as pool:\n"
        "    print(list(pool.map(abs, [-1, -2])))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("once\n[1, 2]\n", "")


def test_what_a_script_defines_still_reaches_its_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from sonoscale.processes import worker_pool\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1, doing='counting') as pool:\n"
        "        print(list(pool.map(double, [1, 2])))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[2, 4]\n", "")


def test_a_place_that_cannot_be_written_is_named_plainly(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    tiny = {"data": {"kind": "procedural", "clips": 32}, "train": {"batch_size": 8}}
    np.save(tmp_path / "a.npy", EMBEDDINGS)
    for attempt in (
        lambda: so.pretrain(tiny, out=tmp_path / "runs", device="cpu", cache=file / "cache", workers=1),
        lambda: so.measure(embeddings=tmp_path / "a.npy", estimators="rankme").to_json(file / "a.json"),
        lambda: so.rankme(EMBEDDINGS).to_json(file / "a.json"),
        lambda: corpora.preview(file),
        lambda: corpora.pack("procedural?clips=2&seconds=0.5", file),
    ):
        with pytest.raises(SonoscaleError, match="cannot be") as refused:
            attempt()
        assert "Errno" not in str(refused.value)
        assert str(file) in str(refused.value)


def test_audio_is_not_packed_into_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SonoscaleError, match="not empty"):
        corpora.pack("procedural?clips=2&seconds=0.5", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_in_place_of_a_configuration(tmp_path):
    with pytest.raises(SonoscaleError, match="is a folder; give a configuration file"):
        so.pretrain(tmp_path)
