"""An ONNX file: waveform to embedding."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonoscale.encoders import AudioEncoder, patchify, pool
from sonoscale.export._card import card
from sonoscale.export._source import TrainedEncoder

OPSET = 18

_USE = """`encoder.onnx` takes `wave`, float32 `[batch, samples]`, mono, in [-1, 1], at {rate} Hz, of any batch size and
any length from {shortest} samples, and gives `embedding`, float32 `[batch, {width}]`. Log-mels are part of it; their
Fourier transform is in float64. The clips of a batch have one length; shorter ones than that fail.

```python
import onnxruntime

session = onnxruntime.InferenceSession("encoder.onnx")
embedding = session.run(["embedding"], {{"wave": wave}})[0]
```

With Sonoscale: `sonoscale measure onnx:encoder.onnx AUDIO`. Rate and shortest length are in the file's metadata
(`sample_rate`, `min_samples`)."""


class _Traceable(nn.Module):
    """The encoder in operations that ONNX has, for any number of clips, samples and patches.

    The Fourier transform is a product with cosines and sines, in float64 as in `LogMel`, and positions are computed
    from the number of patches, where `positions_like` looks them up.
    """

    waves: Tensor
    samples: Tensor
    rates: Tensor

    def __init__(self, encoder: AudioEncoder, readout: str) -> None:
        super().__init__()
        self.encoder, self.readout = encoder, readout
        c = encoder.config.front_end
        self.n_fft, self.hop = c.n_fft, c.hop
        samples, bins = torch.arange(c.n_fft), torch.arange(c.n_fft // 2 + 1)
        turns = (samples[:, None] * bins) % c.n_fft / torch.tensor(c.n_fft, dtype=torch.float64)
        window = encoder.front_end._window[:, None]
        waves = torch.cat([window * (2 * math.pi * turns).cos(), window * (2 * math.pi * turns).sin()], dim=1)
        self.register_buffer("waves", waves)  # float64 [n_fft, 2 * bins]
        self.register_buffer("samples", samples)
        quarter = encoder.config.width // 4
        rates = 10_000.0 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
        self.register_buffer("rates", rates)

    def forward(self, wave: Tensor) -> Tensor:
        """float32 `[batch, samples]` -> float32 `[batch, dim]`: the readout."""
        return pool(self._tokens(wave), self.encoder.config.mel_patches, self.readout)

    def _tokens(self, wave: Tensor) -> Tensor:
        c, encoder = self.encoder.config, self.encoder
        count = (wave.shape[1] - self.n_fft) // self.hop + 1
        index = torch.arange(count)[:, None] * self.hop + self.samples  # [T, n_fft]
        cosines, sines = (wave.double()[:, index] @ self.waves).chunk(2, dim=-1)
        power = (cosines * cosines + sines * sines).float()  # [B, T, bins]
        mel = torch.log(power @ encoder.front_end.filters.T + encoder.front_end.FLOOR)  # [B, T, mels]
        patches = patchify((mel - encoder.mean) / encoder.std, c.patch_frames, c.patch_mels)
        if c.backbone != "vit":
            return encoder.backbone(patches)
        backbone: Any = encoder.backbone  # a transformer: the others are above
        x = backbone.embed(patches) + self._positions(count // c.patch_frames)
        for block in backbone.blocks:
            x = block(x)
        return backbone.norm(x)

    def _positions(self, steps: int) -> Tensor:
        """As `sincos_positions`: `[steps * bands, width]`."""
        bands = self.encoder.config.mel_patches
        time = self._axis(steps)[:, None].expand(-1, bands, -1)
        band = self._axis(bands)[None].expand(steps, -1, -1)
        return torch.cat([time, band], dim=-1).reshape(steps * bands, -1)

    def _axis(self, length: int) -> Tensor:
        angles = torch.arange(length, dtype=torch.float64)[:, None] * self.rates
        return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def write_onnx(trained: TrainedEncoder, folder: Path) -> str:
    """Write `encoder.onnx` and `README.md`.

    torch's exporter by tracing is used, which needs no further package.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        name of the .onnx file.
    """
    encoder, path = trained.encoder, folder / "encoder.onnx"
    example = torch.zeros(2, encoder.min_samples + encoder.sample_rate)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what tracing cannot follow: shapes are symbolic all the same, and checked
        torch.onnx.export(
            _Traceable(encoder, trained.readout).eval(),
            (example,),
            str(path),
            input_names=["wave"],
            output_names=["embedding"],
            dynamic_axes={"wave": {0: "batch", 1: "samples"}, "embedding": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    metadata = {
        "sample_rate": str(encoder.sample_rate),
        "min_samples": str(encoder.min_samples),
        "sonoscale": trained.hash,
        "readout": trained.readout,
        "shape": json.dumps(trained.shape),
    }
    with path.open("ab") as file:
        file.write(b"".join(_metadata(key, value) for key, value in metadata.items()))
    use = _USE.format(rate=encoder.sample_rate, shortest=encoder.min_samples, width=trained.dim)
    text = card(trained, title=f"Sonoscale encoder {trained.hash} as ONNX", use=use)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return path.name


def _metadata(key: str, value: str) -> bytes:
    """An entry of `metadata_props`, field 14 of ONNX's `ModelProto`; a protobuf message may be lengthened by fields."""
    entry = _field(1, key.encode()) + _field(2, value.encode())
    return _field(14, entry)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes in protobuf's wire format: tag, length, content."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
