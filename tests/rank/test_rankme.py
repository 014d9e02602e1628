"""`rankme`: a number from anything that holds embeddings, equal for all of them; and one line for what does not."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import torch

import sonoscale
from sonoscale.errors import SonoscaleError
from sonoscale.rank import SpectralSketch, measure_all, measure_rank, open_embeddings, rankme

ROWS = (np.random.default_rng(0).standard_normal((300, 6)) * np.arange(1, 7) + 0.1).astype(np.float32)


def saved(path):
    np.save(path, ROWS)
    return path


def sketched():
    sketch = SpectralSketch(6)
    for part in np.array_split(ROWS, 7):
        sketch.update(part)
    return sketch


def frame(library, lists):
    pytest.importorskip(library)
    module = importlib.import_module(library)
    columns = {"z": [row.tolist() for row in ROWS]} if lists else {f"d{i}": ROWS[:, i] for i in range(6)}
    return module.DataFrame({"name": [f"{i}.wav" for i in range(300)], "n": range(300), **columns})


FORMS = {
    "array": lambda path: ROWS,
    "Fortran order": lambda path: np.asfortranarray(ROWS),
    "tensor": lambda path: torch.from_numpy(ROWS),
    "tensor with gradients": lambda path: torch.from_numpy(ROWS).requires_grad_(),
    "nested lists": lambda path: ROWS.tolist(),
    "list of arrays": lambda path: list(ROWS),
    "list of tensors": lambda path: list(torch.from_numpy(ROWS)),
    "sketch": lambda path: sketched(),
    "path": saved,
    "path as text": lambda path: str(saved(path)),
    "opened file": lambda path: open_embeddings(saved(path)),
    "pandas, lists": lambda path: frame("pandas", True),
    "pandas, columns": lambda path: frame("pandas", False),
    "polars, lists": lambda path: frame("polars", True),
    "polars, columns": lambda path: frame("polars", False),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_embeddings_has_the_same_rank(tmp_path, form):
    share = np.linalg.svd(ROWS.astype(np.float64), compute_uv=False)
    share /= share.sum()
    record = rankme(FORMS[form](tmp_path / "z.npy"))
    assert record.value == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)
    assert record.low < record.value < record.high
    assert (record.estimator, record.n, record.dim) == ("rankme", 300, 6)
    assert (record.encoder.endswith("z.npy")) == ("path" in form or "file" in form)


REFUSED = {
    "None": (None, "embeddings must be an array or tensor .*, not NoneType"),
    "number": (3.0, "embeddings must be .*, not float"),
    "dict": ({"z": ROWS}, "embeddings must be .*, not dict"),
    "vector": (ROWS[0], r"embeddings must be \[n, dim\], not \[6\]"),
    "three axes": (ROWS[None], r"embeddings must be \[n, dim\], not \[1, 300, 6\]"),
    "integers": (ROWS.astype(int), "embeddings are int64: they must be floating point"),
    "integer tensor": (torch.ones(4, 4, dtype=torch.int32), "embeddings are int32: they must be floating point"),
    "objects": (np.array([["a", "b"]], dtype=object), "embeddings are object"),
    "ragged": ([[1.0, 2.0], [3.0]], "rows of numbers, all of one length"),
    "words": ([["a", "b"]], "rows of numbers, all of one length"),
    "empty": (np.zeros((0, 4)), "the sketch is empty"),
    "no list": ([], r"embeddings must be \[n, dim\], not \[0\]"),
    "NaN": (np.r_[ROWS, ROWS[:1] * np.nan], "1 of 301 embeddings hold NaN or infinity, the first is row 300"),
    "zeros": (np.zeros((9, 3)), "all zero"),
    "no file": ("none.npy", "none.npy: "),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("function", [rankme, measure_rank, measure_all])
def test_what_is_no_embeddings_is_refused_in_one_line(case, function):
    embeddings, message = REFUSED[case]
    if function is measure_all and case == "zeros":
        assert "all zero" in measure_all(embeddings)[1]["rankme"]  # each estimator says why it has no value
        return
    with pytest.raises(SonoscaleError, match=message) as caught:
        function(embeddings)
    assert "\n" not in str(caught.value)


def test_frames_that_leave_a_choice_or_none():
    pandas = pytest.importorskip("pandas")
    two = pandas.DataFrame({"a": list(ROWS), "b": list(ROWS[:, :3])})
    with pytest.raises(SonoscaleError, match="several columns of the frame hold lists; choose one as key: a, b"):
        rankme(two)
    assert rankme(two, key="b").dim == 3
    with pytest.raises(SonoscaleError, match="key = 'c': the frame has no such column; it has a, b"):
        rankme(two, key="c")
    with pytest.raises(SonoscaleError, match="the frame has no columns of floats; it has name"):
        rankme(pandas.DataFrame({"name": ["x"]}))
    with pytest.raises(SonoscaleError, match="key = 'a': only files and data frames have named arrays"):
        rankme(ROWS, key="a")


def test_options_reach_the_sketch_and_the_record():
    spoiled = np.r_[ROWS, ROWS[:1] * np.nan]
    record = rankme(
        spoiled, estimator="rankme_centred", level=0.8, method="qr", nan_policy="omit", encoder="mine", corpus="clips",
        layer=3, mean_seconds=2.0,
    )  # fmt: skip
    assert (record.estimator, record.level, record.method, record.omitted) == ("rankme_centred", 0.8, "qr", 1)
    assert (record.encoder, record.corpus, record.layer, record.mean_seconds) == ("mine", "clips", 3, 2.0)
    twice = np.repeat(ROWS, 2, axis=0)
    apart, together = rankme(twice), rankme(twice, groups=np.arange(600) // 2)
    assert together.value == pytest.approx(apart.value)
    assert together.high - together.low > 1.1 * (apart.high - apart.low)  # of half as many independent rows
    with pytest.raises(SonoscaleError, match="groups: a sketch has its blocks already"):
        rankme(sketched(), groups=range(300))


def test_a_record_prints_as_a_result():
    record = dataclasses.replace(rankme(ROWS), value=31.2, low=30.8, high=31.7, n=2048, dim=96, warnings=("<few>",))
    assert repr(record) == "RankMe 31.2 [30.8, 31.7] of 2,048 x 96 embeddings\nwarning: <few>"
    assert "<li>&lt;few&gt;</li>" in record._repr_html_()
    assert json.loads(record.to_json())["warnings"] == ["<few>"]
    centred = rankme(ROWS, estimator="rankme_centred", interval=False, layer=2)
    assert repr(centred).splitlines()[0] == f"RankMe (centred) {centred.value:.4g} of 300 x 6 embeddings of layer 2"
    assert json.loads(centred.to_json())["low"] is None
    frame = pytest.importorskip("pandas") and record.to_frame()
    assert frame.loc[0, ["estimator", "value", "n"]].tolist() == ["rankme", 31.2, 2048]


def test_the_package_offers_it():
    assert sonoscale.rankme(ROWS) == rankme(ROWS)
