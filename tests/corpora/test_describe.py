"""What is reported of a corpus is what was put into it."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from sonoscale.corpora import FileCorpus
from sonoscale.corpora._describe import describe_scan
from sonoscale.corpora._describe_page import describe_page
from sonoscale.corpora._pack import pack_corpus
from sonoscale.corpora._scan import clipping, scan_corpus
from sonoscale.processes import worker_pool

SINE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)  # RMS 0.3536 = -9.03 dBFS, peak -6.02


def write(path, wave, rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16), rate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("described")
    write(root / "a" / "sine.wav", SINE)
    write(root / "b" / "sine.wav", SINE)  # the same audio and the same file name
    write(root / "b" / "copy.flac", SINE)  # the same audio in another format
    write(root / "silent.wav", np.full(16_000, 3 / 32768))  # -80.77 dBFS
    write(root / "framed.wav", np.concatenate([np.zeros(8000), SINE, np.zeros(4000)]))
    write(root / "clipped.wav", np.clip(4 * SINE, -1, 1))
    write(root / "stereo.wav", np.stack([np.clip(4 * np.repeat(SINE, 3), -1, 1), np.zeros(48_000)], 1), 48_000)
    write(root / "short.wav", SINE[:1600])
    (root / "broken.wav").write_bytes(b"no sound in here")
    return root


class Labelled(FileCorpus):
    """A corpus with metadata."""

    def group(self, index):
        return self.paths[index].split("/")[0]

    def row(self, index):
        return {"kind": self.paths[index].rsplit(".")[-1], "id": index, "fold": index % 2}


@pytest.fixture(scope="module")
def scan(folder):
    return scan_corpus(FileCorpus.from_folder(folder))


@pytest.fixture(scope="module")
def description(scan):
    return describe_scan(scan)


def names(found):
    return [name.rsplit("/", 1)[-1] for name in found]


def test_what_there_is(description, scan):
    assert description.clips == 8
    assert scan.total == 9
    assert description.hours == pytest.approx((6 * 1.0 + 1.75 + 0.1) / 3600)
    assert description.source_rates == {"16000": 7, "48000": 1}
    assert description.channels == {"1": 7, "2": 1}
    assert [(b["name"].rsplit("/", 1)[-1], "cannot be decoded" in b["reason"]) for b in description.broken] == [
        ("broken.wav", True)
    ]


def test_levels_and_lengths(description):
    assert description.level_db["0"] == pytest.approx(20 * np.log10(3 / 32768), abs=1e-3)
    assert description.level_db["0.5"] == pytest.approx(-9.03, abs=0.01)
    assert description.seconds["1"] == pytest.approx(1.75)
    assert description.seconds["0"] == pytest.approx(0.1)
    assert description.seconds["mean"] == pytest.approx(7.85 / 8)
    assert description.peak_db["1"] == pytest.approx(0, abs=0.01)


def test_silence(description, scan):
    assert names(description.silent.names) == ["silent.wav"]
    framed = next(i for i in range(9) if scan.corpus.name(i).endswith("framed.wav"))
    assert scan.facts[framed]["leading"] == pytest.approx(0.5, abs=0.011)
    assert scan.facts[framed]["trailing"] == pytest.approx(0.25, abs=0.011)
    assert description.leading_silence["0.5"] == 0


def test_clipping_is_found_in_the_samples_of_the_file(description, scan):
    """In the stereo file one channel is clipped; mixed and resampled, none of its samples is at full scale."""
    assert names(description.clipped.names) == ["clipped.wav", "stereo.wav"]
    stereo = next(i for i in range(9) if scan.corpus.name(i).endswith("stereo.wav"))
    assert np.abs(scan.corpus.wave(stereo)).max() < 0.6
    assert 0 < description.clipped_share < 0.5


def test_clipping_counts_runs():
    one = 32767 / 32768
    wave = np.array([0, one, one, one, 0, -1, -1, 0, one, -1, one, 0, -1, -1, -1, -1.0])
    assert clipping(wave[:, None]) == (7, 2)


def test_duplicates(description):
    assert [names(group) for group in description.same_audio.groups] == [["sine.wav", "copy.flac", "sine.wav"]]
    assert description.same_audio.clips == 2
    assert [names(group) for group in description.same_name.groups] == [["sine.wav", "sine.wav"]]
    assert names(description.short.names) == ["short.wav"]


def test_metadata_is_counted_where_it_has_few_values(folder, monkeypatch):
    found = FileCorpus.from_folder(folder)
    described = describe_scan(scan_corpus(Labelled(found.root, found.paths)))
    assert described.columns == {"kind": {"wav": 7, "flac": 1}, "fold": {"0": 5, "1": 3}}  # without the broken file
    assert described.groups == 7  # a, b and each file at the top
    monkeypatch.setattr("sonoscale.corpora._describe.MAX_VALUES", 1)
    assert describe_scan(scan_corpus(Labelled(found.root, found.paths))).columns == {}


def test_workers_find_the_same_and_start_only_if_it_is_worth_it(folder, scan, monkeypatch):
    seen, pools = [], []

    def pool(workers, **about):
        pools.append(workers)
        return worker_pool(workers, **about)

    monkeypatch.setattr("sonoscale.corpora._parallel.worker_pool", pool)
    monkeypatch.setattr("sonoscale.corpora._parallel.available_cores", lambda: 2)
    corpus = FileCorpus.from_folder(folder)
    many = FileCorpus(corpus.root, corpus.paths * 8)  # 72 clips, 5 chunks
    np.testing.assert_array_equal(scan_corpus(many).facts[9:18], scan.facts)
    assert pools == []  # done in a moment
    monkeypatch.setattr("sonoscale.corpora._parallel._WORTH", 0.0)
    again = scan_corpus(many, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(again.facts, np.tile(scan.facts, 8))
    assert [done for done, _ in seen] == [16, 32, 48, 64, 72]
    assert pools == [2]
    scan_corpus(many, workers=1)
    assert pools == [2]


def test_a_pack_is_described_like_its_source(folder, tmp_path, description):
    packed = pack_corpus(FileCorpus.from_folder(folder), tmp_path / "pack", max_broken=0.5)
    described = describe_scan(scan_corpus(packed))
    assert described.clips == description.clips
    assert names(b["name"] for b in described.broken) == ["broken.wav"]
    assert described.level_db == pytest.approx(description.level_db, abs=0.01)
    assert described.source_rates == {"unknown": 8}


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    scan = scan_corpus(FileCorpus.from_folder(tmp_path))
    described = describe_scan(scan)
    assert described.clips == 0
    assert len(described.broken) == 1
    assert "a.wav" in describe_page("empty", scan, described)


class Page(HTMLParser):
    """Images, links and the balance of tags of a page."""

    VOID = ("meta", "img", "br", "!doctype")

    def __init__(self):
        super().__init__()
        self.images, self.links, self.open, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_says_what_its_pictures_show(scan, description):
    text = describe_page("<corpus> & co", scan, description)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert '<html lang="en">' in text
    assert "<corpus>" not in text
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert len(page.images) == 2 + 8
    for image in page.images:
        assert base64.b64decode(image["src"].split(",")[1]).startswith(b"\x89PNG")
    assert any("sine.wav: 1.00 s, level -9 dBFS" in image["alt"] for image in page.images)
    assert sum(image["alt"].startswith("Histogram") for image in page.images) == 2
    assert "broken.wav: cannot be decoded" in re.sub(r"\s+", " ", page.text)
    assert len(text) < 1_000_000
