"""A folder for transformers and the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from sonoscale.export._card import card
from sonoscale.export._source import TrainedEncoder
from sonoscale.export._standalone import standalone
from sonoscale.extras import need
from sonoscale.files import write_json

_HEAD = """---
library_name: transformers
pipeline_tag: feature-extraction
tags: [audio, self-supervised, sonoscale]
# license: fill in
---

"""

_USE = """```python
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained("FOLDER", trust_remote_code=True)
model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)
inputs = extractor([clip, other], sampling_rate={rate}, return_tensors="pt")  # mono arrays, any lengths
out = model(**inputs)
out.pooler_output       # [batch, {dim}]: a clip's embedding
out.last_hidden_state   # [batch, steps, {width}]: one per {patch_ms:g} ms, 0 after a clip's own steps
```

The code in this folder needs PyTorch, NumPy and transformers. A clip's embedding does not depend on the clips beside
it: padding never counts. Log-mels and outputs are float32 whatever `dtype` the weights have. A clip shorter than
{shortest:.3f} s is refused."""


def write_hf(trained: TrainedEncoder, folder: Path) -> str:
    """Write configuration, code, weights (`model.safetensors`), `preprocessor_config.json` and the model card.

    Arguments:
        trained: what to export.
        folder: exists and is empty.

    Returns:
        `.`, the folder itself.

    Raises:
        SonoscaleError: transformers is missing.
    """
    need("transformers", what="the hf export")
    from sonoscale.export._code import configuration_sonoscale, feature_extraction_sonoscale, modeling_sonoscale

    for module in (configuration_sonoscale, feature_extraction_sonoscale, modeling_sonoscale):
        code = standalone(module)
        (folder / f"{module.__name__.rpartition('.')[2]}.py").write_text(code, encoding="utf-8")
    c, encoder = trained.encoder.config, trained.encoder
    front_end = c.front_end
    write_json(folder / "config.json", {
        "model_type": "sonoscale",
        "architectures": ["SonoscaleModel"],
        "auto_map": {
            "AutoConfig": "configuration_sonoscale.SonoscaleConfig",
            "AutoModel": "modeling_sonoscale.SonoscaleModel",
        },
        "shape": trained.shape,
        "readout": trained.readout,
        "sampling_rate": encoder.sample_rate,
        "hidden_size": encoder.dim,
        "num_hidden_layers": c.depth,
        "conv_kernel": [front_end.n_fft, c.patch_frames],
        "conv_stride": [front_end.hop, c.patch_frames],
        "dtype": "float32",
    }, indent=2)  # fmt: skip
    write_json(folder / "preprocessor_config.json", {
        "feature_extractor_type": "SonoscaleFeatureExtractor",
        "auto_map": {"AutoFeatureExtractor": "feature_extraction_sonoscale.SonoscaleFeatureExtractor"},
        "feature_size": 1,
        "sampling_rate": encoder.sample_rate,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": True,
    }, indent=2)  # fmt: skip
    weights = {f"encoder.{name}": value for name, value in trained.state.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    use = _USE.format(
        rate=encoder.sample_rate, width=encoder.dim, dim=trained.dim,
        shortest=encoder.min_samples / encoder.sample_rate,
        patch_ms=1000 * c.patch_frames * front_end.hop / encoder.sample_rate,
    )  # fmt: skip
    text = _HEAD + card(trained, title=f"Sonoscale encoder {trained.hash}", use=use)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return "."
