"""`hear:module`: models that follow the API of HEAR (Holistic Evaluation of Audio Representations)."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from sonoscale.encoders._adapter import Adapter
from sonoscale.encoders._foreign import positive, ready
from sonoscale.encoders._identity import code_identity, identity, weights_identity
from sonoscale.errors import SonoscaleError
from sonoscale.own_code import attribute, import_code, one_line

API = "https://hearbenchmark.com/hear-api.html"


class HearEncoder(Adapter):
    """A module with `load_model`, `get_scene_embeddings` and `get_timestamp_embeddings` (the HEAR API).

    `embed` is the module's scene embedding and `embed_frames` its timestamp embeddings: how it pools, and what it
    pads, is the module's own affair. The API knows no layers, and demands that any length be taken, so
    `min_samples` is 1.

    Arguments:
        rest: `module` or `file.py`, and perhaps `:weights`, which `load_model` is called with.
        spec: for messages.
        device: for the model.

    Raises:
        SonoscaleError: no such module, a function or attribute of the API is missing, or loading fails.
    """

    why_no_layers = "the HEAR API has none"

    def __init__(self, rest: str, spec: str, device: torch.device) -> None:
        name, _, weights = rest.partition(":")
        module = import_code(name, spec)
        load, self._scene, self._timestamps = (
            _function(module, function, name, spec)
            for function in ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
        )
        self._model = ready(_load(load, weights, spec), device)
        if any(base.__module__.startswith("tensorflow") for base in type(self._model).__mro__):
            raise SonoscaleError(f"{spec}: load_model gave a TensorFlow model; only PyTorch models can be measured")
        self.sample_rate, self.dim, self.frame_dim = (
            positive(attribute(self._model, key, spec, where="the model that load_model gave"), key, spec)
            for key in ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")
        )
        self.identity = identity(spec, code_identity(name), weights_identity(self._model))

    def embed(self, wave: Tensor) -> Any:
        return self._scene(wave, self._model)

    def embed_frames(self, wave: Tensor) -> tuple[Any, Any]:
        return self._timestamps(wave, self._model)


def _function(module: Any, function: str, name: str, spec: str) -> Any:
    found = getattr(module, function, None)
    if not callable(found):
        raise SonoscaleError(f"{spec}: {name} has no function {function}, which the HEAR API asks for ({API})")
    return found


def _load(load: Any, weights: str, spec: str) -> Any:
    if not weights:
        try:
            inspect.signature(load).bind()
        except TypeError:
            raise SonoscaleError(f"{spec}: load_model needs the path of the weights: hear:module:weights") from None
        except ValueError:
            pass
    try:
        return load(weights) if weights else load()
    except Exception as error:
        raise SonoscaleError(f"{spec}: load_model failed: {one_line(error)}") from error
