"""Embeddings of others: what each library wrote comes back bit for bit, in bounded memory, or with one clear line."""

import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from sonoscale.errors import SonoscaleError
from sonoscale.rank import _files, _npy
from sonoscale.rank._files import open_embeddings


def tensors(arrays):
    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in arrays.items()}


def write_hdf5(path, arrays, **how):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, **how)


def list_column(array, kind=pa.list_):
    """A list column of a 2-D array, or a plain one of a 1-D array."""
    if array.ndim == 1:
        return pa.array(array)
    return pa.array(list(array), kind(pa.from_numpy_dtype(array.dtype)))


def write_parquet(path, arrays, kind=pa.list_, **how):
    pq.write_table(pa.table({key: list_column(array, kind) for key, array in arrays.items()}), path, **how)


# Formats whose arrays have names: suffix -> how the library at home in the format writes a dict of arrays.
NAMED = {
    ".npz": lambda path, arrays: np.savez(path, **arrays),
    ".parquet": write_parquet,
    ".safetensors": lambda path, arrays: safetensors.numpy.save_file(arrays, path),
    ".pt": lambda path, arrays: torch.save(tensors(arrays), path),
    ".h5": write_hdf5,
}

# Every way that one array "e" is written: name -> suffix, key expected, writer.
ONE = {
    "npy": (".npy", None, lambda path, a: np.save(path, a)),
    "npy, Fortran": (".npy", None, lambda path, a: np.save(path, np.asfortranarray(a))),
    "npz": (".npz", "e", lambda path, a: np.savez(path, e=a)),
    "npz, compressed": (".npz", "e", lambda path, a: np.savez_compressed(path, e=a)),
    "npz, Fortran": (".npz", "e", lambda path, a: np.savez(path, e=np.asfortranarray(a))),
    "npz, Fortran, compressed": (".npz", "e", lambda path, a: np.savez_compressed(path, e=np.asfortranarray(a))),
    "parquet": (".parquet", "e", lambda path, a: write_parquet(path, {"e": a}, row_group_size=10)),
    "parquet, large": (".parquet", "e", lambda path, a: write_parquet(path, {"e": a}, pa.large_list)),
    "parquet, fixed": (
        ".parquet", "e", lambda path, a: write_parquet(path, {"e": a}, lambda t: pa.list_(t, a.shape[1]))
    ),
    "parquet, columns": (
        ".parquet", None, lambda path, a: pq.write_table(pa.table({f"c{i}": a[:, i] for i in range(a.shape[1])}), path)
    ),
    "safetensors": (".safetensors", "e", lambda path, a: safetensors.numpy.save_file({"e": a}, path)),
    "safetensors, torch": (".safetensors", "e", lambda path, a: safetensors.torch.save_file(tensors({"e": a}), path)),
    "torch": (".pt", None, lambda path, a: torch.save(torch.from_numpy(a), path)),
    "torch, a view": (".pth", None, lambda path, a: torch.save(torch.from_numpy(a.T.copy()).T, path)),
    "torch, dict": (".PT", "e", lambda path, a: torch.save({"e": torch.from_numpy(a), "epoch": 3}, path)),
    "hdf5": (".h5", "e", lambda path, a: write_hdf5(path, {"e": a})),
    "hdf5, nested": (
        ".hdf5", "run/1/e", lambda path, a: write_hdf5(path, {"run/1/e": a}, chunks=(7, 3), compression="gzip")
    ),
}  # fmt: skip
EVERY_SUFFIX = {suffix.lower(): write for suffix, _, write in ONE.values()}


def patterns(dtype, shape=(37, 5), seed=0):
    """Every kind of bits: normal, subnormal, infinite, NaN with payload."""
    dtype = np.dtype(dtype)
    return np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]


def normal(*shape):
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def read(path, *, rows=4096, key=None):
    return np.concatenate(list(open_embeddings(path, key=key).chunks(rows)))


def refused(path, *, rows=4096, key=None):
    """The message with which a file is refused, at opening or while it is read; it names the file, in one line."""
    with pytest.raises(SonoscaleError) as caught:
        read(path, rows=rows, key=key)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("rows", [1, 7, 37, 1000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("form", ONE)
def test_what_was_written_comes_back_bit_for_bit(tmp_path, monkeypatch, form, dtype, rows):
    monkeypatch.setattr(_npy, "_PASS", 64)  # bytes: many passes over the columns of a small .npz
    suffix, key, write = ONE[form]
    array, path = patterns(dtype), tmp_path / f"e{suffix}"
    write(path, array)
    file = open_embeddings(str(path))
    assert (file.path, file.key, file.n, file.dim, file.dtype) == (path, key, 37, 5, dtype)
    chunks = list(file.chunks(rows))
    assert all(1 <= len(chunk) <= rows and chunk.dtype == dtype for chunk in chunks)
    assert np.concatenate(chunks).tobytes() == array.tobytes()


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_bfloat16_comes_as_the_float32_of_the_same_value(tmp_path, suffix, rows):
    bits = np.random.default_rng(0).integers(0, 2**16, (37, 5), np.uint16)
    held = {"e": torch.from_numpy(bits).view(torch.bfloat16)}
    path = tmp_path / f"e{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(held, path)
    assert open_embeddings(path).dtype == "bfloat16"
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(read(path, rows=rows).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("form", ["npy", "npy, Fortran", "npz", "npz, Fortran", "hdf5"])
def test_the_other_byte_order_comes_as_the_native_one(tmp_path, form):
    suffix, _, write = ONE[form]
    array, path = normal(9, 4), tmp_path / f"e{suffix}"
    write(path, array.astype(">f4"))
    assert open_embeddings(path).dtype == "float32"
    chunk = next(open_embeddings(path).chunks())
    assert chunk.dtype.isnative
    np.testing.assert_array_equal(chunk, array)


def test_a_long_header_of_npy(tmp_path):
    array, path = normal(9, 4), tmp_path / "e.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, array, version=(2, 0))
    np.testing.assert_array_equal(read(path), array)


@pytest.mark.parametrize("form", ONE)
def test_chunks_can_be_read_again_and_outlive_the_file(tmp_path, form):
    suffix, _, write = ONE[form]
    array, path = normal(9, 4), tmp_path / f"e{suffix}"
    write(path, array)
    file = open_embeddings(path)
    first, again = list(file.chunks(2)), list(file.chunks(2))
    with path.open("r+b") as stream:  # in place: a chunk that were still mapped would turn to zeros
        stream.write(bytes(path.stat().st_size))
    np.testing.assert_array_equal(np.concatenate(first), array)
    np.testing.assert_array_equal(np.concatenate(again), array)


@pytest.mark.parametrize("suffix", NAMED)
def test_the_only_candidate_is_taken(tmp_path, suffix):
    path, array = tmp_path / f"e{suffix}", normal(9, 4)
    NAMED[suffix](path, {"label": np.arange(9), "e": array, "score": array[:, 0]})
    assert open_embeddings(path).key == "e"
    np.testing.assert_array_equal(read(path), array)
    np.testing.assert_array_equal(read(path, key="e"), array)


@pytest.mark.parametrize("suffix", NAMED)
def test_several_candidates_need_a_key(tmp_path, suffix):
    path, a, b = tmp_path / f"e{suffix}", normal(9, 4), normal(9, 3)
    NAMED[suffix](path, {"label": np.arange(9), "a": a, "b": b})
    message = refused(path)
    assert "choose one as key: " in message
    assert "'a' [9, 4] float32" in message
    assert "'b' [9, 3] float32" in message
    assert "label" not in message
    np.testing.assert_array_equal(read(path, key="b", rows=2), b)


@pytest.mark.parametrize("suffix", NAMED)
def test_a_wrong_key_is_told_those_there_are(tmp_path, suffix):
    path = tmp_path / f"e{suffix}"
    NAMED[suffix](path, {"label": np.arange(9), "a": normal(9, 4)})
    message = refused(path, key="A")
    assert "'A'; there are " in message
    assert "'a' [9, 4] float32" in message
    assert "'label' [9] int64" in message
    assert "integers are not embeddings" in refused(path, key="label")


@pytest.mark.parametrize("form", ["npy", "torch"])
def test_a_key_for_a_nameless_array(tmp_path, form):
    suffix, _, write = ONE[form]
    path = tmp_path / f"e{suffix}"
    write(path, normal(9, 4))
    assert "leave the key out" in refused(path, key="e")


def test_a_long_list_is_cut(tmp_path):
    path = tmp_path / "e.npz"
    NAMED[".npz"](path, {f"clip{i}": normal(2, 3) for i in range(30)})
    message = refused(path)
    assert message.endswith(" and 18 more")
    assert message.count("[2, 3]") == 12


BAD_ARRAYS = {
    "1-D": (normal(9), r"of shape \[9\].*\[clips, dim\]"),
    "3-D": (normal(9, 4, 2), r"of shape \[9, 4, 2\].*\[clips, dim\]"),
    "integers": (np.ones((9, 4), np.int32), "int32.*integers are not embeddings; convert to float32"),
    "unsigned": (np.ones((9, 4), np.uint8), "uint8.*integers are not embeddings; convert to float32"),
    "bool": (np.ones((9, 4), bool), "bool.*not embeddings"),
    "complex": (np.ones((9, 4), np.complex64), "complex64.*embeddings are float16, bfloat16, float32 or float64"),
    "no rows": (normal(0, 4), r"holds no rows.*\[0, 4\]"),
    "no columns": (normal(9, 0), "no values in row 0.*dim at least 1"),
}


@pytest.mark.parametrize("bad", BAD_ARRAYS)
@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "torch", "torch, dict", "hdf5"])
def test_not_embeddings(tmp_path, form, bad):
    suffix, key, write = ONE[form]
    array, expected = BAD_ARRAYS[bad]
    path = tmp_path / f"e{suffix}"
    write(path, array)
    with pytest.raises(SonoscaleError, match=expected):  # at opening
        open_embeddings(path)
    assert key is None or repr(key) in refused(path)


@pytest.mark.parametrize(
    ("form", "array", "word"),
    [
        ("npy", np.array([["a", "b"]]), "str"),
        ("npz", np.array([["a", "b"]]), "str"),
        ("hdf5", np.array([[b"a", b"b"]]), "bytes"),
        ("npy", np.array([["a", None]]), "object.*never loaded"),
        ("npz", np.array([["a", None]]), "object.*never loaded"),
        ("npy", np.zeros((3, 4), [("x", "f4")]), "void32"),
        ("npy", np.zeros((3, 4), np.longdouble), "float128|longdouble"),
    ],
)
def test_not_numbers(tmp_path, form, array, word):
    suffix, _, write = ONE[form]
    path = tmp_path / f"e{suffix}"
    write(path, array)
    with pytest.raises(SonoscaleError, match=f"({word}).*embeddings are float16, bfloat16, float32 or float64"):
        open_embeddings(path)


class Bomb:
    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_nothing_in_a_file_is_executed(tmp_path, suffix):
    touched, path = tmp_path / "touched", tmp_path / f"e{suffix}"
    bomb = np.array([[Bomb(touched)]])
    {".npy": np.save, ".npz": np.savez, ".pt": lambda path, bomb: torch.save(bomb[0, 0], path)}[suffix](path, bomb)
    refused(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"e": pa.array([[1.0, 2.0]] * 6 + [[3.0]])}, "row 6 of column 'e' holds 1 values; row 0 holds 2"),
        ({"e": pa.array([[1.0, 2.0]] * 6 + [[]])}, "row 6 of column 'e' holds 0 values; row 0 holds 2"),
        ({"e": pa.array([[1.0, 2.0]] * 6 + [None])}, "row 6 of column 'e' is null; row 0 holds 2"),
        ({"e": pa.array([[1.0, 2.0]] * 6 + [[None, 1.0]])}, "row 6 of column 'e' holds a null"),
        ({"e": pa.array([[1.0, 2.0]] * 6 + [None], pa.list_(pa.float32(), 2))}, "row 6 of column 'e' is null"),
        ({"e": pa.array([[1.0, 2.0]] * 6 + [[1.0, None]], pa.list_(pa.float32(), 2))}, "row 6 of .* holds a null"),
        ({"e": pa.array([None, [1.0, 2.0]])}, "column 'e' holds no values in row 0"),
        ({"a": pa.array([1.0] * 7), "b": pa.array([1.0] * 6 + [None])}, "row 6 of column 'b' holds a null"),
        ({"e": pa.array([[[1.0]]] * 3)}, "column 'e' is list"),
        ({"e": pa.array([[1, 2]] * 3)}, r"column 'e' is int64 \[3, 2\]: integers are not embeddings"),
        ({"e": pa.array(["a"] * 3)}, "column 'e' is string"),
        ({"e": pa.array([["a"]] * 3), "score": pa.array([1.0] * 3)}, r"no column is \[clips, dim\] .*'score' \[3\]"),
        ({"e": pa.array([], pa.list_(pa.float32()))}, "column 'e' holds no rows"),
        ({"e": pa.array([], pa.float32())}, "the column holds no rows"),
    ],
)
def test_bad_columns_of_parquet(tmp_path, columns, expected):
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=4)
    with pytest.raises(SonoscaleError, match=f"^{path}: .*{expected}"):
        read(path, rows=2)


def test_float_columns_of_parquet_leave_the_others_out_and_take_the_widest_dtype(tmp_path):
    path, a, b = tmp_path / "e.parquet", normal(9), normal(9).astype(np.float64) / 3
    pq.write_table(pa.table({"clip": [f"{i}.wav" for i in range(9)], "a": a, "year": np.arange(9), "b": b}), path)
    assert (open_embeddings(path).key, open_embeddings(path).dtype) == (None, "float64")
    np.testing.assert_array_equal(read(path, rows=4), np.stack([a, b], axis=1))


def test_a_key_that_begins_the_name_of_another_column(tmp_path):
    path, arrays = tmp_path / "e.parquet", {"e.f": normal(5, 2), "e": normal(5, 3)}
    write_parquet(path, arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(read(path, key=key), array)


@pytest.mark.parametrize(
    ("suffix", "held", "expected"),
    [
        (".npz", {}, "holds no array"),
        (".pt", {}, "holds no tensor"),
        (".pt", {"nested": {"e": torch.ones(3, 4)}}, "holds no tensor"),
        (".h5", {}, "holds no dataset"),
        (".safetensors", {}, "holds no tensor"),
        (".pt", [torch.ones(3, 4)], "holds a list; a tensor or a dict of tensors is needed"),
        (".pt", torch.nn.Linear(3, 4), "holds more than tensors"),
    ],
)
def test_no_array_at_all(tmp_path, suffix, held, expected):
    path = tmp_path / f"e{suffix}"
    (torch.save(held, path) if suffix == ".pt" else NAMED[suffix](path, held))
    assert refused(path).startswith(expected)


def test_a_torch_file_of_the_old_format(tmp_path):
    path = tmp_path / "e.pt"
    torch.save(torch.ones(3, 4), path, _use_new_zipfile_serialization=False)
    assert "torch before 1.6: load and save it again" in refused(path)


def test_a_decoder_that_complains_in_many_lines_is_told_in_one(tmp_path):
    path = tmp_path / "e.pt"
    torch.save(torch.eye(4).to_sparse(), path)
    message = refused(path)
    assert message.startswith("cannot be read as a file of torch.save (")
    assert len(message) < 250


def test_a_virtual_hdf5_dataset_could_hide_missing_parts(tmp_path):
    path, layout = tmp_path / "e.h5", h5py.VirtualLayout((9, 4), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "gone.h5", "e", (9, 4))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("e", layout)
    assert "'e' is virtual" in refused(path)


@pytest.mark.parametrize("kept", [1, 10, 0.3, 0.6, 0.9, -1])
@pytest.mark.parametrize("form", ONE)
def test_a_truncated_file(tmp_path, form, kept):
    """`kept`: so many bytes, such a share of them, or all but so many."""
    suffix, _, write = ONE[form]
    path = tmp_path / f"e{suffix}"
    write(path, normal(200, 6))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(SonoscaleError, match=f"^{path}: "):  # at opening, in all these formats
        open_embeddings(path)


@pytest.mark.parametrize(("bytes_off", "why"), [(-1, "it is truncated"), (128, "save one array a file")])
def test_a_zip_member_of_another_length_than_its_header_says(tmp_path, bytes_off, why):
    array, path = normal(200, 6), tmp_path / "e.npz"
    np.save(tmp_path / "e.npy", array)
    member = (tmp_path / "e.npy").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("e.npy", member[:bytes_off] if bytes_off < 0 else member + bytes(bytes_off))
    message = refused(path)
    assert f"array 'e' holds {array.nbytes + bytes_off} bytes of data" in message
    assert why in message


def test_a_second_array_in_one_npy(tmp_path):
    path = tmp_path / "e.npy"
    with path.open("wb") as stream:
        np.save(stream, normal(9, 4))
        np.save(stream, normal(9, 4))
    assert refused(path).endswith("[9, 4] float32 are 144: save one array a file")


@pytest.mark.parametrize("form", ["npz", "npz, compressed", "npz, Fortran", "npz, Fortran, compressed"])
def test_a_damaged_npz_is_found_by_its_checksum(tmp_path, form):
    suffix, _, write = ONE[form]
    path = tmp_path / f"e{suffix}"
    write(path, normal(200, 6))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    open_embeddings(path)  # the head is sound
    assert "cannot be read as a NumPy .npz file" in refused(path, rows=50)


@pytest.mark.parametrize("suffix", EVERY_SUFFIX)
@pytest.mark.parametrize("garbage", [b"\0" * 500, bytes(range(256)) * 4, b"not embeddings\n" * 40, b"PK\x03\x04" * 99])
def test_garbage(tmp_path, suffix, garbage):
    path = tmp_path / f"e{suffix}"
    path.write_bytes(garbage)
    assert refused(path).startswith(("cannot be read as ", "not a file of torch.save"))


@pytest.mark.parametrize("suffix", EVERY_SUFFIX)
def test_no_file_a_folder_or_no_bytes(tmp_path, suffix):
    path = tmp_path / f"e{suffix}"
    assert refused(path) == "no such file"
    path.touch()
    assert refused(path) == "is empty (0 bytes)"
    path.unlink()
    path.mkdir()
    assert refused(path) == "is a folder; give one file of embeddings"


@pytest.mark.parametrize("name", ["e.csv", "e", "e.npy.gz"])
def test_an_unknown_suffix_is_told_the_known_ones(tmp_path, name):
    (tmp_path / name).write_bytes(b"1,2,3\n")
    assert ".npy, .npz, .parquet, .safetensors, .pt, .pth, .h5, .hdf5" in refused(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_file_that_may_not_be_read(tmp_path, locked):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "e.npy"
    np.save(path, normal(9, 4))
    target = path if locked == "file" else folder
    target.chmod(0)
    try:
        assert refused(path) == "cannot be opened (Permission denied)"
    finally:
        target.chmod(0o700)


@pytest.mark.parametrize(
    ("suffix", "module", "form", "install"),
    [
        (".h5", "h5py", "HDF5", "'sonoscale[hdf5]'"),
        (".safetensors", "safetensors", "safetensors", "safetensors"),
        (".parquet", "pyarrow.parquet", "Parquet", "pyarrow"),
        (".pt", "torch", "a file of torch.save", "'sonoscale[train]'"),
    ],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, module, form, install):
    path = tmp_path / f"e{suffix}"
    NAMED[suffix](path, {"e": normal(9, 4)})
    monkeypatch.setitem(sys.modules, module, None)
    assert refused(path) == f"{module} is needed to read {form}: pip install {install}"


def test_no_reader_is_imported_before_it_is_needed():
    code = "import sys, sonoscale.rank._files; print({'torch', 'h5py', 'safetensors', 'pyarrow'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("rows", [0, -3])
def test_chunks_of_no_rows(tmp_path, rows):
    path = tmp_path / "e.npy"
    np.save(path, normal(9, 4))
    with pytest.raises(SonoscaleError, match=f"at least 1 row, not {rows}"):
        open_embeddings(path).chunks(rows)  # before any is asked for


@pytest.mark.parametrize("changed", [normal(8, 4), normal(10, 4), normal(9, 5), normal(9, 4).astype(np.float64)])
@pytest.mark.parametrize("form", ["npy", "npz", "parquet", "safetensors", "torch", "hdf5"])
def test_a_file_changed_since_it_was_opened(tmp_path, form, changed):
    suffix, _, write = ONE[form]
    path = tmp_path / f"e{suffix}"
    write(path, normal(9, 4))
    file = open_embeddings(path)
    write(path, changed)
    with pytest.raises(SonoscaleError, match=f"^{path}: has changed since it was opened"):
        next(file.chunks())


@pytest.mark.parametrize("form", ["npy", "safetensors", "torch"])
def test_a_file_cut_while_it_is_read(tmp_path, form):
    suffix, _, write = ONE[form]
    path, other = tmp_path / f"e{suffix}", tmp_path / f"other{suffix}"
    write(path, normal(9, 4))
    write(other, normal(5, 4))
    chunks = open_embeddings(path).chunks(4)
    next(chunks)
    other.replace(path)
    with pytest.raises(SonoscaleError, match=f"^{path}: "):
        list(chunks)


def most_resident(*, since_now=False):
    """The most bytes of memory that this process has held, the mapped pages of files with them."""
    if since_now:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def write_fixed_lists(path, a):
    """All in one row group, of pages of 1 MB."""
    lists = pa.FixedSizeListArray.from_arrays(a.ravel(), a.shape[1])
    pq.write_table(pa.table({"e": lists}), path, use_dictionary=False, compression="none")


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux reports a peak of resident memory")
@pytest.mark.parametrize(
    "form",
    ["npy", "npy, Fortran", "npz", "npz, compressed", "npz, Fortran", "parquet, fixed", "safetensors", "torch", "hdf5"],
)
def test_memory_stays_far_below_the_size_of_the_file(tmp_path, monkeypatch, form):
    monkeypatch.setattr(_npy, "_PASS", 1 << 22)
    suffix, _, write = ONE[form]
    array, path = np.tile(normal(16, 256), (3840, 1)), tmp_path / f"e{suffix}"  # 63 MB
    (write_fixed_lists if suffix == ".parquet" else write)(path, array)
    assert array.nbytes > 60e6
    del array
    next(open_embeddings(path).chunks(1024))  # what is loaded once, whatever the file
    tracemalloc.start()
    before, arrow_before, arrow, rows = most_resident(since_now=True), pa.total_allocated_bytes(), 0, 0
    for chunk in open_embeddings(path).chunks(1024):
        rows += len(chunk)
        arrow = max(arrow, pa.total_allocated_bytes() - arrow_before)  # of a pool that keeps what it has had
    heap = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    path.unlink()
    assert rows == 61440
    assert heap < 16e6
    assert arrow < 16e6
    assert most_resident() - before < 16e6


def test_an_hdf5_dataset_with_its_values_in_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(144)))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("e", (9, 4), "f4", external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)])
        file["other"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "e")
    assert "keeps its values in another file" in refused(tmp_path / "e.h5")
    assert "secret" in refused(tmp_path / "e.h5")
    with pytest.raises(SonoscaleError, match="no dataset is named 'other'"):
        open_embeddings(tmp_path / "e.h5", key="other")


@pytest.mark.parametrize("how", [{"chunks": (3, 4)}, {}])
def test_an_hdf5_dataset_that_was_never_written_is_refused(tmp_path, how):
    with h5py.File(tmp_path / "e.h5", "w") as file:
        dataset = file.create_dataset("e", (9, 4), "f4", **how)
        if how:
            dataset[:6] = 1
    share = "66.7%" if how else "0.0%"
    assert f"{share} of it was ever written" in refused(tmp_path / "e.h5")


def test_small_files_that_promise_much_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "_SMALL", 1 << 20)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("e", (10**9, 64), "f4", chunks=(1024, 64))
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"f": np.zeros(1 << 17, np.float32)}), path)
    pq.write_table(pa.table({"f": np.zeros(1 << 21, np.float32)}), tmp_path / "f.parquet", compression="zstd")
    for name in ("e.h5", "f.parquet"):
        assert "-fold, as no embeddings are packed" in refused(tmp_path / name)
    assert open_embeddings(path).n == 1 << 17  # small enough to read


def test_a_flipped_bit_in_a_parquet_page_with_a_checksum_is_seen(tmp_path):
    path = tmp_path / "e.parquet"
    rows = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    write_parquet(path, {"e": rows}, write_page_checksum=True, use_dictionary=False, compression="none")
    whole, failed = path.read_bytes(), 0
    at = whole.index(rows[50].tobytes())
    for bit in range(64):
        damaged = bytearray(whole)
        damaged[at + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(SonoscaleError, match=r"e\.parquet: cannot be read as Parquet"):
            list(open_embeddings(path).chunks())
        failed += 1
    assert failed == 64
