"""`sonoscale.measure(...)` from Python: encoders on audio or files of embeddings, and what it returns."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

import sonoscale as so
from sonoscale.errors import SonoscaleError
from sonoscale.measure import Measurement
from sonoscale.rank import read_records


class Bands:
    """The log energy in eight bands, of two layers."""

    sample_rate, dim, layers, min_samples, identity = 16_000, 8, 2, 400, "bands"

    def embed_layers(self, wave):
        power = torch.fft.rfft(wave).abs().square()
        bands = torch.stack([part.mean(dim=1) for part in power.tensor_split(8, dim=1)], dim=1)
        return torch.stack([bands, (bands + 1e-6).log()])

    def embed(self, wave):
        return self.embed_layers(wave)[-1]


class Steeper(Bands):
    identity, layers = "steeper", None

    def embed(self, wave):
        return super().embed(wave) * torch.arange(1, 9)


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    root, rng, lines = tmp_path_factory.mktemp("audio"), np.random.default_rng(0), ["path,kind"]
    for i in range(40):
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 7000) * np.arange(8000) / 16_000)
        soundfile.write(root / f"{i:02d}.wav", wave + 0.01 * rng.standard_normal(8000), 16_000, subtype="FLOAT")
        lines.append(f"{i:02d}.wav,{'low' if i % 2 else 'high'}")
    (root / "clips.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def files(tmp_path):
    clips = np.random.default_rng(0).standard_normal((500, 12))
    for name, rows in (("a", clips), ("b", clips * np.linspace(1, 3, 12)), ("short", clips[:200])):
        np.save(tmp_path / f"{name}.npy", rows)
    return tmp_path


def test_encoders_on_audio(audio, tmp_path):
    seen, steps = [], set()
    found = so.measure(
        Bands(), str(audio / "clips.csv"), layers=True, group="kind", durations=[0.25, 0.5], device="cpu",
        json=tmp_path / "o.json", each=seen.append, progress=lambda *step: steps.add(step[:2]),
    )  # fmt: skip
    assert isinstance(found, Measurement)
    (one,) = found.measured
    assert [len(part) for part in (one.records, one.layers, one.groups, one.durations)] == [3, 2, 2, 2]
    assert (found.estimator, found.grouped_by, one.name, one.clips) == ("rankme", "kind", "bands", 40)
    assert found.records == one.records == read_records(tmp_path / "o.json")
    assert not found.differences
    assert [len(each.measured) for each in seen] == [1]
    assert {("bands", "clips"), ("bands", "first 0.25 s")} <= steps
    rows = found.rows()
    assert [row["subset"] for row in rows] == ["whole"] * 3 + ["layer"] * 2 + ["group"] * 2 + ["duration"] * 2
    assert [row["group"] for row in rows if row["subset"] == "group"] == ["high", "low"]
    assert repr(found).startswith(f"bands: {one.records[0].headline}\n\nname")
    assert "<table>" in found._repr_html_()
    content = json.loads(found.to_json())
    assert (content["options"]["encoders"], content["options"]["device"]) == (["bands"], "cpu")
    assert content == json.loads((tmp_path / "o.json").read_text())


def test_encoders_are_compared_clip_by_clip(audio):
    found = so.measure([Bands(), Steeper()], audio, estimators="rankme", device="cpu")
    (difference,) = found.differences
    first, second = found.records
    assert difference.difference is not None
    assert difference.difference.paired
    assert difference.difference.value == pytest.approx(second.value - first.value)
    word = "differs" if difference.significant else "differ"
    assert found.headline.endswith(f"{int(difference.significant)} of 1 {word} significantly from bands")
    again = so.measure(Bands(), audio, compare=[Steeper()], estimators="rankme", device="cpu")
    assert [record.value for record in again.records] == [first.value, second.value]


def test_the_threads_of_the_program_are_left_as_they_were(audio):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        so.measure(Bands(), audio, device="cpu", estimators="rankme")
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_cpu_is_taken_where_it_is_asked_for(audio, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    load = so.load_encoder
    monkeypatch.setattr(
        "sonoscale.encoders.load_encoder", lambda spec, **how: asked.append(how["device"]) or load(spec, **how)
    )
    so.measure("logmel:8", audio, device="cpu", estimators="rankme")
    assert asked == ["cpu"]


def test_files_of_embeddings(files, tmp_path):
    found = so.measure(embeddings=[files / "a.npy", files / "b.npy"], json=tmp_path / "o.parquet")
    assert [one.name for one in found.measured] == ["a.npy", "b.npy"]
    assert [difference.significant for difference in found.differences if difference.estimator == "rankme"] == [True]
    assert [record.encoder for record in read_records(tmp_path / "o.parquet")][::3] == [
        str(files / name) for name in ("a.npy", "b.npy")
    ]
    pandas = pytest.importorskip("pandas")
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.groupby("name")["value"].count().to_dict() == {"a.npy": 3, "b.npy": 3}
    assert "layer" not in frame
    every = so.measure(embeddings=files / "a.npy", estimators=["renyi_3", "all"])
    assert every.estimator == every.records[0].estimator == "renyi_3"
    assert {"two_nn", "uniformity"} <= {record.estimator for record in every.records}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "measure needs encoders and a corpus, or embeddings"),
        ({"encoders": "logmel:"}, "measure needs encoders and a corpus, or embeddings"),
        ({"encoders": "logmel:", "corpus": "A", "embeddings": "a.npy"}, "or embeddings, and not both"),
        ({"encoders": [], "corpus": "A"}, "at least one encoder"),
        ({"encoders": object(), "corpus": "A"}, "object is no spec and no Encoder: it has no sample_rate, dim"),
        ({"encoders": "logmel:", "corpus": "A", "executor": "slurm"}, "executor 'slurm' is not known"),
        ({"encoders": ["logmel:"] * 2, "corpus": "A", "save_embeddings": "z.npy"}, "save_embeddings is for one"),
        (
            {"encoders": "logmel:", "corpus": "A", "device": "quantum"},
            "device = 'quantum': must be auto, cpu, cuda or one of several",
        ),
        ({"encoders": "logmel:", "corpus": "none"}, "none: no such file or folder"),
        ({"embeddings": "a.npy", "estimators": "rank"}, "no estimator 'rank'"),
        ({"embeddings": "a.npy", "estimators": []}, "at least one estimator"),
        ({"embeddings": "a.npy", "level": 95}, "level = 95"),
        ({"embeddings": "a.npy", "json": "o.csv"}, "o.csv: must end in .json or .parquet"),
        ({"embeddings": "gone.npy"}, "gone.npy: "),
        ({"embeddings": ["a.npy", "short.npy"]}, "compare all the same with force"),
    ],
)
def test_what_does_not_fit_is_one_line(files, audio, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    if arguments.get("corpus") == "A":
        arguments = arguments | {"corpus": audio}
    with pytest.raises(SonoscaleError) as caught:
        so.measure(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_do_not_overwrite_what_is_measured(tmp_path):
    pandas = pytest.importorskip("pandas")
    file = tmp_path / "a.parquet"
    pandas.DataFrame(np.random.default_rng(0).standard_normal((50, 3)), columns=list("xyz")).to_parquet(file)
    before = file.read_bytes()
    with pytest.raises(SonoscaleError, match="would be overwritten"):
        so.measure(embeddings=file, json=file)
    assert file.read_bytes() == before


def test_files_need_neither_torch_nor_audio(files):
    code = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'soundfile', 'soxr', 'matplotlib', 'altair', 'sklearn', 'pandas'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "import sonoscale as so\n"
        "print(so.measure(embeddings=['a.npy', 'b.npy'], estimators='all').headline)\n"
        "try: so.measure('logmel:', '.')\n"
        "except so.SonoscaleError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=files)
    assert found.returncode == 0, found.stderr
    headline, error = found.stdout.splitlines()
    assert headline.startswith("a.npy: RankMe ")
    assert error.startswith("measuring an encoder needs torch: pip install 'sonoscale[train]'")


def test_spectra_are_plotted(files):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = so.measure(embeddings=[files / "a.npy", files / "b.npy"], estimators="rankme").plot()
    assert [line.get_label() for line in axes.get_lines()] == ["a.npy", "b.npy"]
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [12, 12]
