"""`sonoscale data` as a user sees it: what it prints, writes and exits with."""

import functools
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonoscale.cli.main import run
from sonoscale.corpora import open_corpus


@pytest.fixture
def sonoscale(monkeypatch, capsys):
    """Run the command in this process: its exit status, what it prints, and its errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sonoscale", *map(str, arguments)])
        before = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as ended:
                run()
        finally:
            signal.signal(signal.SIGINT, before)
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    monkeypatch.setenv("COLUMNS", "200")
    return call


def write_audio(folder, clips=24):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(clips):
        soundfile.write(folder / f"{i:03d}.flac", 0.1 * rng.standard_normal(9000), 16_000)
    soundfile.write(folder / "silent.wav", np.zeros(9000), 16_000)
    return folder


@pytest.fixture
def audio(tmp_path):
    return write_audio(tmp_path / "audio")


def test_pack_and_open_again(sonoscale, audio, tmp_path):
    (audio / "broken.wav").write_bytes(b"no sound in here")
    status, out, _ = sonoscale("data", "pack", audio, "--out", tmp_path / "pack", "--rate", 8000)
    assert status == 0
    assert "broken.wav: " in out
    assert "pack: 25 clips, 0.00 h at 8000 Hz, 1 left out" in out
    packed, source = open_corpus(tmp_path / "pack", sample_rate=8000), open_corpus(audio, sample_rate=8000)
    assert [packed.name(i) for i in range(25)] == [source.name(i) for i in range(25)]
    np.testing.assert_allclose(packed.wave(3), source.wave(3), atol=0.5 / 32768)
    assert sonoscale("data", "pack", audio, "--out", tmp_path / "pack", "--rate", 8000)[0] == 0
    status, _, error = sonoscale("data", "pack", audio, "--out", tmp_path / "pack")
    assert status == 1
    assert error.startswith("error: ")
    assert "a finished pack of other audio or with other settings" in error


def test_pack_with_too_much_broken(sonoscale, audio, tmp_path):
    for i in range(4):
        (audio / f"broken{i}.wav").write_bytes(b"no sound in here")
    status, out, error = sonoscale("data", "pack", audio, "--out", tmp_path / "pack")
    assert status == 1
    assert [f"broken{i}.wav" in line for i, line in enumerate(out.splitlines())] == [True] * 4
    assert len(error.splitlines()) == 1
    assert "4 clips cannot be read, more than the 5.0% allowed" in error
    assert sonoscale("data", "pack", audio, "--out", tmp_path / "pack", "--max-broken", 0.2)[0] == 0


def test_pack_interrupted_at_the_keyboard(sonoscale, tmp_path):
    """Ctrl-C at a real command, then the same command again."""
    audio = write_audio(tmp_path / "audio", clips=700)
    command = [sys.executable, "-m", "sonoscale", "data", "pack", audio, "--shard-mb", "1", "--workers", "1", "--out"]
    process = subprocess.Popen([*command, tmp_path / "pack"], stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "pack" / ".journal.jsonl"
    while process.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") > 2):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(error.splitlines()) == 1
    assert error.startswith("error: interrupted")
    assert not (tmp_path / "pack" / "sonoscale-pack.json").exists()
    assert sonoscale("data", "pack", audio, "--shard-mb", 1, "--out", tmp_path / "pack")[0] == 0
    assert len(open_corpus(tmp_path / "pack")) == 701


def test_describe(sonoscale, audio, tmp_path):
    page, table = tmp_path / "page.html", tmp_path / "out.json"
    status, out, _ = sonoscale("data", "describe", audio, "--out", page, "--json", table)
    assert status == 0
    assert "silent (RMS below -60 dBFS)" in out
    assert "1 (4.0%)" in out
    assert "the same file name as an earlier clip" in out
    content = json.loads(table.read_text())
    assert content["clips"] == 25
    assert content["silent"] == {"count": 1, "names": [str(audio / "silent.wav")]}
    assert content["source_rates"] == {"16000": 25}
    assert "data:image/png;base64," in page.read_text()


def test_describe_counts_metadata(sonoscale, audio, tmp_path):
    lines = [f"{i:03d}.flac,{'cat' if i % 3 else 'dog'}" for i in range(24)]
    (audio / "labels.csv").write_text("path,animal\n" + "\n".join(lines))
    status, out, _ = sonoscale("data", "describe", audio / "labels.csv", "--json", tmp_path / "o.json")
    assert status == 0
    assert "clips by animal" in out
    assert json.loads((tmp_path / "o.json").read_text())["columns"]["animal"] == {"cat": 16, "dog": 8}


def test_describe_tries_its_outputs_first(sonoscale, audio):
    status, _, error = sonoscale("data", "describe", audio, "--out", "/no/such/folder/page.html")
    assert status == 1
    assert "/no/such/folder/page.html: cannot be written" in error


def test_check(sonoscale, audio):
    status, out, _ = sonoscale("data", "check", audio)
    assert status == 0
    assert "25 clips can be read, 0 cannot" in out
    cut = audio / "cut.flac"
    cut.write_bytes((audio / "003.flac").read_bytes()[:6000])  # its header is fine
    (audio / "text.wav").write_text("no sound in here")
    status, out, error = sonoscale("data", "check", audio)
    assert status == 1
    assert sum(line.count("cut.flac") + line.count("text.wav") for line in out.splitlines()) == 2
    assert "2 of 27 clips cannot be read (7.4%); max_broken allows 5.0%" in error
    assert sonoscale("data", "check", audio, "--max-broken", 0.1)[0] == 0
    assert sonoscale("data", "check", audio / "absent")[0] == 1


@pytest.fixture
def recipes(tmp_path):
    """A file of recipes, and a server that has their files."""
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "toy.zip", "w") as archive:
        archive.writestr("toy/a.txt", "a")
    digest = hashlib.sha256((served / "toy.zip").read_bytes()).hexdigest()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/toy.zip"
    about = "title: Toy sounds, homepage: 'http://toy', citation: Toy et al."
    (tmp_path / "own.yaml").write_text(
        f"toy: {{{about}, licence: CC BY-NC 4.0, noncommercial: true, "
        f"files: [{{url: '{url}', checksum: 'sha256:{digest}'}}]}}\n"
        f"bad: {{{about}, licence: CC0, files: [{{url: '{url}', checksum: 'sha256:{'0' * 64}'}}]}}\n"
        f"plain: {{{about}, licence: CC0, files: [{{url: '{url}'}}]}}\n"
    )
    yield tmp_path / "own.yaml"
    server.shutdown()
    server.server_close()


def test_fetch(sonoscale, recipes, tmp_path):
    arguments = ("data", "fetch", "toy", "--out", tmp_path / "data", "--recipes", recipes)
    status, out, error = sonoscale(*arguments)
    assert status == 1
    assert "licence: CC BY-NC 4.0" in out
    assert "cite: Toy et al." in out
    assert "set accept_licence" in error
    status, out, _ = sonoscale(*arguments, "--accept-licence")
    assert status == 0
    assert (tmp_path / "data" / "toy" / "toy" / "a.txt").read_text() == "a"
    assert "1 file(s) fetched" in out
    status, out, _ = sonoscale(*arguments, "--accept-licence")
    assert status == 0
    assert "toy: complete" in out


def test_fetch_says_what_it_cannot_verify(sonoscale, recipes, tmp_path, monkeypatch):
    monkeypatch.setenv("SONOSCALE_RECIPES", str(recipes))
    status, out, _ = sonoscale("data", "fetch", "plain", "--out", tmp_path / "data")
    assert status == 0
    assert "toy.zip: no checksum is known: content not verified" in out
    status, _, error = sonoscale("data", "fetch", "bad", "--out", tmp_path / "data")
    assert status == 1
    assert "the content is not what was published" in error
    assert not (tmp_path / "data" / "bad").exists()


def test_fetch_lists_and_helps(sonoscale):
    status, out, _ = sonoscale("data", "fetch", "--list")
    assert status == 0
    assert all(name in out for name in ("esc-50", "CC BY-NC 3.0", "hear", "Zenodo", "by hand"))
    assert "did you mean 'gtzan'" in sonoscale("data", "fetch", "gtzann", "--out", "x")[2]
    assert "name a corpus (esc-50, " in sonoscale("data", "fetch")[2]
    assert "audioset: only lists of videos are published" in sonoscale("data", "fetch", "AudioSet", "--out", "x")[2]
    assert "nsynth: give the folder to fetch it into as out" in sonoscale("data", "fetch", "nsynth")[2]


@pytest.fixture
def oddly_named(tmp_path):
    """Names that are not UTF-8, that would change a terminal, and that look like markup."""
    folder = tmp_path / "odd [/red] names"  # a folder in a folder
    folder.mkdir(parents=True)
    for name in (b"caf\xe9.wav", b"\x1b[31mred.wav", b"[red]a[/red].wav", b"[/red].wav"):
        path = os.fsdecode(os.fsencode(folder) + b"/" + name)
        encoded = io.BytesIO()
        soundfile.write(encoded, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000, format="WAV")
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(encoded.getvalue())
    (folder / os.fsdecode(b"broken \x1b]0;title\x07 caf\xe9.wav")).write_bytes(b"no sound")
    return folder


MEASURE = ("measure", "logmel:8", "--group", "path", "--blocks", 2)


def test_odd_names_are_shown_and_written(sonoscale, oddly_named, tmp_path):
    out = tmp_path / "o.json"
    out.write_text('{"older": true}')
    status, said, error = sonoscale("data", "describe", oddly_named, "--json", out, "--out", tmp_path / "o.html")
    assert (status, error) == (0, "")
    assert r"broken \x1b]0;title" in said
    assert r"caf\xe9.wav: cannot be decoded" in said
    assert "odd [/red] names" in said
    assert not set(said) & {"\x1b", "\x07"}
    assert json.loads(out.read_text())["clips"] == 4
    assert (tmp_path / "o.html").read_text(encoding="utf-8").startswith("<!")
    status, _, error = sonoscale("data", "check", oddly_named)
    assert (status, error[:7]) == (1, "error: ")
    status, said, error = sonoscale("data", "pack", oddly_named, "--out", tmp_path / "pack", "--max-broken", 0.5)
    assert (status, error) == (0, "")
    status, said, error = sonoscale(*MEASURE, tmp_path / "pack", "--max-skipped", 0.5)
    assert (status, error) == (0, "")
    assert "[red]a[/red].wav" in said
    assert "\x1b" not in said
