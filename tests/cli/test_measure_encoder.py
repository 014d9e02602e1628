"""`sonoscale measure ENCODER AUDIO` as a user runs it, against embeddings made one clip at a time."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from commands import run_command
from sonoscale.rank import read_records


def reported(result, out):
    """What was written, once the command is seen to have gone well."""
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert result.stderr == ""
    return json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def values(found):
    return {record["estimator"]: record["value"] for record in found["records"]}


def words(result):
    return " ".join(result.stdout.split())


def test_ranks_of_a_folder_are_those_of_all_embeddings_at_once(tmp_path, measure, encoders, audio, waves, by_hand):
    arguments = [f"python:{encoders}:Bands", audio, "--json", tmp_path / "o.json"]
    result = run_command("measure", *arguments)
    found = reported(result, tmp_path / "o.json")
    uncentred, centred = by_hand(waves)
    assert values(found)["rankme"] == pytest.approx(uncentred, rel=1e-5)
    assert values(found)["rankme_centred"] == pytest.approx(centred, rel=1e-5)
    record = found["records"][0]
    assert (record["n"], record["dim"], record["level"], record["dtype"]) == (60, 8, 0.95, "float32")
    assert record["low"] < record["value"] < record["high"]
    assert record["mean_seconds"] == pytest.approx(0.75)
    assert record["encoder"].startswith(f"python:{encoders}:Bands mine.py:")
    assert "60 clips" in record["corpus"]
    (encoder,) = found["encoders"]
    assert (encoder["clips"], encoder["seconds"], encoder["skipped"]) == (60, pytest.approx(45.0), [])
    assert encoder["wall_seconds"] > encoder["forward_seconds"] > 0
    for part in ("n = 60 clips of 0.75 s", "dim = 8", "rankme_centred", "per hour of audio"):
        assert part in words(result)
    again = reported(measure(*arguments, "--workers", 1), tmp_path / "o.json")
    assert again["records"] == found["records"]
    assert len(read_records(tmp_path / "o.json")) == 3


def test_layers_groups_and_beginnings(tmp_path, measure, encoders, audio, waves, by_hand):
    out = tmp_path / "o.json"
    result = measure(
        f"python:{encoders}:Bands", audio / "clips.csv", "--layers", "--group", "kind", "--durations", "0.25,0.75",
        "--json", out,
    )  # fmt: skip
    (encoder,) = reported(result, out)["encoders"]
    assert [record["layer"] for record in encoder["layers"]] == [0, 1]
    for layer, record in enumerate(encoder["layers"]):
        assert record["value"] == pytest.approx(by_hand(waves, layer)[0], rel=1e-5)
    assert set(encoder["groups"]) == {"high", "low"}
    for i, kind in enumerate(("high", "low")):
        assert encoder["groups"][kind]["value"] == pytest.approx(by_hand(waves[i::2])[0], rel=1e-5)
        assert (encoder["groups"][kind]["n"], f"kind={kind}" in encoder["groups"][kind]["corpus"]) == (30, True)
    long = [wave for wave in waves if len(wave) >= 12_000]
    for record, samples in zip(encoder["durations"], (4000, 12_000), strict=True):
        assert (record["n"], record["mean_seconds"]) == (40, samples / 16_000)
        assert record["value"] == pytest.approx(by_hand([wave[:samples] for wave in long])[0], rel=1e-5)
    for part in ("by layer", "by group", "by duration", "0.25 s"):
        assert part in words(result)


def test_two_encoders_are_compared_clip_by_clip(tmp_path, measure, encoders, audio):
    specs, out = [f"python:{encoders}:{name}" for name in ("Bands", "Flatter")], tmp_path / "o.json"
    result = measure(specs[0], audio, "--compare", specs[1], "--json", out, "--plot", tmp_path / "o.png")
    found = reported(result, out)
    first, second = (r for r in found["records"] if r["estimator"] == "rankme")
    assert [each["encoder"].split()[0] for each in found["encoders"]] == specs
    (difference,) = (c["difference"] for c in found["differences"] if c["estimator"] == "rankme")
    assert difference["paired"]
    assert difference["value"] == pytest.approx(second["value"] - first["value"])
    assert difference["low"] < difference["value"] < difference["high"]
    alone = reported(measure(specs[1], audio, "--json", out), out)
    assert [r["value"] for r in alone["records"]] == [r["value"] for r in found["records"][3:]]
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


def test_baselines_are_measured_beside_it(tmp_path, measure, encoders, audio):
    out = tmp_path / "o.json"
    found = reported(measure(f"python:{encoders}:Bands", audio, "--baselines", "--json", out), out)
    lidar = "lidar(delta=0.0001, views=6)"
    assert {"rankme", "two_nn", "uniformity", lidar} <= set(values(found))
    assert 1 <= values(found)[lidar] <= 8
    assert 0 < values(found)["two_nn"] <= 8
    assert values(found)["uniformity"] < 0


def test_saved_embeddings_give_the_same_ranks(tmp_path, measure, encoders, audio):
    saved, out = tmp_path / "z.parquet", tmp_path / "o.json"
    found = reported(measure(f"python:{encoders}:Bands", audio, "--save-embeddings", saved, "--json", out), out)
    table = pq.read_table(saved).to_pydict()
    assert sorted(table["name"]) == sorted(map(str, audio.glob("*.wav")))
    again = reported(measure("--embeddings", saved, "--json", out), out)
    assert values(again) == pytest.approx(values(found), rel=1e-6)


def test_long_recordings_are_cut_and_their_pieces_stay_together(tmp_path, measure, encoders, waves, by_hand):
    (tmp_path / "long").mkdir()
    pieces = [wave[:8000] for wave in waves[:24]]
    out, spec = tmp_path / "o.json", f"python:{encoders}:Bands"
    soundfile.write(tmp_path / "long" / "0.wav", np.concatenate(pieces), 16_000, subtype="FLOAT")
    one = reported(measure(spec, tmp_path / "long", "--max-seconds", 0.5, "--json", out), out)
    assert (one["records"][0]["n"], one["encoders"][0]["seconds"]) == (24, pytest.approx(12.0))
    assert values(one)["rankme"] == pytest.approx(by_hand(pieces)[0], rel=1e-5)
    assert any("no interval" in warning for warning in one["records"][0]["warnings"])  # all are in one block
    (tmp_path / "short").mkdir()
    for i, piece in enumerate(pieces):
        soundfile.write(tmp_path / "short" / f"{i:02d}.wav", piece, 16_000, subtype="FLOAT")
    many = reported(measure(spec, tmp_path / "short", "--json", out), out)
    assert values(many)["rankme"] == pytest.approx(values(one)["rankme"], rel=1e-6)
    assert not any("no interval" in warning for warning in many["records"][0]["warnings"])


HEAR = """
import torch

class Model(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 8000, 6, 3

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.drop = torch.nn.Dropout(0.5)

def load_model(model_file_path=""):
    return Model()

def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 400, 400)
    size = frames.abs().mean(dim=2), frames.square().mean(dim=2), frames.amax(dim=2)
    times = torch.arange(frames.shape[1]) * 50.0 + 25
    return model.drop(torch.stack(size, dim=2) * model.scale), times.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    frames, _ = get_timestamp_embeddings(audio, model)
    return torch.cat([frames.mean(dim=1), frames.std(dim=1)], dim=1)
"""

XARES = """
import torch

class SizeEncoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.sampling_rate, self.output_dim, self.hop_size_in_ms = 8000, 3, 50
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, audio):
        frames = audio.unfold(1, 400, 400)
        size = frames.abs().mean(dim=2), frames.square().mean(dim=2), frames.amax(dim=2)
        return self.drop(torch.stack(size, dim=2))
"""


@pytest.mark.parametrize(("kind", "text"), [("hear", HEAR), ("xares", XARES)])
def test_modules_of_hear_and_x_ares(tmp_path, measure, kind, text):
    (tmp_path / "entry.py").write_text(text)
    (tmp_path / "audio").mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(40):
        wave = (rng.uniform(0.05, 0.5) * rng.standard_normal((4000, 8000)[i % 2]) ** (1 + i % 3)).astype(np.float32)
        soundfile.write(tmp_path / "audio" / f"{i:02d}.wav", wave, 8000, subtype="FLOAT")
        frames = wave.reshape(-1, 400).astype(np.float64)
        size = np.stack([np.abs(frames).mean(axis=1), np.square(frames).mean(axis=1), frames.max(axis=1)], axis=1)
        rows.append(np.r_[size.mean(axis=0), size.std(axis=0, ddof=1)][: 6 if kind == "hear" else 3])
    share = np.linalg.svd(np.stack(rows), compute_uv=False)
    share /= share.sum()
    out = tmp_path / "o.json"
    found = reported(measure(f"{kind}:{tmp_path / 'entry.py'}", tmp_path / "audio", "--json", out), out)
    assert values(found)["rankme"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-5)
    assert (found["records"][0]["n"], found["records"][0]["dim"]) == (40, len(rows[0]))


def test_records_alone_as_parquet_with_an_estimator_of_choice(tmp_path, measure, encoders, audio):
    out = tmp_path / "o.parquet"
    result = measure(
        f"python:{encoders}:Bands", audio, "--estimator", "renyi_2", "--level", 0.8, "--blocks", 4, "--json", out
    )
    assert result.returncode == 0, result.stderr
    (record,) = read_records(out)
    assert (record.estimator, record.level, record.n) == ("renyi_2", 0.8, 60)


def test_groups_at_equal_n(tmp_path, measure, encoders, audio):
    lines = ["path,kind", *(f"{i:02d}.wav,{'large' if i % 3 else 'small'}" for i in range(60))]
    (tmp_path / "uneven.csv").write_text("\n".join(lines))
    where = (tmp_path / "uneven.csv", "--audio-root", audio)
    found = {}
    for options in ((), ("--equal-n",)):
        out = tmp_path / "o.json"
        result = measure(f"python:{encoders}:Bands", *where, "--group", "kind", "--json", out, "--blocks", 4, *options)
        assert result.returncode == 0, result.stderr
        assert ("of 20 to 40 clips: a rank grows with n" in result.stdout) == (not options)
        (one,) = json.loads(out.read_text())["encoders"]
        found[options] = {name: (record["n"], record["value"]) for name, record in one["groups"].items()}
    assert [found[()][name][0] for name in ("large", "small")] == [40, 20]
    assert [found["--equal-n",][name][0] for name in ("large", "small")] == [20, 20]
    assert found["--equal-n",]["small"] == found[()]["small"]  # all of it
    assert found["--equal-n",]["large"] != found[()]["large"]
