"""A model of audio for MTEB (https://github.com/embeddings-benchmark/mteb)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonoscale.encoders import AudioEncoder, EncoderConfig, pool_dim
from sonoscale.export._code.steps import at_least_one_patch, embedding_of

try:
    from mteb.models import ModelMeta  # pyright: ignore[reportMissingImports]
    from mteb.models.abs_encoder import AbsEncoder  # pyright: ignore[reportMissingImports]
except ImportError:  # without MTEB there is still `encode`
    AbsEncoder, ModelMeta = object, None

CONFIG: dict[str, Any] = {}  # shape of the encoder
WEIGHTS = ""  # name of the file beside this one
HASH = ""  # of the weights
READOUT = "mean"  # what a clip's embedding is


class SonoscaleMteb(AbsEncoder):  # pyright: ignore[reportGeneralTypeIssues]
    """The encoder, in eval mode.

    Arguments:
        model_name, revision: as MTEB passes them; there is one model and one revision here.
        device: where it runs.
        more: not used.
    """

    def __init__(
        self, model_name: str | None = None, revision: str | None = None, *, device: str | None = None, **more: Any
    ) -> None:
        self.device = torch.device(device or "cpu")
        self.network = AudioEncoder(EncoderConfig(**CONFIG))
        weights = Path(__file__).with_name(WEIGHTS)
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.network.eval().to(self.device)
        self.dim = pool_dim(self.network.dim, self.network.config.mel_patches, READOUT)

    def encode(self, inputs: Iterable[Mapping[str, Any]], **more: Any) -> np.ndarray:
        """Batches of MTEB -> float32 `[clips, dim]`, in their order.

        Clips of other rates are resampled (which needs soxr), channels are averaged; a clip shorter than one patch is
        followed by silence, one of more than 30 s is taken in pieces of 30 s.

        Arguments:
            inputs: mappings whose `audio` is a list of `{"array": [samples] or [channels, samples], "sampling_rate":
                Hz}`.
            more: what else MTEB passes; not used.
        """
        found: list[np.ndarray] = []
        for batch in inputs:
            waves = [self._wave(item) for item in batch["audio"]]
            rows = np.zeros((len(waves), self.dim), np.float32)
            for length in sorted({len(wave) for wave in waves}):  # clips of one length together: nothing is padded
                same = [i for i, wave in enumerate(waves) if len(wave) == length]
                rows[same] = self._embed(np.stack([waves[i] for i in same]))
            found.append(rows)
        return np.concatenate(found) if found else np.zeros((0, self.dim), np.float32)

    @torch.no_grad()
    def _embed(self, waves: np.ndarray) -> np.ndarray:
        wave = at_least_one_patch(self.network, torch.from_numpy(waves).to(self.device))
        return embedding_of(self.network, wave, READOUT).cpu().numpy()

    def _wave(self, item: Any) -> np.ndarray:
        wave, rate = np.asarray(item["array"], dtype=np.float32), int(item["sampling_rate"])
        if wave.ndim == 2:
            wave = wave.mean(axis=0)
        if wave.ndim != 1:
            raise ValueError(f"a clip must be [samples] or [channels, samples], not {list(wave.shape)}")
        if rate != self.network.sample_rate:
            try:
                import soxr
            except ImportError as error:
                raise ImportError(f"a clip at {rate} Hz must be resampled: pip install soxr") from error
            wave = np.asarray(soxr.resample(wave, rate, self.network.sample_rate, quality="HQ"), dtype=np.float32)
        return np.ascontiguousarray(wave)


def load_model(device: str | None = None) -> SonoscaleMteb:
    """The model with its metadata, for `mteb.evaluate(load_model(), tasks)`.

    Raises:
        ImportError: MTEB is not installed.
    """
    if ModelMeta is None:
        raise ImportError("mteb cannot be imported: pip install mteb")
    model = SonoscaleMteb(device=device)
    parameters = sum(p.numel() for p in model.network.parameters())
    model.mteb_model_meta = ModelMeta(
        loader=SonoscaleMteb,
        name=f"sonoscale/{HASH}",
        revision=HASH,
        release_date=None,
        languages=None,
        n_parameters=parameters,
        memory_usage_mb=parameters * 4 / 2**20,
        max_tokens=None,
        embed_dim=model.dim,
        license=None,  # whoever publishes the model fills it in
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,  # not known to MTEB by name
        modalities=["audio"],
    )
    return model
