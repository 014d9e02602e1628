"""`sonoscale measure --embeddings` as a user runs it."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from sonoscale.rank import ESTIMATORS, rankme, read_records


def lone_error(result):
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def embeddings():
    """Two encoders on the same 900 clips: the second spreads a little more."""
    clips = np.random.default_rng(0).standard_normal((900, 24))
    return [(clips * np.arange(1, 25.0) ** -decay + 0.2).astype(np.float32) for decay in (1.0, 0.95)]


@pytest.fixture
def files(tmp_path, embeddings):
    """As NumPy files."""
    paths = [tmp_path / f"{name}.npy" for name in "ab"]
    for path, rows in zip(paths, embeddings, strict=True):
        np.save(path, rows)
    return paths


def test_records_of_every_estimator(tmp_path, files, embeddings, measure):
    out = tmp_path / "o.json"
    result = measure("--embeddings", files[0], "--all", "--json", out, "--plot", tmp_path / "o.png")
    assert result.returncode == 0, result.stderr
    reported = json.loads(out.read_text())
    records = {record["estimator"]: record for record in reported["records"]}
    assert set(records) | set(reported["files"][0]["undefined"]) == {*ESTIMATORS, "two_nn", "uniformity"}
    expected = rankme(embeddings[0]).value
    assert records["rankme"]["value"] == pytest.approx(expected, rel=1e-9)
    assert records["rankme"]["low"] < expected < records["rankme"]["high"]
    assert (records["rankme"]["n"], records["rankme"]["dim"], records["rankme"]["level"]) == (900, 24, 0.95)
    assert (records["rankme"]["dtype"], records["rankme"]["encoder"]) == ("float32", str(files[0]))
    assert len(read_records(out)) == len(records)
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")
    assert "rankme_centred" in result.stdout
    limit = reported["files"][0]["limit"]
    assert limit["trusted"]
    assert limit["low"] < limit["value"] < limit["high"]
    assert limit["value"] > records["rankme"]["value"]


def test_two_encoders_on_the_same_clips_are_different_by_pairing(tmp_path, files, measure):
    out = tmp_path / "o.json"
    result = measure("--embeddings", *files, "--json", out)
    assert result.returncode == 0, result.stderr
    reported = json.loads(out.read_text())
    first, second = (r for r in reported["records"] if r["estimator"] == "rankme")
    (found,) = (c["difference"] for c in reported["differences"] if c["estimator"] == "rankme")
    assert found["paired"]
    assert found["value"] == pytest.approx(second["value"] - first["value"])
    assert 0 < found["low"] < found["high"]
    assert found["high"] - found["low"] < 0.5 * (first["high"] - first["low"])
    assert " paired" in result.stdout
    assert "not paired" not in result.stdout


def test_files_of_different_length_need_force(tmp_path, files, embeddings, measure):
    np.save(tmp_path / "short.npy", embeddings[1][:400])
    assert "different numbers of embeddings" in lone_error(measure("--embeddings", files[0], tmp_path / "short.npy"))
    forced = measure("--embeddings", files[0], tmp_path / "short.npy", "--force")
    assert forced.returncode == 0
    assert "not paired" in forced.stdout


def test_a_later_bad_file_loses_nothing_already_computed(tmp_path, files, embeddings, measure):
    spoiled = embeddings[1].copy()
    spoiled[7, 3] = np.nan
    np.save(tmp_path / "bad.npy", spoiled)
    error = lone_error(measure("--embeddings", files[0], tmp_path / "bad.npy", "--json", tmp_path / "o.json"))
    assert "bad.npy: 1 of 900 embeddings hold NaN or infinity, the first is row 7" in error
    assert {r.encoder for r in read_records(tmp_path / "o.json")} == {str(files[0])}
    kept = measure("--embeddings", tmp_path / "bad.npy", "--nan-policy", "omit")
    assert kept.returncode == 0
    assert "n = 899" in kept.stdout
    assert "1 embeddings with NaN or infinity were left out" in kept.stdout.replace("\n", " ")


def test_rows_left_out_of_one_file_alone_need_force(tmp_path, files, embeddings, measure):
    spoiled = embeddings[1].copy()
    spoiled[7, 3] = np.nan
    np.save(tmp_path / "bad.npy", spoiled)
    arguments = ["--embeddings", files[0], tmp_path / "bad.npy", "--nan-policy", "omit", "--json", tmp_path / "o.json"]
    assert "different numbers of embeddings were measured" in lone_error(measure(*arguments))
    assert {r.encoder for r in read_records(tmp_path / "o.json")} == {str(files[0]), str(tmp_path / "bad.npy")}
    forced = measure(*arguments, "--force")
    assert forced.returncode == 0
    assert "not paired" in forced.stdout


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_what_is_measured_is_not_overwritten(tmp_path, embeddings, option, measure):
    file = tmp_path / ("a.parquet" if option == "--json" else "a.npy")
    if option == "--json":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"z": list(embeddings[0])}), file)
    else:
        np.save(file, embeddings[0])
        file = file.rename(tmp_path / "a.npy")
    before = file.read_bytes()
    out = file if option == "--json" else tmp_path / "a.png"
    if option == "--plot":
        out.symlink_to(file)
    assert "would be overwritten" in lone_error(measure("--embeddings", file, option, out))
    assert file.read_bytes() == before


def test_estimators_without_an_interval_or_a_limit_are_no_failure(tmp_path, embeddings, measure):
    dead = embeddings[0] * np.r_[np.ones(23), 0].astype(np.float32)
    for name, rows in (("fine", embeddings[0]), ("dead", dead), ("few", dead[:20])):
        np.save(tmp_path / f"{name}.npy", rows)
    result = measure(
        "--embeddings", tmp_path / "fine.npy", tmp_path / "dead.npy", "--estimator", "condition_number",
        "--estimator", "rankme", "--json", tmp_path / "o.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    comparisons = json.loads((tmp_path / "o.json").read_text())["differences"]
    assert [(c["estimator"], c["reason"]) for c in comparisons] == [("condition_number", "infinite"), ("rankme", "")]
    few = measure(
        "--embeddings", tmp_path / "few.npy", "--estimator", "condition_number", "--json", tmp_path / "o.json"
    )
    assert few.returncode == 0, few.stderr
    assert "limit    none: " in few.stdout


def test_every_estimator_asked_for_is_measured_and_compared(tmp_path, files, measure):
    result = measure("--embeddings", *files, "--all", "--estimator", "renyi_3", "--json", tmp_path / "o.json")
    assert result.returncode == 0, result.stderr
    reported = json.loads((tmp_path / "o.json").read_text())
    assert {c["estimator"] for c in reported["differences"]} == {*ESTIMATORS, "renyi_3"}
    assert "renyi_3" in {r["estimator"] for r in reported["records"]}


def test_names_are_printed_as_they_are_on_any_terminal(tmp_path, embeddings, monkeypatch, measure):
    np.save(tmp_path / "e[red][b].npy", embeddings[0])
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii", write_through=True))
    result = measure("--embeddings", tmp_path / "e[red][b].npy")
    assert result.returncode == 0, result.stderr
    assert b"e[red][b].npy" in printed.getvalue().replace(b"\n", b"")
    assert b"spectrum ?" in printed.getvalue()  # bars that ASCII lacks


def test_a_transposed_file_is_told_so(tmp_path, measure):
    np.save(tmp_path / "a.npy", np.zeros((2, 300_000), dtype=np.float32))
    assert "transpose the embeddings" in lone_error(measure("--embeddings", tmp_path / "a.npy"))


def test_other_choices(tmp_path, files, measure):
    out = tmp_path / "o.parquet"
    result = measure(
        "--embeddings", files[0], "--estimator", "renyi_3_centred", "--method", "qr", "--level", "0.8", "--json", out
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (record,) = read_records(out)
    assert (record.estimator, record.method, record.level) == ("renyi_3_centred", "qr", 0.8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "measure needs ENCODER AUDIO, or files of embeddings"),
        (["--embeddings", "none.npy"], "none.npy"),
        (["--embeddings", "A", "--estimator", "rank"], "no estimator 'rank'"),
        (["--embeddings", "A", "--json", "o.csv"], "o.csv: must end in .json or .parquet"),
        (["--embeddings", "A", "--plot", "none/o.png"], "in a folder that exists"),
    ],
)
def test_bad_arguments_are_one_line(files, arguments, message, measure):
    assert message in lone_error(measure(*[files[0] if a == "A" else a for a in arguments]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((10, 4), dtype=np.float32), "all zero"),
        (np.ones((10, 4), dtype=np.float32), "all equal"),
        (np.ones((1, 4), dtype=np.float32), "no interval"),
    ],
    ids=["zero", "constant", "one row"],
)
def test_what_has_no_rank_says_so_and_is_no_failure(tmp_path, rows, message, measure):
    np.save(tmp_path / "a.npy", rows)
    result = measure("--embeddings", tmp_path / "a.npy", "--all", "--json", tmp_path / "o.json")
    assert result.returncode == 0, result.stderr
    assert message in result.stdout.replace("\n", " ")
    json.loads((tmp_path / "o.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_files_need_no_option(tmp_path, files, measure):
    result = measure(*files, "--json", tmp_path / "o.json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads((tmp_path / "o.json").read_text())["files"]) == 2
    assert measure(files[0]).returncode == 0


def test_too_few_rows_are_told_how_many_are_enough(tmp_path, embeddings, measure):
    np.save(tmp_path / "a.npy", embeddings[0][:40])
    assert "too few to extrapolate from; measure 192 clips (8 * dim)" in measure(tmp_path / "a.npy").stdout


def test_a_reader_that_goes_loses_no_file(tmp_path, files):
    out = tmp_path / "o.json"
    command = [sys.executable, "-m", "sonoscale", "measure", *map(str, files), "--json", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head -0`
    assert process.wait(100) == 0, process.stderr.read()
    assert b"Traceback" not in process.stderr.read()
    assert len(json.loads(out.read_text())["files"]) == 2


def test_without_a_standard_output(tmp_path, files):
    out = tmp_path / "o.json"
    command = f"exec '{sys.executable}' -m sonoscale measure '{files[0]}' --json '{out}' >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")
    assert out.is_file()
