"""Encoders of the user's own, and the checks that every encoder goes through."""

import random
import textwrap

import numpy as np
import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

CODE = '''
import numpy as np
import torch
from torch import nn

def bands(wave):
    """[batch, samples] -> [batch, steps, 8]: energies of 8 bands in frames of 400."""
    spectrum = torch.fft.rfft(wave.unfold(1, 400, 200), dim=-1).abs()[..., :200]
    return torch.log(spectrum.unflatten(-1, (8, 25)).mean(-1) + 1e-3)

def pooled(wave):
    return bands(wave).mean(1)
pooled.sample_rate = 16000

def make_bands():
    return bands

def in_numpy(wave):
    return np.log(np.abs(np.fft.rfft(wave.numpy(), axis=1))[:, :6] + 1)

class Module(nn.Module):
    sample_rate = 16000
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 5)
        self.dropout = nn.Dropout(0.5)
    def forward(self, wave):
        return self.dropout(self.layer(bands(wave)))

class Full:
    sample_rate, dim, layers, identity, min_samples = 16000, 8, 2, "full 1.0", 400
    def embed(self, wave): return pooled(wave)
    def embed_layers(self, wave): return torch.stack([2 * pooled(wave), pooled(wave)])
    def embed_frames(self, wave):
        frames = bands(wave)
        return frames, 12.5 + 12.5 * torch.arange(frames.shape[1])

class NoDim:
    sample_rate = 16000
    def embed(self, wave): return pooled(wave)

number = 3
def broken(): raise RuntimeError("first line\\nsecond line")
def gives_number(): return 3
'''


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(textwrap.dedent(CODE))
    return f"python:{file}"


@pytest.mark.parametrize("name", ["bands?rate=16000", "make_bands?rate=16000", "pooled", "in_numpy?rate=16000", "Full"])
def test_contract(code, contract, name):
    contract(load_encoder(f"{code}:{name}"), 16_000)


def test_steps_are_averaged_and_divide_the_clip(code, contract, close):
    encoder = load_encoder(f"{code}:bands?rate=16000")
    waves, found = contract(encoder, 8_000)
    frames, times = encoder.embed_frames(waves)
    expected = [
        [np.log(np.abs(np.fft.rfft(w[i : i + 400]))[:200].reshape(8, 25).mean(1) + 1e-3) for i in range(0, 7_601, 200)]
        for w in waves.double().numpy()
    ]
    close(frames, torch.tensor(np.array(expected)), rtol=1e-4)
    close(found, torch.tensor(np.array(expected)).mean(1), rtol=1e-4)
    assert times.tolist() == pytest.approx([(i + 0.5) * 500 / 39 for i in range(39)])


def test_a_module_is_put_into_eval_mode_and_hashed(code, contract, tmp_path):
    encoder = load_encoder(f"{code}:Module")
    contract(encoder, 16_000)  # dropout would break it
    # Its random weights do not depend on the seed of the program.
    torch.manual_seed(5)
    again = load_encoder(f"{code}:Module")
    assert again.identity == encoder.identity
    assert "weights:" in encoder.identity
    file = tmp_path / "mine.py"
    file.write_text(file.read_text().replace("Linear(8, 5)", "Linear(8, 6)"))
    changed = load_encoder(f"{code}:Module")
    assert changed.dim == 6
    assert changed.identity.split(":")[-1] != encoder.identity.split(":")[-1]


def test_all_of_the_protocol_is_passed_through(code):
    encoder = load_encoder(f"{code}:Full")
    assert (encoder.sample_rate, encoder.dim, encoder.layers, encoder.min_samples) == (16_000, 8, 2, 400)
    assert "full 1.0" in encoder.identity
    assert encoder.embed_frames(torch.zeros(2, 800))[1].tolist() == [12.5, 25.0, 37.5]
    with pytest.raises(SonoscaleError, match=r"a clip of 399 samples is shorter than the 400 \(0\.025 s"):
        encoder.embed(torch.zeros(1, 399))


def test_a_layer_can_be_chosen(code):
    wave = torch.linspace(-1, 1, 1_600).repeat(2, 1)
    last, first = (load_encoder(f"{code}:Full", layer=layer) for layer in (-1, 0))
    torch.testing.assert_close(first.embed(wave), 2 * last.embed(wave))
    assert (first.layers, last.layers) == (1, 2)
    torch.testing.assert_close(first.embed_layers(wave)[-1], first.embed(wave))
    assert first.identity != last.identity
    with pytest.raises(SonoscaleError, match="without layer="):
        first.embed_frames(wave)
    for layer in (2, -3):
        with pytest.raises(SonoscaleError, match=rf"no layer {layer}: there are 2, 0 to 1"):
            load_encoder(f"{code}:Full", layer=layer)
    with pytest.raises(SonoscaleError, match="no layer 0: the encoder gives no layers"):
        load_encoder(f"{code}:pooled", layer=0)
    with pytest.raises(SonoscaleError, match="gives no layers"):
        load_encoder(f"{code}:pooled").embed_layers(wave)
    with pytest.raises(SonoscaleError, match="gives no frames"):
        load_encoder(f"{code}:pooled").embed_frames(wave)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "write python:module:factory"),
        (":missing", "mine.py has no missing"),
        (":bands", "at which rate"),
        (":bands?rate=fast", "rate = 'fast' is not a positive whole number"),
        (":bands?rate=16000&speed=2", "speed is not known"),
        (":bands?rate=", "rate has no value"),
        (":pooled?rate=-1", "rate = '-1' is not"),
        (":Full?rate=8000", "drop .rate"),
        (":NoDim", "NoDim has no dim"),
        (":number", "gives type int, neither"),
        (":gives_number", "gives type int, neither"),
        (":broken", r"broken\(\) failed: RuntimeError: first line$"),
    ],
)
def test_what_cannot_be_loaded_is_an_error_of_one_line(code, name, message):
    with pytest.raises(SonoscaleError, match=message) as error:
        load_encoder(code + name)
    assert "\n" not in str(error.value)


def test_modules_that_are_not_there(tmp_path):
    with pytest.raises(SonoscaleError, match="no module named nowhere_at_all; install it, or give the path"):
        load_encoder("python:nowhere_at_all.sub:make")
    with pytest.raises(SonoscaleError, match=r"no such file: .*gone\.py"):
        load_encoder(f"python:{tmp_path}/gone.py:make")
    (tmp_path / "bad.py").write_text("import nowhere_at_all\n")
    with pytest.raises(SonoscaleError, match=r"importing .*bad\.py failed: ModuleNotFoundError"):
        load_encoder(f"python:{tmp_path}/bad.py:make")
    (tmp_path / "wrong.py").write_text("def (:\n")
    with pytest.raises(SonoscaleError, match="SyntaxError"):
        load_encoder(f"python:{tmp_path}/wrong.py:make")


def test_a_file_finds_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("def embed(wave): return wave[:, :3]\n")
    (tmp_path / "front.py").write_text(
        "def make():\n    import neighbour_of_mine\n    return neighbour_of_mine.embed\n"
    )
    encoder = load_encoder(f"python:{tmp_path}/front.py:make?rate=8000")
    assert encoder.embed(torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[1, 2, 3]]


def behave(tmp_path, body):
    (tmp_path / "odd.py").write_text(
        "import torch\nclass Odd:\n    sample_rate, dim, layers = 1000, 3, 2\n    calls = 0\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return load_encoder(f"python:{tmp_path}/odd.py:Odd")


WAVE = torch.full((2, 1_000), 0.5)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("wave[:, :4]", r"embed gave a shape of \[2, 4\], not \[2, 3\] \(2 clips, 3 dimensions\)"),
        ("wave[:1, :3]", r"embed gave a shape of \[1, 3\], not \[2, 3\]"),
        ("wave[:, :3, None]", r"embed gave a shape of \[2, 3, 1\]"),
        ("torch.where(torch.arange(2)[:, None] == 1, torch.nan, wave[:, :3])", "NaN or infinity for clip 1 of 2"),
        ("wave[:, :3] / 0", "embed gave NaN or infinity for clip 0 of 2"),
        ("[1, 2, 3]", "embed gave a list, not a tensor"),
        ("wave[:, 5000]", r"embed failed on \[2, 1000\]: IndexError"),
    ],
)  # fmt: skip
def test_an_embedding_that_is_not_one_is_an_error(tmp_path, result, message):
    encoder = behave(tmp_path, f"def embed(self, wave): return {result}\ndef embed_layers(self, wave): return None")
    with pytest.raises(SonoscaleError, match=message) as error:
        encoder.embed(WAVE)
    assert "\n" not in str(error.value)


def test_another_width_at_the_second_call_is_an_error(tmp_path):
    encoder = behave(
        tmp_path,
        """
        def embed(self, wave):
            self.calls += 1
            return wave[:, : 2 + self.calls]
        def embed_layers(self, wave): return torch.zeros(1 + self.embed(wave).shape[1], 2, 3)
        """,
    )
    assert encoder.embed(WAVE).shape == (2, 3)
    with pytest.raises(SonoscaleError, match=r"a shape of \[2, 4\], not \[2, 3\]"):
        encoder.embed(WAVE)
    with pytest.raises(SonoscaleError, match=r"a shape of \[6, 2, 3\], not \[2, 2, 3\] \(2 layers, 2 clips, 3 dim"):
        encoder.embed_layers(WAVE)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("wave[:, None, :3]", "no pair of frames and times but a Tensor"),
        ("wave[:, :3], torch.zeros(1)", r"embed_frames gave a shape of \[2, 3\]"),
        ("wave[:, None, :4], torch.zeros(1)", r"a shape of \[2, 1, 4\], not \[2, 1, 3\]"),
        ("wave[:, :6].unflatten(1, (2, 3)), torch.zeros(3)", "2 steps but not as many ascending times"),
        ("wave[:, :6].unflatten(1, (2, 3)), torch.tensor([2., 1.])", "2 steps but not as many ascending times"),
        ("wave[:, :6].unflatten(1, (2, 3)), torch.tensor([[1., 2.], [1., 3.]])", "different times"),
    ],
)
def test_frames_that_are_none_are_an_error(tmp_path, result, message):
    encoder = behave(
        tmp_path,
        f"def embed(self, wave): ...\ndef embed_layers(self, wave): ...\ndef embed_frames(self, wave): return {result}",
    )
    with pytest.raises(SonoscaleError, match=message):
        encoder.embed_frames(WAVE)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.zeros(1_000), r"float32 tensor \[clips, samples\], not torch.float32 \[1000\]"),
        (torch.zeros(1, 1_000).double(), r"not torch.float64"),
        (torch.zeros(0, 1_000), r"not torch.float32 \[0, 1000\]"),
        (np.zeros((1, 1_000), np.float32), "not ndarray"),
        (torch.tensor([[0.0] * 9, [torch.nan] * 9]), "clip 1 of 2 has NaN"),
    ],
)
def test_a_wave_that_is_none_is_an_error(code, wave, message):
    with pytest.raises(SonoscaleError, match=message):
        load_encoder(f"{code}:pooled").embed(wave)


def test_random_numbers_in_foreign_code_are_the_same_at_each_call(tmp_path):
    encoder = behave(
        tmp_path,
        """
        def embed(self, wave):
            import random, numpy
            return torch.tensor([[torch.rand(()), numpy.random.rand(), random.random()]] * 2)
        def embed_layers(self, wave): ...
        """,
    )
    first = encoder.embed(WAVE)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert torch.equal(encoder.embed(WAVE), first)


def test_precision(code):
    wave = torch.linspace(-1, 1, 1_600).repeat(2, 1)
    full, half = (load_encoder(f"{code}:Module", precision=p).embed(wave) for p in ("fp32", "bf16"))
    assert half.dtype == torch.float32
    assert 0 < (full - half).norm() / full.norm() < 0.02
    assert load_encoder(f"{code}:Module", precision="bf16").identity.endswith(" bf16")
    with pytest.raises(SonoscaleError, match="fp16 needs a GPU"):
        load_encoder(f"{code}:Module", precision="fp16")
    with pytest.raises(SonoscaleError, match="precision 'int8' is not known; known: fp32, bf16, fp16"):
        load_encoder(f"{code}:Module", precision="int8")  # pyright: ignore[reportArgumentType,reportCallIssue]
