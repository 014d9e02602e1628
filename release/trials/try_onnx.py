"""An encoder in an ONNX file."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from _common import sonoscale, tones

tones("clips")
weight = helper.make_tensor("w", TensorProto.FLOAT, [400, 16], np.random.default_rng(0).normal(size=6400))
shape = helper.make_tensor("s", TensorProto.INT64, [3], [0, -1, 400])
graph = helper.make_graph(
    [helper.make_node("Reshape", ["wave", "s"], ["frames"]), helper.make_node("MatMul", ["frames", "w"], ["tokens"])],
    "bands",
    [helper.make_tensor_value_info("wave", TensorProto.FLOAT, ["batch", "samples"])],
    [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", "frames", 16])],
    [weight, shape],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.helper.set_model_props(model, {"sample_rate": "16000"})
onnx.save(model, "bands.onnx")
assert "rankme" in sonoscale("measure onnx:bands.onnx clips")
print("measure onnx:bands.onnx")
