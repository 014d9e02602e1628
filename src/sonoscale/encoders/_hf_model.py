"""What the adapters of transformers have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonoscale.encoders._adapter import Adapter, probe_wave
from sonoscale.encoders._foreign import positive
from sonoscale.encoders._identity import identity, package_version, weights_hash
from sonoscale.errors import SonoscaleError


class HFEncoder(Adapter):
    """A model of transformers behind its own feature extractor, which normalises each clip for itself.

    A subclass says what goes into the model (`inputs`) and which of its outputs are a clip's own frames (`own`).
    `embed` is the mean of `own(last_hidden_state)`, and `embed_layers` that of each of `hidden_states`: the input of
    the first block, then the output of each. The last of these is replaced by `last_hidden_state`, which in some
    models has one more norm. Means are made in float32.

    Arguments:
        model: in eval mode, on its device.
        extractor: of features.
        spec: for messages and the identity.

    Raises:
        SonoscaleError: the model gives no hidden state `[batch, steps, dim]`.
    """

    embed_is_token_mean = True
    why_no_layers = ""  # a subclass's reason, else what the probe finds

    def __init__(self, model: Any, extractor: Any, spec: str) -> None:
        self.model, self.extractor = model, extractor
        self.sample_rate = positive(extractor.sampling_rate, "sampling_rate", spec)
        self.prepare()
        settings = json.dumps(extractor.to_dict(), sort_keys=True, default=str)
        weights = weights_hash(model, settings, json.dumps(model.config.to_dict(), sort_keys=True, default=str))
        self.identity = identity(spec, package_version("transformers"), f"weights:{weights}")
        self._probe()

    def prepare(self) -> None:
        """Set `min_samples` and `max_samples`, and what a subclass needs."""

    def inputs(self, wave: Tensor) -> dict[str, Any]:
        """Arguments of the model for waves `[batch, samples]`."""
        raise NotImplementedError

    def own(self, hidden: Tensor, samples: int) -> Tensor:
        """Outputs of the model -> float `[batch, steps, dim]`, the steps that belong to clips of `samples` samples."""
        raise NotImplementedError

    def centres(self, steps: int, samples: int) -> Tensor:
        """Centres in ms of the steps that `own` gives, `[steps]`."""
        raise NotImplementedError

    def embed(self, wave: Tensor) -> Tensor:
        return self._steps(wave).mean(dim=1)

    def embed_layers(self, wave: Tensor) -> Tensor:
        if self.layers is None:
            return super().embed_layers(wave)
        return torch.stack([steps.mean(dim=1) for steps in self._layer_steps(wave)])

    def embed_layer_tokens(self, wave: Tensor) -> Tensor:
        return torch.stack(list(self._layer_steps(wave)))

    def _layer_steps(self, wave: Tensor) -> Iterator[Tensor]:
        for hidden in self._hidden(self.forward(wave, layers=True)):
            yield self.own(hidden, wave.shape[1]).float()

    def embed_frames(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        steps = self._steps(wave)
        return steps, self.centres(steps.shape[1], wave.shape[1])

    def features(self, wave: Tensor, **options: Any) -> dict[str, Tensor]:
        """What the extractor makes of each clip, on the model's device, floats as float32."""
        clips = list(wave.cpu().numpy().astype(np.float32))
        with torch.autocast("cpu", enabled=False):
            made = self.extractor(clips, sampling_rate=self.sample_rate, return_tensors="pt", **options)
        device = next(self.model.parameters()).device
        return {k: v.to(device, torch.float32) if v.is_floating_point() else v.to(device) for k, v in made.items()}

    def forward(self, wave: Tensor, *, layers: bool = False) -> Any:
        """The model's output, with hidden states if asked for."""
        return self.model(**self.inputs(wave), output_hidden_states=layers, return_dict=True)

    def _steps(self, wave: Tensor) -> Tensor:
        return self.own(self._last(self.forward(wave)), wave.shape[1]).float()

    def _last(self, out: Any) -> Tensor:
        hidden = getattr(out, "last_hidden_state", None)
        if not isinstance(hidden, Tensor):
            raise SonoscaleError(f"{type(self.model).__name__} gives no last_hidden_state")
        return hidden

    def _hidden(self, out: Any) -> list[Tensor]:
        return [*(out.hidden_states or ())[:-1], self._last(out)]

    @torch.inference_mode()
    def _probe(self) -> None:
        """Find the width and the layers from a second of noise."""
        wave = probe_wave(self, next(self.model.parameters()).device)
        out = self.forward(wave, layers=not self.why_no_layers)
        steps = self.own(self._last(out), wave.shape[1])
        if steps.ndim != 3 or not steps.numel():
            raise SonoscaleError(f"{type(self.model).__name__} gives a hidden state of shape {list(steps.shape)}")
        self.dim = steps.shape[-1]
        if self.why_no_layers:
            return
        shapes = [list(h.shape[1:]) for h in getattr(out, "hidden_states", None) or ()]
        last = list(self._last(out).shape[1:])
        if not shapes:
            self.why_no_layers = f"{type(self.model).__name__} has no hidden_states"
        elif any(shape != last for shape in shapes):
            odd = next(shape for shape in shapes if shape != last)
            self.why_no_layers = f"its layers differ in width or length (one is {odd}, the last is {last})"
        else:
            self.layers, self.layer_tokens = len(shapes), True
