"""The ONNX export, run by ONNX Runtime on other batches and lengths than it was traced with."""

import numpy as np
import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=["vit", "frames", "conv", "cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def session(export, name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    path = export(name, "onnx").folder / "encoder.onnx"
    made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert [put.shape for put in made.get_inputs()] == [["batch", "samples"]]
    assert [put.shape[0] for put in made.get_outputs()] == ["batch"]
    return made


@pytest.mark.parametrize(
    ("batch", "samples"), [(1, None), (5, None), (1, 6_000), (3, 6_000), (2, 40_123), (5, 40_123), (2, 30 * 16_000)]
)
def test_embeddings_are_ours(session, name, ours, clips, same, batch, samples):
    encoder = ours(name)
    waves = clips(batch, samples or encoder.min_samples)
    waves[0] = 0.9 * torch.sin(torch.arange(waves.shape[1]) * 0.3)  # a tone 100 dB above what lies beside it
    found = session.run(["embedding"], {"wave": waves.numpy()})[0]
    assert found.dtype == np.float32
    same(torch.from_numpy(found), encoder.embed(waves).detach(), 1e-5)  # 1e-4 is promised


def test_our_adapter_needs_no_rate(export, name, ours, clips, same):
    spec = export(name, "onnx").spec
    encoder = load_encoder(spec)
    assert (encoder.sample_rate, encoder.dim, encoder.min_samples) == (16_000, ours(name).dim, ours(name).min_samples)
    waves = clips(3, 9_999)
    same(encoder.embed(waves), ours(name).embed(waves).detach())
    with pytest.raises(SonoscaleError, match=f"is shorter than the {ours(name).min_samples}"):
        encoder.embed(waves[:, : encoder.min_samples - 1])
    assert load_encoder(f"{spec}?rate=8000").sample_rate == 8_000  # what is said goes before what the file says


def test_too_short_a_clip_fails_and_gives_no_number(session, ours, name):
    short = np.zeros((1, ours(name).min_samples - 1), np.float32)
    try:
        found = session.run(["embedding"], {"wave": short})[0]
    except Exception as error:
        assert "ONNXRuntimeError" in str(error)  # noqa: PT017
    else:
        assert np.isnan(found).all()


def test_the_file_is_valid_and_holds_its_metadata(export, name):
    onnx = pytest.importorskip("onnx")
    made = export(name, "onnx")
    model = onnx.load(made.folder / "encoder.onnx")
    onnx.checker.check_model(model, full_check=True)
    reported = {entry.key: entry.value for entry in model.metadata_props}
    assert reported["sample_rate"] == "16000"
    assert reported["sonoscale"] == made.hash
    assert set(reported) == {"sample_rate", "min_samples", "sonoscale", "shape", "readout"}
