"""`sonoscale measure`: encoders that are compared process the same clips; the options are kept."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import sonoscale
from sonoscale.encoders import load_encoder
from sonoscale.measure._clips import block_of_each
from sonoscale.measure._facts import EncoderFacts
from sonoscale.measure._sketches import sketch_clips
from sonoscale.rank import read_records

PICKY = """
import torch

class Whole:
    sample_rate, dim, min_samples = 16_000, 4, 400

    def embed(self, wave):
        bands = torch.stack([part.square().mean(dim=1) for part in wave.tensor_split(4, dim=1)], dim=1)
        return (bands + 1e-6).log()

class Short(Whole):
    max_samples = 8000

class Patient(Whole):
    sample_rate, min_samples = 8000, 3000

class Fixed(Whole):
    min_samples = max_samples = 10_001

class Counted(Whole):
    def embed(self, wave):
        with open(__file__ + ".batches", "a") as log:
            log.write(f"{len(wave)}\\n")
        return super().embed(wave)

class Full(Whole):
    def embed(self, wave):
        raise torch.OutOfMemoryError("CUDA out of memory")
"""


@pytest.fixture
def picky(tmp_path):
    (tmp_path / "picky.py").write_text(PICKY)
    return tmp_path / "picky.py"


@pytest.fixture
def clips(tmp_path):
    """20 clips of a second, and one of 0.3 s."""
    (tmp_path / "clips").mkdir()
    rng, lines = np.random.default_rng(0), ["path,kind"]
    for i in range(21):
        wave = rng.uniform(0.01, 0.1, 4).repeat(4000) * rng.standard_normal(16_000)
        soundfile.write(tmp_path / "clips" / f"{i:02d}.wav", wave[: 4800 if i == 20 else None], 16_000, "FLOAT")
        lines.append(f"{i:02d}.wav,{i % 2}")
    (tmp_path / "clips" / "clips.csv").write_text("\n".join(lines))
    return tmp_path / "clips"


def reported(result, out):
    assert result.returncode == 0, (result.stdout, result.stderr)
    return json.loads(out.read_text())


def test_what_is_too_long_or_short_for_one_is_cut_or_left_out_for_all(tmp_path, measure, picky, clips):
    whole, short, patient = (f"python:{picky}:{name}" for name in ("Whole", "Short", "Patient"))
    out = tmp_path / "o.json"
    found = reported(measure(whole, clips, "--compare", short, "--compare", patient, "--json", out), out)
    assert [each["clips"] for each in found["encoders"]] == [40, 40, 40]  # halves, and none of 0.3 s
    assert [each["seconds"] for each in found["encoders"]] == pytest.approx([20, 20, 20])
    for each in found["encoders"]:
        (left_out,) = each["skipped"]
        assert left_out["name"].endswith("20.wav")
    assert all(each["difference"] for each in found["differences"])
    assert (found["options"]["max_seconds"], found["options"]["min_seconds"]) == (0.5, 0.375)
    alone = reported(measure(whole, clips, "--json", out), out)
    assert (alone["encoders"][0]["clips"], alone["options"]["max_seconds"]) == (21, 30.0)


def test_an_encoder_of_one_length_alone_takes_what_is_cut_to_it_at_another_rate(tmp_path, measure, picky):
    (tmp_path / "clips").mkdir()
    for i in range(12):
        noise = np.random.default_rng(i).uniform(-0.1, 0.1, 44_100)
        soundfile.write(tmp_path / "clips" / f"{i:02d}.wav", noise, 44_100, "FLOAT")
    out, fixed = tmp_path / "o.json", f"python:{picky}:Fixed"
    found = reported(measure(fixed, tmp_path / "clips", "--json", out, "--max-skipped", 0), out)
    assert (found["encoders"][0]["clips"], found["encoders"][0]["seconds"]) == (12, pytest.approx(12 * 10_001 / 16_000))


def test_lengths_that_suit_no_clip(refused, picky, clips):
    short, patient = f"python:{picky}:Short", f"python:{picky}:Patient"
    error = refused(patient, clips, "--compare", short, "--max-seconds", 0.2)
    assert "no clip of up to 0.200 s is long enough for all encoders" in error


def test_everything_to_measure_again_is_kept(tmp_path, measure, picky, clips):
    out, spec = tmp_path / "o.json", f"python:{picky}:Whole"
    found = reported(
        measure(
            spec, clips / "clips.csv", "--group", "kind", "--durations", "0.1,0.5", "--blocks", 4, "--batch-seconds", 2,
            "--workers", 1, "--audio-root", clips, "--max-skipped", 0.1, "--device", "cpu", "--json", out,
        ),
        out,
    )  # fmt: skip
    versions = found["options"].pop("versions")
    assert found["options"] == {
        "encoders": [spec], "audio": str(clips / "clips.csv"), "kind": None, "audio_root": str(clips),
        "max_seconds": 30.0, "min_seconds": 0.025, "equal_n": False, "blocks": 4, "level": 0.95, "tolerance": 0.01,
        "estimators": ["rankme", "rankme_centred", "rankme_standardised"], "baselines": False, "layers": False,
        "group": "kind", "durations": [0.1, 0.5], "max_skipped": 0.1, "device": "cpu", "precision": "fp32",
        "executor": "local", "workers": 1, "batch_seconds": 2.0,
    }  # fmt: skip
    assert versions == {
        "sonoscale": sonoscale.__version__, "torch": torch.__version__, "numpy": np.__version__,
        "python": sys.version.split()[0],
    }  # fmt: skip


def test_parquet_holds_all_that_json_does(tmp_path, measure, encoders, audio):
    command = [
        f"python:{encoders}:Bands", audio / "clips.csv", "--layers", "--group", "kind", "--durations", "0.25,0.5",
        "--workers", 1, "--json",
    ]  # fmt: skip
    rows, plain = tmp_path / "o.parquet", tmp_path / "o.json"
    assert measure(*command, rows).returncode == 0
    found, table = reported(measure(*command, plain), plain), pq.read_table(rows)
    (encoder,) = found["encoders"]
    by_subset: dict[str, list] = {}
    for row in table.to_pylist():
        by_subset.setdefault(row["subset"], []).append((row["estimator"], row["value"], row["layer"], row["corpus"]))
    expected = {
        "whole": found["records"], "layer": encoder["layers"], "group": list(encoder["groups"].values()),
        "duration": encoder["durations"],
    }  # fmt: skip
    assert by_subset == {
        subset: [(each["estimator"], each["value"], each["layer"], each["corpus"]) for each in records]
        for subset, records in expected.items()
    }
    assert len(read_records(rows)) == table.num_rows == 3 + 2 + 2 + 2
    more = json.loads(table.schema.metadata[b"sonoscale"])
    assert set(more) == {"options", "encoders", "differences"}
    assert more["options"] == found["options"]
    assert more["encoders"][0]["clips"] == 60
    assert [record["mean_seconds"] for record in encoder["groups"].values()] == pytest.approx([0.75, 0.75])


def test_batches_are_as_large_as_asked_for(tmp_path, measure, refused, picky, clips):
    out = tmp_path / "o.json"
    reported(measure(f"python:{picky}:Counted", clips, "--batch-seconds", 5, "--json", out), out)
    assert (tmp_path / "picky.py.batches").read_text().split() == ["5", "1", "5", "5", "5", "1"]
    assert "batch_seconds" in refused(f"python:{picky}:Full", clips)


def test_over_ray_the_encoder_is_only_asked_here_for_its_numbers(tmp_path, monkeypatch, measure, picky, clips):
    asked = []

    def sketcher(spec, audio, *, encoder, corpus, opened, loaded, progress):
        asked.append(loaded)
        model = load_encoder(spec)
        return lambda how, indices, what: sketch_clips(
            model, corpus, indices, block_of_each(corpus, how.blocks), how
        )  # fmt: skip

    monkeypatch.setattr("sonoscale.measure._ray.ray_sketcher", sketcher)
    monkeypatch.setattr("sonoscale.measure._ray.cluster_device", lambda device: device.split(":")[0])
    out, spec = tmp_path / "o.json", f"python:{picky}:Whole"
    options = ["--executor", "ray", "--device", "cuda:1", "--precision", "fp16"]
    found = reported(measure(spec, clips, *options, "--json", out), out)
    assert asked == [{"device": "cuda", "precision": "fp16"}]
    assert found["encoders"][0]["encoder"] == f"{load_encoder(spec).identity} fp16"
    assert (found["options"]["device"], found["options"]["executor"]) == ("cuda", "ray")
    facts = EncoderFacts.of(load_encoder(spec, precision="bf16"))
    assert facts.identity == load_encoder(spec, precision="bf16").identity
