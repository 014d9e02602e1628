"""Studies of encoders that exist already: built from the configurations of public families, on procedural audio."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import transformers
import yaml

import sonoscale as so
from sonoscale.corpora import ProceduralTaskConfig
from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError
from sonoscale.laws import quality, read_runs
from sonoscale.rank import rankme
from sonoscale.report._load import load_study
from sonoscale.study import EncoderStudy, plan, status, study, verify
from sonoscale.study._encoders_job import count_params
from sonoscale.study._schema import COLUMNS

SIZE = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONV = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}  # fmt: skip
TASKS = [
    {"kind": "procedural", "name": "event", "train_clips": 52, "valid_clips": 26, "test_clips": 26},
    {"kind": "procedural", "name": "instrument", "train_clips": 30, "valid_clips": 20, "test_clips": 20},
]

BANDS = """
import torch
class Bands:
    sample_rate, dim, params = 8000, 9, 7
    def embed(self, wave):
        return torch.fft.rfft(wave[:, :16]).abs()
"""
ONE = {"name": "a", "spec": "logmel", "family": "f"}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Local folders of three families, two sizes each, as `save_pretrained` writes them."""
    root = tmp_path_factory.mktemp("zoo")
    entries = []
    for place, width in enumerate((16, 24)):
        for name, kind in (("wav2vec2", "Wav2Vec2"), ("hubert", "Hubert")):
            config = getattr(transformers, f"{kind}Config")(hidden_size=width, **SIZE, **CONV)
            folder = root / f"{name}-{width}"
            getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
            transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
            entries.append({"name": folder.name, "spec": f"hf:{folder}", "family": name, "hours": 960.0 * (1 + place)})
        folder = root / f"whisper-{width}"
        config = transformers.WhisperConfig(
            vocab_size=20, d_model=width, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=20,
            max_source_positions=100, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
            suppress_tokens=None,
        )  # fmt: skip
        transformers.WhisperModel(config).save_pretrained(folder)
        transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
        entries.append({"name": folder.name, "spec": f"hf:{folder}", "family": "whisper", "hours": 680_000.0})
    return entries


def write(folder, entries, **more):
    file = folder / "zoo.yaml"
    content = {
        "name": "zoo",
        "encoders": entries,
        "data": {"kind": "procedural", "clips": 8, "heldout_clips": 64, "seconds": 1.0, "domains": ["environment"]},
        "tasks": TASKS,
        "protocols": ["knn", "linear"],
        "law": {"bootstrap": 100},
    }
    file.write_text(yaml.safe_dump(content | more))
    return file


@pytest.fixture(scope="module")
def finished(zoo, tmp_path_factory, sonoscale):
    """A study of all of them, log-mel statistics and two that fail: its folder and the file."""
    root = tmp_path_factory.mktemp("finished")
    others = [
        {"name": "statistics", "spec": "logmel:16", "family": "statistics", "columns": {"domain": "any", "year": 1980}},
        {"name": "gone", "spec": "hf:/nowhere/at-all", "family": "hubert"},
        {"name": "unwritten", "family": "beats", "note": "needs the code of its authors"},
    ]
    file = write(root, [*others[1:], *zoo, others[0]], layers=True, estimators=["participation_ratio"])
    out = root / "out"
    with pytest.raises(SonoscaleError, match=r"(?s)2 run\(s\) failed; the others are kept.*gone.*unwritten"):
        sonoscale("study", "run", file, "--out", out)
    return out, file


def test_the_ledger_has_the_schema_of_all_studies(finished, zoo):
    table = pq.read_table(finished[0] / "ledger.parquet")
    assert set(table.column_names) == {c.name for c in COLUMNS} | {"participation_ratio", "domain", "year"}
    rows = table.to_pylist()
    scores = {(r["label"], r["task"], r["protocol"], r["readout"], r["layer"]) for r in rows}
    assert len(scores) == len(rows) == 4 * (len(zoo) * 3 + 1)  # 2 tasks by 2 protocols: output and 2 layers before
    by_name = {row["label"]: row for row in rows}
    assert by_name["hubert-24"]["family"] == "hubert"
    assert by_name["hubert-24"]["train_hours"] == 1920
    model = transformers.HubertModel.from_pretrained(zoo[4]["spec"][3:])
    assert by_name["hubert-24"]["params"] == sum(p.numel() for p in model.parameters())
    assert (by_name["statistics"]["params"], by_name["statistics"]["domain"]) == (None, "any")
    assert by_name["hubert-16"]["domain"] is None


def test_numbers_are_those_of_measure_and_probe(finished, zoo):
    """The output of one encoder and a layer of it, by the verbs of the floors before."""
    spec = zoo[0]["spec"]
    config = study(finished[1]).config
    encoder, clips = load_encoder(spec), config.data.heldout()
    waves = torch.stack([torch.from_numpy(clips.wave(i)) for i in range(len(clips))])
    rows = [r for r in study(finished[0]).ledger.to_pylist() if r["label"] == zoo[0]["name"]]
    assert rows[0]["rankme"] == pytest.approx(rankme(encoder.embed(waves).numpy()).value, rel=1e-5)
    deep = next(r for r in rows if r["layer"] == 0)
    assert deep["rankme_readout"] == pytest.approx(rankme(encoder.embed_layers(waves)[0].numpy()).value, rel=1e-5)
    task = ProceduralTaskConfig(**TASKS[0]).load(None)
    found = so.probe(spec, task, protocols=["knn", "linear"], layers=True, baselines=False)
    expected = {(s.result.protocol, s.layer): s.result.score for s in found.scores}
    mine = {(r["protocol"], 2 if r["layer"] is None else r["layer"]): r["score"] for r in rows if r["task"] == "event"}
    assert mine == pytest.approx(expected, abs=1e-6)


def test_quality_laws_and_report_are_of_the_outputs(finished, zoo):
    out = finished[0]
    runs = read_runs(out)
    assert len(runs) == len(zoo) + 1
    rows = [r for r in study(out).ledger.to_pylist() if r["label"] == "hubert-16" and r["layer"] is None]
    mean = sum(r["score"] for r in rows) / len(rows)
    assert runs["quality"][runs["label"] == "hubert-16"] == pytest.approx(mean)
    assert all(s.floor_logmel > 0 for s in quality(out).scores)
    laws = study(out).laws
    assert {fit["x"] for fit in laws["fits"]} == {"rankme", "rankme_centred"}  # no params of log-mel statistics
    assert "No law in params was fitted: it is not known of 1 of 7 runs." in laws["notes"]
    assert laws["audit"]["rankme"]["verdict"] == "insufficient_data"
    page = (out / "report.html").read_text()
    assert "whisper-24" in page
    assert "Layer by layer" in page
    assert (out / "figures" / "layers.png").stat().st_size > 0
    assert "gone" in page


def test_layers_of_the_report_are_those_of_the_ledger(finished, zoo):
    points = [point for point in load_study(finished[0]).layers if point.label == "hubert-24"]
    assert [point.layer for point in points] == [0, 1, 2]
    rows = [row for row in study(finished[0]).ledger.to_pylist() if row["label"] == "hubert-24"]
    for point in points:
        mine = [row for row in rows if row["layer"] == (None if point.layer == 2 else point.layer)]
        assert len(mine) == 4
        assert point.score == pytest.approx(sum(row["score"] for row in mine) / 4)
        assert point.rank == pytest.approx(mine[0]["rankme" if point.layer == 2 else "rankme_readout"])


def test_failures_have_reasons(finished, zoo):
    out = finished[0]
    reasons = {one.label: one.error for one in study(out).failures}
    assert "nowhere" in reasons["gone"]
    assert reasons["unwritten"] == "unwritten: no spec: needs the code of its authors"
    assert status(out).counts == {"queued": 0, "running": 0, "done": len(zoo) + 1, "failed": 2}
    assert verify(out).wrong == ()


def test_with_the_ledger_alone_only_what_failed_is_tried_again(finished, tmp_path, zoo):
    out, before = tmp_path / "elsewhere", study(finished[0]).ledger
    lines = []
    again = study(finished[0] / "ledger.parquet", out=out)
    assert isinstance(again, EncoderStudy)
    again.run(progress=lines.append)
    assert lines[0] == f"{len(zoo) + 1} runs are finished already, 2 to do"
    assert again.ledger.to_pylist() == before.to_pylist()


def test_another_readout_and_encoders_at_several_rates(zoo, tmp_path):
    code = tmp_path / "mine.py"
    code.write_text(BANDS)
    slow = {"name": "bands", "spec": f"python:{code}:Bands", "family": "bands"}
    file = write(tmp_path, [slow, zoo[0]], readouts=["mean+std", "mean"], tasks=TASKS[1:], protocols=["knn"])
    made = study(file, out=tmp_path / "out").run()
    (failure,) = made.failures
    assert failure.label == "bands"
    assert "made at 16000 Hz, and the encoder takes 8000 Hz" in failure.error
    rows = made.ledger.to_pylist()
    assert [row["readout"] for row in rows] == ["mean+std", "mean"]
    assert rows[0]["rankme_readout"] != rows[0]["rankme"] == rows[1]["rankme_readout"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoders": []}, "encoders"),
        (
            {"encoders": [ONE | {"hour": 1}]},
            r"did you mean 'encoders\.0\.hours'",
        ),
        ({"encoders": [ONE, ONE]}, "the name 'a' is used twice"),
        (
            {"encoders": [ONE | {"columns": {"loss": 1}}]},
            "a column loss of its own",
        ),
        (
            {"encoders": [ONE | {"revision": "x"}]},
            "revision is of hf: specs only",
        ),
        ({"estimators": ["rankmee"]}, "there is no 'rankmee'"),
        ({"sweep": {}}, "unknown key 'sweep'"),
        ({"layers": [-1]}, "numbers from 0"),
        ({"layers": True, "readouts": ["mean+std"]}, "layers are read by the mean; add it, or drop layers"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path, change, said):
    file = write(
        tmp_path,
        [{"name": "a", "spec": "logmel", "family": "f"}],
        **{k: v for k, v in change.items() if k != "encoders"},
    )
    if "encoders" in change:
        file = write(tmp_path, change["encoders"])
    with pytest.raises(SonoscaleError, match=said) as caught:
        study(file)
    assert "\n" not in str(caught.value)


CATALOGUE = Path(__file__).parents[2] / "studies" / "zoo.yaml"


def test_the_catalogue_is_a_study_and_says_what_was_loaded():
    made = study(CATALOGUE, set={"data.root": "."})
    assert isinstance(made, EncoderStudy)
    assert all(one.loaded.startswith("never") and one.citation.startswith("arXiv:") for one in made.config.encoders)
    pinned = next(one for one in made.config.encoders if one.name == "mert-v1-95M")
    assert pinned.source == f"hf:m-a-p/MERT-v1-95M@{pinned.revision}?trust_remote_code=true"
    assert made.planned() == []
    for refused in (made.plan, made.add, lambda: plan(CATALOGUE)):
        with pytest.raises(SonoscaleError, match=f"{made.config.name}: is of existing encoders, and trains none"):
            refused()


def models():
    """A small model of each family of the catalogue that transformers has, and its feature extractor."""
    wave = transformers.Wav2Vec2FeatureExtractor()
    for kind in ("Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio"):
        more = CONV if kind != "Data2VecAudio" else {k: v for k, v in CONV.items() if k != "num_conv_pos_embeddings"}
        config = getattr(transformers, f"{kind}Config")(hidden_size=16, **SIZE, **more)
        yield getattr(transformers, f"{kind}Model")(config), wave
    size: dict[str, Any] = {"hidden_size": 16, "max_length": 64, "num_mel_bins": 32, **SIZE}
    config = transformers.ASTConfig(**size)
    yield transformers.ASTModel(config), transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32)


def test_families_load_from_folders_made_from_their_configs(tmp_path):
    """Whisper is in the study above, CLAP in the tests of the encoders."""
    for place, (model, extractor) in enumerate(models()):
        folder = tmp_path / str(place)
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        encoder = load_encoder(f"hf:{folder}")
        assert encoder.embed(0.1 * torch.randn(2, 8000)).shape == (2, 16)
        assert count_params(encoder) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("code", "params"),
    [
        (BANDS, 7),
        (BANDS.replace("params = 8000, 9, 7", "params = 8000, 9, 'many'"), None),
        (
            BANDS.replace(
                ", params = 8000, 9, 7", " = 8000, 9\n    def __init__(self): self.net = torch.nn.Linear(3, 2)"
            ),
            8,
        ),
    ],
    ids=["said", "no number", "counted"],
)
def test_parameters_of_an_encoder_in_a_file_of_python(tmp_path, code, params):
    (tmp_path / "bands.py").write_text(code)
    assert count_params(load_encoder(f"python:{tmp_path / 'bands.py'}:Bands")) == params
