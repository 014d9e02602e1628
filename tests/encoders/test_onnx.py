"""Exported models, run by ONNX Runtime, against the same sums in torch."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

KERNEL = 0.3 * torch.randn(6, 1, 400, generator=torch.Generator().manual_seed(0))


def export(
    path, *, layout="BT", batch: Any = "batch", samples: Any = "samples", pooled=False, extra_input=False, kind="float"
):
    """wave -> convolution (6 filters of 400 samples, every 200) -> relu: `[batch, steps, 6]`, or its mean."""
    shape = {"BT": [batch, samples], "BCT": [batch, 1, samples], "T": [samples]}[layout]
    axes = {"BT": [1], "BCT": None, "T": [0, 1]}[layout]
    nodes, constants, last = [], [numpy_helper.from_array(KERNEL.numpy(), "kernel")], "wave"
    if kind == "float16":
        nodes.append(helper.make_node("Cast", [last], ["single"], to=TensorProto.FLOAT))
        last = "single"
    if axes:
        constants.append(numpy_helper.from_array(np.array(axes), "axes"))
        nodes.append(helper.make_node("Unsqueeze", [last, "axes"], ["channel"]))
        last = "channel"
    nodes += [
        helper.make_node("Conv", [last, "kernel"], ["filtered"], strides=[200]),
        helper.make_node("Relu", ["filtered"], ["positive"]),
        helper.make_node("Transpose", ["positive"], ["frames"], perm=[0, 2, 1]),
    ]
    outputs = [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["b", "steps", 6])]
    if layout == "T":
        constants.append(numpy_helper.from_array(np.array([0]), "first"))
        nodes.append(helper.make_node("Squeeze", ["frames", "first"], ["rows"]))
        outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["steps", 6])]
    if pooled:
        constants.append(numpy_helper.from_array(np.array([1]), "time"))
        nodes.append(helper.make_node("ReduceMean", ["frames", "time"], ["mean"], keepdims=0))
        outputs.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["b", 6]))
    types = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "int64": TensorProto.INT64}
    inputs = [helper.make_tensor_value_info("wave", types[kind], shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [2]))
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return f"onnx:{path}?rate=16000"


def by_hand(waves):
    """`[batch, steps, 6]`"""
    return F.relu(F.conv1d(waves.double()[:, None], KERNEL.double(), stride=200)).transpose(1, 2)


@pytest.mark.parametrize("layout", ["BT", "BCT", "T"])
@pytest.mark.parametrize("batch", ["batch", 1])
def test_contract_in_every_layout(tmp_path, layout, batch, contract, close):
    encoder = load_encoder(export(tmp_path / "m.onnx", layout=layout, batch=batch) + f"&layout={layout}")
    assert (encoder.sample_rate, encoder.dim, encoder.layers, encoder.min_samples) == (16_000, 6, None, 1)
    waves, found = contract(encoder, 9_050)
    close(found, by_hand(waves).mean(1))
    frames, times = encoder.embed_frames(waves)
    close(frames, by_hand(waves))
    assert times.tolist() == pytest.approx([(i + 0.5) * 9_050 / 16 / 44 for i in range(44)])


def test_an_output_by_name(tmp_path, contract, close):
    spec = export(tmp_path / "m.onnx", pooled=True)
    with pytest.raises(SonoscaleError, match=r"which output\? add output= and one of frames, mean"):
        load_encoder(spec)
    with pytest.raises(SonoscaleError, match="no output gone; there is frames, mean"):
        load_encoder(f"{spec}&output=gone")
    with pytest.raises(SonoscaleError, match="no input gone; there is wave"):
        load_encoder(f"{spec}&output=mean&input=gone")
    encoder = load_encoder(f"{spec}&output=mean&input=wave")
    waves, found = contract(encoder, 8_000)
    close(found, by_hand(waves).mean(1))
    with pytest.raises(SonoscaleError, match=r"gives no frames: the output is \[batch, dim\]"):
        encoder.embed_frames(waves)
    with pytest.raises(SonoscaleError, match="gives no layers: name another output"):
        encoder.embed_layers(waves)


def test_a_fixed_length(tmp_path, close):
    encoder = load_encoder(export(tmp_path / "m.onnx", samples=8_000))
    assert encoder.min_samples == encoder.max_samples == 8_000
    waves = torch.rand(3, 8_000)
    close(encoder.embed(waves), by_hand(waves).mean(1))
    for samples, word in ((7_999, "shorter"), (8_001, "longer")):
        with pytest.raises(SonoscaleError, match=f"{samples} samples is {word} than the 8000"):
            encoder.embed(torch.rand(1, samples))


def test_half_precision_input(tmp_path, close):
    waves = torch.rand(2, 8_000)
    found = load_encoder(export(tmp_path / "m.onnx", kind="float16")).embed(waves)
    close(found, by_hand(waves.half()).mean(1))


def test_too_short_for_the_model_is_an_error(tmp_path):
    with pytest.raises(SonoscaleError, match=r"embed failed on \[1, 399\]: ") as error:
        load_encoder(export(tmp_path / "m.onnx")).embed(torch.rand(1, 399))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "end", "message"),
    [
        ({}, "", "at which rate. add .rate=16000"),
        ({}, "?rate=0", "rate = '0' is not a positive whole number"),
        ({}, "?rate=16000&hop=2", "hop is not known after the .; known: input, layout, output, rate"),
        ({}, "?rate=16000&layout=TB", "layout TB is not known; known: BT, BCT, T"),
        ({}, "?rate=16000&layout=BCT", r"input wave is \['batch', 'samples'\], not BCT; layout=BT fits"),
        ({"extra_input": True}, "?rate=16000&input=wave", "also needs the inputs state; wrap it with python:"),
        ({"extra_input": True}, "?rate=16000", "which input. add input= and one of wave, state"),
        ({"batch": 4}, "?rate=16000", "the batch of input wave is fixed to 4"),
        ({"samples": 200}, "?rate=16000", "failed on noise: "),
    ],
)
def test_what_does_not_fit_the_file_is_an_error_of_one_line(tmp_path, settings, end, message):
    spec = export(tmp_path / "m.onnx", **settings).partition("?")[0] + end
    with pytest.raises(SonoscaleError, match=message) as error:
        load_encoder(spec)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_not_onnx(tmp_path):
    with pytest.raises(SonoscaleError, match=r"no such file: .*gone\.onnx"):
        load_encoder(f"onnx:{tmp_path}/gone.onnx?rate=16000")
    (tmp_path / "m.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(SonoscaleError, match="onnxruntime cannot load it: "):
        load_encoder(f"onnx:{tmp_path}/m.onnx?rate=16000")


def test_integers_are_no_waves(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Identity", ["wave"], ["out"])],
        "integers",
        [helper.make_tensor_value_info("wave", TensorProto.INT64, ["b", "t"])],
        [helper.make_tensor_value_info("out", TensorProto.INT64, ["b", "t"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(SonoscaleError, match=r"input wave is a tensor\(int64\), not a tensor of floats"):
        load_encoder(f"onnx:{tmp_path}/m.onnx?rate=16000")


def test_a_width_that_follows_the_length_is_an_error(tmp_path):
    """What puts time last, `[batch, steps]`, shows itself by another width for another length."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["wave"], ["out"])],
        "envelope",
        [helper.make_tensor_value_info("wave", TensorProto.FLOAT, ["b", "t"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", "t"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    encoder = load_encoder(f"onnx:{tmp_path}/m.onnx?rate=1000")
    with pytest.raises(SonoscaleError, match=r"a shape of \[1, 900\], not \[1, 1000\]"):
        encoder.embed(torch.rand(1, 900))


def test_identity_follows_the_file_and_weights_beside_it(tmp_path):
    spec = export(tmp_path / "m.onnx")
    first = load_encoder(spec).identity
    assert first == load_encoder(spec).identity
    (tmp_path / "m.onnx.data").write_bytes(b"weights")
    second = load_encoder(spec).identity
    assert "m.onnx.data:" in second
    assert first != second


def test_precision_and_device_that_it_cannot_have(tmp_path):
    spec = export(tmp_path / "m.onnx")
    with pytest.raises(SonoscaleError, match="has the precision that it was exported with; drop bf16"):
        load_encoder(spec, precision="bf16")


def test_without_onnxruntime(tmp_path, monkeypatch):
    spec = export(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SonoscaleError, match=r"pip install 'sonoscale\[onnx\]'"):
        load_encoder(spec)
