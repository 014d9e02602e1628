"""Bad audio and options at `sonoscale measure ENCODER AUDIO`: one clear error, or a clip left out and listed."""

import json
import os

import numpy as np
import pytest
import soundfile


def reported(result, out):
    assert result.returncode == 0, (result.stdout, result.stderr)
    return json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def write(path, wave, rate=16_000):
    soundfile.write(path, wave, rate, subtype="FLOAT", format="WAV")


@pytest.fixture
def good(tmp_path, waves):
    """A folder of 40 good clips, to which a test adds others."""
    (tmp_path / "clips").mkdir()
    for i, wave in enumerate(waves[:40]):
        write(tmp_path / "clips" / f"{i:02d}.wav", wave)
    return tmp_path / "clips"


def add_text(path):
    path.write_text("these are the lyrics")


def add_cut_flac(path):
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 16_000), 16_000, format="FLAC")
    path.write_bytes(path.read_bytes()[:9000])


def add_nan(path):
    write(path, np.r_[np.zeros(500), np.nan, np.zeros(9000)])


BROKEN = {
    "text": (add_text, "cannot be decoded as audio"),
    "empty file": (lambda path: path.write_bytes(b""), "cannot be decoded as audio"),
    "no samples": (lambda path: write(path, np.zeros(0)), "holds no audio samples"),
    "one sample": (lambda path: write(path, np.ones(1)), "0.000 s is shorter than the encoder's 0.025 s"),
    "NaN": (add_nan, "NaN or infinite samples, the first at sample 500"),
    "cut off": (add_cut_flac, "cannot be decoded as audio"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_clip_among_many_is_left_out_and_listed(tmp_path, measure, encoders, good, waves, by_hand, fault):
    make, reason = BROKEN[fault]
    make(good / "zz.wav")
    result = measure(f"python:{encoders}:Bands", good, "--json", tmp_path / "o.json")
    found = reported(result, tmp_path / "o.json")
    (skipped,) = found["encoders"][0]["skipped"]
    assert skipped["name"].endswith("zz.wav")
    assert reason in skipped["reason"]
    assert "zz.wav" in result.stdout
    assert found["records"][0]["n"] == 40
    assert found["records"][0]["value"] == pytest.approx(by_hand(waves[:40])[0], rel=1e-5)


def test_too_many_broken_clips_are_listed_and_can_be_let_through(tmp_path, measure, refused, encoders, good):
    for make, _ in BROKEN.values():
        make(good / f"{len(list(good.iterdir())):02d}.wav")
    command = [f"python:{encoders}:Bands", good, "--json", tmp_path / "o.json"]
    error = refused(*command)
    assert "3 of 46 clips cannot be processed, more than the 5.0% allowed" in error  # by their headers
    listed = {f"{40 + i}.wav": reason for i, (_, reason) in enumerate(BROKEN.values())}
    for name in ("40.wav", "41.wav", "42.wav"):
        assert any(name in line and listed[name] in line for line in error.splitlines())
    assert not (tmp_path / "o.json").exists()
    found = reported(measure(*command, "--max-skipped", 0.5), tmp_path / "o.json")
    skipped = {each["name"].rsplit("/", 1)[-1]: each["reason"] for each in found["encoders"][0]["skipped"]}
    assert (found["records"][0]["n"], set(skipped)) == (40, set(listed))
    assert all(reason in skipped[name] for name, reason in listed.items())


def test_nothing_but_broken_clips_is_an_error_whatever_is_allowed(tmp_path, refused, encoders):
    for i in range(3):
        add_nan(tmp_path / f"{i}.wav")
    error = refused(f"python:{encoders}:Bands", tmp_path, "--max-skipped", 1)
    assert "3 of 3 clips cannot be processed" in error
    assert "2.wav" in error


def test_unusual_audio_is_taken_as_what_it_is(tmp_path, measure, encoders, good, waves, by_hand):
    rng = np.random.default_rng(1)
    channels = 0.2 * rng.standard_normal((8000, 8)).astype(np.float32)
    write(good / "m8.wav", channels)
    noise = 0.2 * rng.standard_normal(8000)
    soundfile.write(good / "n.wav", noise, 16_000, format="FLAC")
    write(good / "o.wav", np.zeros(8000))
    found = reported(measure(f"python:{encoders}:Bands", good, "--json", tmp_path / "o.json"), tmp_path / "o.json")
    assert found["encoders"][0]["skipped"] == []
    flac = np.round(noise * 2**15) / 2**15
    expected = by_hand([*waves[:40], channels.mean(axis=1), flac, np.zeros(8000)])
    assert [r["value"] for r in found["records"][:2]] == pytest.approx(expected, rel=1e-5)


def test_names_that_are_not_utf_8(tmp_path, measure, encoders, good, waves, by_hand):
    for name, content in ((b"\xff.wav", (good / "39.wav").read_bytes()), (b"\xfe.wav", b"not audio")):
        try:
            with open(os.path.join(os.fsencode(good), name), "wb") as file:  # noqa: PTH118, PTH123
                file.write(content)
        except OSError:
            pytest.skip("the file system takes UTF-8 alone")
    result = measure(f"python:{encoders}:Bands", good, "--json", tmp_path / "o.json")
    found = reported(result, tmp_path / "o.json")
    assert [each["name"][-8:] for each in found["encoders"][0]["skipped"]] == ["\\xfe.wav"]
    assert found["records"][0]["value"] == pytest.approx(by_hand([*waves[:40], waves[39]])[0], rel=1e-5)


@pytest.mark.parametrize("rate", [8000, 44_100, 384_000])
def test_another_rate_is_taken_as_the_encoders(tmp_path, measure, encoders, rate):
    ranks = []
    for each in (16_000, rate):
        rng, folder = np.random.default_rng(0), tmp_path / str(each)
        folder.mkdir()
        for i in range(16):
            t = np.arange(each // 2) / each
            write(folder / f"{i:02d}.wav", sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(200, 3500, 3)) / 4, each)
        out = tmp_path / f"{each}.json"
        found = reported(measure(f"python:{encoders}:Bands", folder, "--layers", "--json", out), out)
        assert found["encoders"][0]["seconds"] == pytest.approx(8.0)
        ranks.append(found["encoders"][0]["layers"][0]["value"])
    assert ranks[1] == pytest.approx(ranks[0], rel=2e-3)
    assert ranks[0] > 2


def test_silence_alone_has_a_rank_of_one_and_none_about_its_mean(tmp_path, measure, encoders):
    for i in range(12):
        write(tmp_path / f"{i:02d}.wav", np.zeros(8000))
    out = tmp_path / "o.json"
    result = measure(f"python:{encoders}:Bands", tmp_path, "--json", out)
    found = reported(result, out)
    assert {r["estimator"]: r["value"] for r in found["records"]} == pytest.approx({"rankme": 1.0})
    assert "all equal" in found["encoders"][0]["undefined"]["rankme_centred"]
    assert "all equal" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("empty", "empty: no audio files here (looked for .wav"),
        ("none", "none: no such file or folder; audio is"),
        ("text.csv", "text.csv: no column of paths"),
        ("procedural:none", "none"),
        ("hear", "no readable audio; 1 skipped, the first: a.m4a: .m4a cannot be decoded here; convert it"),
    ],
)
def test_where_there_is_no_audio(tmp_path, monkeypatch, refused, encoders, audio, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "hear").mkdir()
    (tmp_path / "hear" / "a.m4a").write_text("")
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    assert message in refused(f"python:{encoders}:Bands", audio)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group", "speaker"], "has no column 'speaker' to group by; it has kind"),
        (["--durations", "5"], "0 clips are 5 s long or longer: take shorter durations"),
        (["--durations", "1,two"], "--durations 1,two: must be seconds, such as 1,2,5"),
        (["--durations", "0"], "--durations 0: must be seconds"),
        (["--save-embeddings", "none/z.parquet"], "none/z.parquet: must end in"),
        (["--json", "none/o.json"], "in a folder that exists"),
        (["--json", "folder.json"], "folder.json: is a folder"),
        (["--json", "/proc/o.json"], "/proc/o.json"),
        (["--estimator", "rank"], "no estimator 'rank'"),
        (["--kind", "tape"], "no kind of audio 'tape'"),
        (["--compare", "python:gone.py:F", "--save-embeddings", "z.parquet"], "save_embeddings is for one encoder"),
        (["--precision", "fp16", "--device", "cpu"], "precision fp16 needs a GPU"),
        (["--device", "quantum"], "device = 'quantum': must be auto, cpu, cuda or one of several"),
    ],
)
def test_bad_options(tmp_path, monkeypatch, refused, encoders, audio, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    assert message in refused(f"python:{encoders}:Bands", audio / "clips.csv", *options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.json"]


def test_a_fault_is_one_line_and_prints_nothing_else(measure, encoders, tmp_path):
    result = measure(f"python:{encoders}:Bands", tmp_path / "gone")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'gone'}: no such file or folder")
