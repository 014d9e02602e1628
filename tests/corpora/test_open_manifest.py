"""Tables of paths: every format gives the same clips, and a bad row is reported with its line."""

import csv
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from sonoscale.corpora import open_corpus
from sonoscale.errors import SonoscaleError

RATE = 16_000
WAVES = {
    f"{i}.wav": (0.1 * np.random.default_rng(i).standard_normal(RATE * (2 + i))).astype(np.float32) for i in range(3)
}


@pytest.fixture
def audio(tmp_path):
    (tmp_path / "clips").mkdir()
    for name, wave in WAVES.items():
        soundfile.write(tmp_path / "clips" / name, wave, RATE, subtype="FLOAT")
    return tmp_path


def write(file, rows):
    columns = list(rows[0])
    if file.suffix in (".csv", ".tsv"):
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif file.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return file


def names(corpus):
    return [corpus.name(i) for i in range(len(corpus))]


@pytest.mark.parametrize("column", ["path", "file", "filename", "file_name", "audio_filepath", "audio", "where"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_clips(audio, suffix, column):
    rows = [{column: f"clips/{name}", "language": "äö", "n": i} for i, name in enumerate(WAVES)]
    file = write(audio / f"list.{suffix}", rows[::-1])
    corpus = open_corpus(file, path_column="where" if column == "where" else None)
    assert names(corpus) == [f"{audio}/clips/{i}.wav" for i in (2, 1, 0)]
    for i, name in enumerate(reversed(WAVES)):
        np.testing.assert_array_equal(corpus.wave(i), WAVES[name])
        assert corpus.row(i)["language"] == "äö"
        assert int(corpus.row(i)["n"]) == 2 - i
        assert set(corpus.row(i)) == {"language", "n"}
        assert corpus.seconds(i) == 4 - i


def test_paths_are_relative_to_the_manifest_or_to_what_is_given(audio):
    (audio / "lists").mkdir()
    file = write(audio / "lists" / "list.csv", [{"path": "0.wav"}])
    with pytest.raises(SonoscaleError, match=r"line 2: no such audio file .*lists/0\.wav \(paths are taken rel"):
        open_corpus(file)
    assert names(open_corpus(file, audio_root=audio / "clips")) == [f"{audio}/clips/0.wav"]
    absolute = write(audio / "lists" / "absolute.csv", [{"path": str(audio / "clips" / "0.wav")}])
    corpus = open_corpus(absolute)
    assert corpus.name(0) == f"{audio}/clips/0.wav"
    np.testing.assert_array_equal(corpus.wave(0), WAVES["0.wav"])
    assert open_corpus(absolute, audio_root=audio).group(0) == "clips/0.wav"


@pytest.mark.parametrize(
    "span",
    [
        {"start": 0.5, "end": 1.75},
        {"start": 0.5, "duration": 1.25},
        {"offset": 0.5, "duration": 1.25},
        {"offset": 0.5, "end": 1.75},
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_row_may_be_a_part_of_a_file(audio, suffix, span):
    corpus = open_corpus(write(audio / f"list.{suffix}", [{"path": "clips/0.wav", **span}]))
    assert corpus.name(0).endswith("clips/0.wav@0.5-1.75s")
    np.testing.assert_array_equal(corpus.wave(0), WAVES["0.wav"][8_000:28_000])
    assert corpus.seconds(0) == 1.25


def test_parts_of_a_recording_are_one_group_and_long_ones_are_cut(audio):
    rows = [
        {"path": "clips/2.wav", "start": "1", "end": "4", "who": "x"},
        {"path": "clips/2.wav", "start": "0", "end": "1.5", "who": "y"},
        {"path": "clips/2.wav", "start": "", "end": "", "who": "all"},
        {"path": "clips/2.wav", "start": "3", "end": "99", "who": "to the end"},
    ]
    corpus = open_corpus(write(audio / "list.csv", rows), max_seconds=2)
    spans = ["@1.0-3.0s", "@3.0-4.0s", "@0.0-1.5s", "@0.0-2.0s", "@2.0-4.0s", "@3.0-4.0s"]
    assert [name.partition("2.wav")[2] for name in names(corpus)] == spans
    assert [corpus.row(i)["who"] for i in range(6)] == ["x", "x", "y", "all", "all", "to the end"]
    assert {corpus.group(i) for i in range(6)} == {"clips/2.wav"}
    np.testing.assert_array_equal(corpus.wave(1), WAVES["2.wav"][48_000:])


def test_a_duration_alone_only_says_how_long_the_file_is(audio):
    rows = [{"audio_filepath": "clips/0.wav", "duration": 1.0, "text": "as NeMo writes it"}]
    corpus = open_corpus(write(audio / "list.json", rows))
    assert corpus.seconds(0) == 2.0
    assert corpus.row(0) == {"duration": 1.0, "text": "as NeMo writes it"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"path": "clips/absent.wav"}, "no such audio file .*clips/absent.wav"),
        ({"path": "broken.wav"}, "cannot be decoded as audio"),
        ({"path": ""}, "no value in column 'path'"),
        ({"path": "clips/1.wav", "start": "soon"}, "column 'start': 'soon' is not a number of seconds"),
        ({"path": "clips/1.wav", "start": "2", "end": "1"}, "start 2 s and end 1 s hold no audio"),
        ({"path": "clips/1.wav", "start": "-1", "end": "1"}, "start -1 s and end 1 s hold no audio"),
        ({"path": "clips/1.wav", "start": "3"}, r"holds no audio samples from 3 s to its end \(it is 3.0 s long\)"),
        ({"path": "clips/0.wav"}, "the same audio as line 2"),
    ],
)
def test_a_bad_row_is_skipped_and_told_with_its_line(audio, row, expected):
    (audio / "broken.wav").write_bytes(b"broken")
    rows = [{"path": "clips/0.wav", "start": "", "end": ""}, {"start": "", "end": "", **row}]
    corpus = open_corpus(write(audio / "list.csv", rows))
    assert names(corpus) == [f"{audio}/clips/0.wav"]
    [(_, reason)] = corpus.skipped
    assert reason.startswith("list.csv: line 3: ")
    with pytest.raises(SonoscaleError, match=expected):
        raise SonoscaleError(reason)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"label,n\nx,1\n", "no column of paths .*its columns are label, n: name one as path_column"),
        ("a.csv", b"path,n\n", "a.csv: no rows"),
        ("a.csv", "path\nä.wav\n".encode("latin-1"), "not readable as text in UTF-8"),
        ("a.csv", b"path,n\nclips/0.wav,1,2\n", "line 2: more values than there are columns"),
        ("a.jsonl", b'{"path": "clips/0.wav"}\n{"path": \n', "line 2: not a JSON object"),
        ("a.jsonl", b'"clips/0.wav"\n', "line 1: not a JSON object with a path, but str"),
        ("a.parquet", b"no parquet", "not readable as Parquet"),
    ],
)
def test_a_manifest_that_cannot_be_used(audio, name, content, expected):
    (audio / name).write_bytes(content)
    with pytest.raises(SonoscaleError, match=expected):
        open_corpus(audio / name)


def test_a_column_that_is_not_there(audio):
    file = write(audio / "list.csv", [{"path": "clips/0.wav"}])
    with pytest.raises(SonoscaleError, match="no column 'where'; its columns are path"):
        open_corpus(file, path_column="where")


def test_identity_knows_the_spans(audio):
    def identity(**span):
        return open_corpus(write(audio / "list.csv", [{"path": "clips/0.wav", **span}])).identity

    assert identity() == identity(language="x")
    assert identity(start=0, end=1) != identity(start=0, end=1.5)


@pytest.mark.parametrize("end", ["1e308", "inf", "1" * 400, "²"])
def test_an_end_beyond_all_recordings_is_skipped_with_its_line(tmp_path, end):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    (tmp_path / "list.csv").write_text(f"path,start,end\na.wav,0,0.1\na.wav,0,{end}\n")
    corpus = open_corpus(tmp_path / "list.csv")
    assert len(corpus) == 1
    assert "line 3: column 'end'" in corpus.skipped[0][1]


def test_a_small_table_that_promises_much_is_refused(tmp_path):
    path = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(10**6, np.int8)), ["a.wav"])
    table = pyarrow.table({"path": path} | {f"c{i}": pyarrow.nulls(10**6) for i in range(120)})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(SonoscaleError, match=r"list\.parquet: 121,000,000 values; at most 100,000,000 are read"):
        open_corpus(tmp_path / "list.parquet")
