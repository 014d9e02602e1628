"""A table out of a file, and refusals that say where."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sonoscale.errors import SonoscaleError
from sonoscale.laws._checksum import CONTENT, content_digest
from sonoscale.laws._table import as_table, read_table


@pytest.fixture
def write(tmp_path):
    def to(text: str | bytes, name: str = "runs.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


def test_types_are_those_of_the_values(write):
    table = read_table(
        write(
            "run, params ,loss,done,held,seed label,empty\n"
            'a1,100,0.5,true,True,007,\n\n"b, 2", 200,1e-3,FALSE,,010,\n,300,,true,false,011,NA\n'
        )
    )
    assert list(table) == ["run", "params", "loss", "done", "held", "seed label", "empty"]
    assert table["run"].tolist() == ["a1", "b, 2", None]
    assert table["params"].dtype == np.int64
    np.testing.assert_array_equal(table["params"], [100, 200, 300])
    np.testing.assert_array_equal(table["loss"], [0.5, 1e-3, np.nan])
    assert table["done"].dtype == bool
    np.testing.assert_array_equal(table["held"], [1.0, np.nan, 0.0])
    assert table["seed label"].tolist() == ["007", "010", "011"]
    assert np.isnan(table["empty"]).all()


def test_a_column_with_one_value_that_is_no_number_stays_as_it_is_written(write):
    assert read_table(write("x,y\n1,2\n3 %,4\n"))["x"].tolist() == ["1", "3 %"]
    assert read_table(write("x,y\n1_000,2\n"))["x"].tolist() == ["1_000"]


def test_tabs_a_byte_order_mark_windows_lines_and_a_nameless_index(write):
    table = read_table(write("\ufeff\tname\tx\r\n0\tä\t1.5\r\n".encode(), "runs.TSV"))
    assert list(table) == ["name", "x"]
    assert table["name"].tolist() == ["ä"]


def test_parquet_gives_what_the_same_text_gives(write, tmp_path):
    text = read_table(write("run,params,loss,done,held\na,1,0.5,true,\nb,2,,false,true\n"))
    columns = {
        "run": pa.array(["a", "b"]).dictionary_encode(),
        "params": pa.array([1, 2], pa.int16()),
        "loss": pa.array([0.5, None], pa.float32()),
        "done": [True, False],
        "held": [None, True],
    }
    pq.write_table(pa.table(columns), tmp_path / "runs.parquet")
    stored = read_table(str(tmp_path / "runs.parquet"))
    assert list(stored) == list(text)
    for name, column in text.items():
        assert stored[name].dtype == column.dtype
        np.testing.assert_array_equal(stored[name], column)


def test_whole_numbers_beyond_64_bits_become_floats(write):
    assert read_table(write(f"flops\n{10**25}\n"))["flops"].tolist() == [1e25]


def test_lists_of_values_become_the_same_arrays():
    table = as_table({"a": [1, None], "b": ["x", None], "c": [True, False], "d": [1, 2]})
    assert [column.dtype.kind for column in table.values()] == ["f", "O", "b", "i"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "runs.csv", "runs.csv: the file is empty"),
        ("\n \n", "runs.csv", "runs.csv: the file is empty"),
        ("x,y\n", "runs.csv", "runs.csv: column names but no rows"),
        ("1,2\n3,4\n", "runs.csv", r"line 1: values instead of column names \(1, 2\): a header is needed"),
        ("x;y\n1,5;2\n", "runs.csv", "line 1: one column, 'x;y': separate columns by commas"),
        ("x,,y\n1,2,3\n", "runs.csv", "line 1: column 2 has no name"),
        ("x,y,x\n1,2,3\n", "runs.csv", "line 1: columns 1 and 3 are both called 'x'"),
        ("x,y\n1,2\n\n3\n", "runs.csv", "line 4: 1 values for 2 columns, none for 'y'"),
        ("x,y\n1,2\n3,4,5\n", "runs.csv", r"line 3: 3 values for 2 columns, '5' after the last \('y'\)"),
        ('x,y\n1,2\n3,"4\n', "runs.csv", "not a table"),
        (b"x,y\n1,2\n3,\xe4\n", "runs.csv", r"not text in UTF-8 \(line 3: byte 0xe4\)"),
        ("x,y\n", "runs.xlsx", "read from .csv, .tsv or .parquet, not from '.xlsx'"),
        ("x,y\n", "runs", "not from 'no suffix'"),
        ("x,y\n", "runs.parquet", "runs.parquet: not readable as Parquet"),
    ],
)
def test_refuses_and_says_where(write, text, name, message):
    with pytest.raises(SonoscaleError, match=message):
        read_table(write(text, name))


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(SonoscaleError, match=r"none.csv: no such table"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SonoscaleError, match="is a folder, not a table"):
        read_table(tmp_path / "folder.csv")


def test_refuses_parquet_without_rows_or_with_one_name_twice(tmp_path):
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    with pytest.raises(SonoscaleError, match="no rows"):
        read_table(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "b.parquet")
    with pytest.raises(SonoscaleError, match="2 columns are called 'x'"):
        read_table(tmp_path / "b.parquet")


def test_texts_of_many_row_groups_are_read_and_checked(tmp_path):
    n = 10_000
    columns = {
        "few": [f"x{i % 7}" if i % 5 else None for i in range(n)],
        "many": [f"é{i}" for i in range(n)],
        "none": pa.array([None] * n, pa.string()),
        "number": list(range(n)),
    }
    table = pa.table(columns)
    table = table.replace_schema_metadata({CONTENT: content_digest(table).encode()})
    pq.write_table(table, tmp_path / "runs.parquet", row_group_size=333)
    read = read_table(tmp_path / "runs.parquet")
    assert {name: read[name].tolist() for name in ("few", "many", "number")} == table.select(
        ["few", "many", "number"]
    ).to_pydict()
    assert np.isnan(read["none"]).all()
    columns["many"][4321] = columns["many"][4322]
    changed = pa.table(columns).replace_schema_metadata(table.schema.metadata)
    pq.write_table(changed, tmp_path / "changed.parquet", row_group_size=333)
    with pytest.raises(SonoscaleError, match=r"changed\.parquet: damaged"):
        read_table(tmp_path / "changed.parquet")
