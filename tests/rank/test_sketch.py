"""The streamed spectrum against a plain singular value decomposition of all rows."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sonoscale.errors import SonoscaleError
from sonoscale.rank import SpectralSketch, rankme
from sonoscale.rank._device import DeviceGrams
from sonoscale.rank._formulas import spectrum_rankme

VIEWS = [{}, {"centred": True}, {"standardised": True}]


def direct(rows, centred=False, standardised=False):
    """By NumPy, in one piece."""
    if centred or standardised:
        rows = rows - rows.mean(axis=0)
    if standardised:
        rows = rows / rows.std(axis=0)
    return np.linalg.svd(rows, compute_uv=False)


@pytest.mark.parametrize("method", ["gram", "qr"])
@pytest.mark.parametrize("view", VIEWS, ids=["uncentred", "centred", "standardised"])
@pytest.mark.parametrize("mean", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("n", [20, 333])
def test_streamed_singular_values_are_numpys(population, sketch_of, method, view, mean, n):
    rows = population(n, 48, mean=mean)
    expected = direct(rows, **view)
    streamed = sketch_of(rows, batch=17, method=method).spectrum(**view)
    assert streamed.shape == expected.shape
    if method == "qr":
        rounding = 1e-14 * mean * np.sqrt(n * 48)  # of the rows themselves
        np.testing.assert_allclose(streamed, expected, rtol=1e-9, atol=1e-13 * expected[0] + rounding)
    else:  # a Gram matrix resolves a singular value to about 4e-8 of the largest
        np.testing.assert_allclose(streamed, expected, rtol=1e-6, atol=5e-8 * expected[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "reversed"])
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_any_dtype_and_layout(population, dtype, layout, library):
    rows = torch.from_numpy(population(120, 8)).to(dtype)
    given_rows = {
        "contiguous": rows,
        "transposed": rows.T.contiguous().T,
        "strided": torch.stack([rows, rows + 1], dim=1)[:, 0],
        "reversed": rows.flip(0).flip(1),
    }[layout]
    if library == "numpy":
        if dtype == torch.bfloat16:
            pytest.skip("NumPy has no bfloat16")
        given_rows = given_rows.numpy()[::-1, ::-1] if layout == "reversed" else given_rows.numpy()
    sketch = SpectralSketch(8)
    sketch.update(given_rows)
    np.testing.assert_allclose(sketch.spectrum(), direct(rows.double().numpy()), rtol=1e-10)
    assert sketch.dtype == str(dtype).removeprefix("torch.")


def test_gradients_are_left_alone(population):
    rows = torch.from_numpy(population(50, 4)).requires_grad_()
    sketch = SpectralSketch(4)
    sketch.update(rows * 2)
    np.testing.assert_allclose(sketch.spectrum(), direct(2 * rows.detach().numpy()))
    assert rows.grad is None


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.sampled_from(["gram", "qr"]))
def test_the_cuts_between_batches_do_not_change_a_bit(sizes, method):
    dim, blocks = 5, 4
    rows = np.random.default_rng(sum(sizes)).standard_normal((sum(sizes), dim)).astype(np.float32)
    whole, cut = (SpectralSketch(dim, blocks=blocks, method=method) for _ in range(2))
    whole.update(rows)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        cut.update(part)
    for view in VIEWS:
        np.testing.assert_array_equal(whole.spectrum(**view), cut.spectrum(**view))


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(4)), st.integers(0, 2), st.sampled_from(["gram", "qr"]), st.integers(0, 2**31))
def test_merge_in_any_order_is_the_union(order, bracket, method, seed):
    rng = np.random.default_rng(seed)
    sizes, dim = [100, 37, 1, 64], 6
    parts = [rng.standard_normal((n, dim)) * 3.0 + rng.normal(0, 20, dim) for n in sizes]
    sketches = []
    for part in parts:
        sketches.append(SpectralSketch(dim, blocks=8, method=method))
        sketches[-1].update(part)
    a, b, c, d = (sketches[i] for i in order)
    merged = {
        0: lambda: a.merge(b).merge(c).merge(d),
        1: lambda: a.merge(b).merge(c.merge(d)),
        2: lambda: a.merge(b.merge(SpectralSketch(dim, blocks=8, method=method)).merge(c.merge(d))),
    }[bracket]()
    assert merged.n == sum(sizes)
    for view in VIEWS:
        np.testing.assert_allclose(merged.spectrum(**view), direct(np.vstack(parts), **view), rtol=1e-9)
    assert [part.count for part in merged.parts()] == [
        sum(s.parts()[i].count for s in sketches) for i in range(8)
    ]  # exact


def test_merging_leaves_both_as_they_were(population, sketch_of):
    a, b = sketch_of(population(90, 6)), sketch_of(population(40, 6, seed=1))
    before = a.spectrum(), b.spectrum()
    a.merge(b)
    np.testing.assert_array_equal(a.spectrum(), before[0])
    np.testing.assert_array_equal(b.spectrum(), before[1])
    a.update(population(10, 6, seed=2))
    assert (a.n, b.n) == (100, 40)


@settings(deadline=None, max_examples=30)
@given(st.floats(-6, 6), st.integers(0, 1000), st.integers(2, 80), st.integers(1, 12))
def test_rank_is_invariant_to_scale_and_rotation_and_within_its_bounds(exponent, seed, n, dim):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -1.0 + 1.0
    rotation, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    values = []
    for each in (rows, rows @ rotation * 10.0**exponent):
        sketch = SpectralSketch(dim)
        sketch.update(each)
        values.append(spectrum_rankme(sketch.spectrum()))
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert 1.0 - 1e-12 <= values[0] <= min(n, dim) * (1 + 1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_magnitudes(population, sketch_of, scale, dtype):
    rows = population(200, 8, mean=0.5)
    expected = spectrum_rankme(direct(rows))
    assert spectrum_rankme(sketch_of((rows * scale).astype(dtype)).spectrum()) == pytest.approx(expected, rel=1e-5)


def test_qr_resolves_what_a_gram_matrix_cannot(sketch_of):
    rng = np.random.default_rng(0)
    wanted = np.logspace(0, -13, 14)
    left, _ = np.linalg.qr(rng.standard_normal((500, 14)))
    right, _ = np.linalg.qr(rng.standard_normal((14, 14)))
    rows = (left * wanted) @ right
    np.testing.assert_allclose(sketch_of(rows, method="qr").spectrum(), wanted, rtol=0.05)
    gram = sketch_of(rows).spectrum()
    np.testing.assert_allclose(gram[:7], wanted[:7], rtol=1e-3)
    assert (gram[9:] == 0).all()  # and says zero, not noise


def test_leaving_out_a_block_is_the_sketch_of_the_others(population, sketch_of):
    rows = population(203, 9, mean=2.0)
    for method in ("gram", "qr"):
        sketch = sketch_of(rows, blocks=5, method=method)
        for about, view in zip(("uncentred", "centred", "standardised"), VIEWS, strict=True):
            left_out = sketch.leave_one_out(about)
            assert [size for size, _ in left_out] == [41, 41, 41, 40, 40]
            for block, (_, rest) in enumerate(left_out):
                others = rows[np.arange(203) % 5 != block]
                np.testing.assert_allclose(rest, direct(others, **view), rtol=1e-8)


def test_rows_of_one_group_share_a_block_wherever_they_are_seen(population):
    rows, groups = population(600, 4), np.repeat([f"recording {i}" for i in range(60)], 10)
    first, second = SpectralSketch(4), SpectralSketch(4)
    first.update(rows, groups)
    order = np.random.default_rng(0).permutation(600)
    second.update(rows[order], groups[order])
    assert [p.count for p in first.parts()] == [p.count for p in second.parts()]
    assert all(p.count % 10 == 0 for p in first.parts())
    np.testing.assert_allclose(
        [rest for _, rest in first.leave_one_out("centred")], [rest for _, rest in second.leave_one_out("centred")]
    )
    with pytest.raises(SonoscaleError, match="59 groups for 60 embeddings"):
        first.update(rows[:60], groups[:59])


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_saved_and_pickled_sketches_are_the_same_and_go_on(tmp_path, population, sketch_of, method):
    rows, more = population(150, 7, mean=1.0), population(33, 7, seed=1)
    sketch = sketch_of(rows, method=method, blocks=12)
    sketch.save(tmp_path / "a.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    for other in (SpectralSketch.load(tmp_path / "a.safetensors"), pickle.loads(pickle.dumps(sketch))):
        assert (other.n, other.dim, other.blocks, other.method, other.dtype) == (150, 7, 12, method, "float64")
        np.testing.assert_array_equal(other.spectrum(centred=True), sketch.spectrum(centred=True))
        other.update(more)
        np.testing.assert_allclose(other.spectrum(), direct(np.vstack([rows, more])), rtol=1e-9)
    assert sketch.n == 150


def test_a_damaged_file_is_refused(tmp_path, population, sketch_of):
    file = tmp_path / "a.safetensors"
    sketch_of(population(50, 7)).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SonoscaleError, match=r"a\.safetensors: cannot be read as a sketch"):
        SpectralSketch.load(file)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, file)
    with pytest.raises(SonoscaleError, match="holds no spectral sketch"):
        SpectralSketch.load(file)
    with pytest.raises(SonoscaleError, match="no such file"):
        SpectralSketch.load(tmp_path / "none.safetensors")
    with pytest.raises(SonoscaleError, match="no folder"):
        sketch_of(population(50, 7)).save(tmp_path / "none" / "a.safetensors")


def test_batched_products_on_a_device_give_the_same(population, sketch_of):
    rows = population(1000, 12, mean=4.0)
    on_device = DeviceGrams(SpectralSketch(12).parts(), "cpu")
    for start, stop in ((0, 700), (700, 707), (707, 1000)):
        on_device.add(torch.from_numpy(rows[start:stop]), np.arange(start, stop) % 16)
    sketch = SpectralSketch(12)
    sketch.adopt(on_device.pull(), seen=1000, omitted=0, dtypes={"float64"})
    for view in VIEWS:
        np.testing.assert_allclose(sketch.spectrum(**view), sketch_of(rows).spectrum(**view), rtol=1e-10)


@pytest.mark.parametrize("order", ["array first", "tensor first", "loaded", "merged"])
def test_what_was_seen_before_a_device_is_kept(population, sketch_of, monkeypatch, tmp_path, order):
    """The CPU stands in for a device: rows that come as tensors are taken for rows on one."""
    rows = population(300, 6, mean=2.0)
    monkeypatch.setattr("sonoscale.rank._sketch.as_rows", lambda given, dim: given)
    arrays, tensors = rows[:100], torch.from_numpy(rows[100:])
    sketch = SpectralSketch(6)
    if order == "tensor first":
        sketch.update(tensors)
        sketch.update(arrays)
    else:
        sketch.update(arrays)
        if order == "loaded":
            sketch.save(tmp_path / "s.safetensors")
            sketch = SpectralSketch.load(tmp_path / "s.safetensors")
        elif order == "merged":
            sketch = sketch.merge(SpectralSketch(6))
        sketch.update(tensors)
    assert sum(part.count for part in sketch.parts()) == sketch.n == 300
    for view in VIEWS:
        np.testing.assert_allclose(sketch.spectrum(**view), direct(rows, **view), rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["gram", "qr"])
def test_cuda_gives_the_numbers_of_the_cpu(population, dtype, method):
    rows = torch.from_numpy(population(3000, 24, mean=1.0)).to(dtype)
    on_cpu, on_cuda = SpectralSketch(24, method=method), SpectralSketch(24, method=method)
    on_cpu.update(rows)
    on_cuda.update(rows[:1000].cuda())
    on_cuda.update(rows[1000:1100])
    on_cuda.update(rows[1100:].cuda())
    for view in VIEWS:
        np.testing.assert_allclose(on_cuda.spectrum(**view), on_cpu.spectrum(**view), rtol=1e-6)


def test_the_mean_and_its_share_of_the_energy(population, sketch_of):
    rows = population(400, 5, mean=3.0)
    sketch = sketch_of(rows)
    np.testing.assert_allclose(sketch.mean_row(), rows.mean(axis=0))
    share = 400 * np.square(rows.mean(axis=0)).sum() / np.square(rows).sum()
    assert sketch.mean_energy() == pytest.approx(share, rel=1e-10)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_every_flipped_bit_of_a_saved_sketch_is_seen(tmp_path, population, sketch_of, method):
    file = tmp_path / "a.safetensors"
    rows = population(50, 5)
    sketch_of(rows, method=method, blocks=3).save(file)
    whole = file.read_bytes()
    expected = SpectralSketch.load(file).spectrum()
    for place in np.random.default_rng(0).permutation(8 * len(whole))[:600].tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            found = SpectralSketch.load(file)
        except SonoscaleError:
            continue
        np.testing.assert_array_equal(found.spectrum(), expected)  # a blank of the header


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_rows_that_were_never_written_are_counted_and_warned_of(tmp_path, population, library):
    rows = population(400, 6)
    rows[100:] = 0
    rows[0, 0] = 0  # a single zero is no zero row
    sketch = SpectralSketch(6)
    for part in np.array_split(rows, 7):
        sketch.update(torch.from_numpy(part) if library == "torch" else part)
    assert sketch.zeros == 300
    assert sketch.merge(sketch).zeros == 600
    sketch.save(tmp_path / "a.safetensors")
    again = SpectralSketch.load(tmp_path / "a.safetensors")
    assert again.zeros == 300
    assert any("300 of 400 embeddings (75.0%) hold nothing but zeros" in w for w in rankme(again).warnings)
    rows[2:] = population(398, 6, seed=1)
    rows[1] = 0  # one silent clip
    assert not any("zeros" in warning for warning in rankme(rows).warnings)
