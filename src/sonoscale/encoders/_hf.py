"""`hf:owner/name` or `hf:/folder`: audio models of transformers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sonoscale.encoders._foreign import query, ready
from sonoscale.encoders._hf_model import HFEncoder
from sonoscale.encoders._hf_spectrogram import ASTEncoder, ClapEncoder, WhisperEncoder
from sonoscale.encoders._hf_wave import EncodecEncoder, GenericEncoder
from sonoscale.errors import SonoscaleError
from sonoscale.extras import need
from sonoscale.own_code import one_line

KINDS: dict[str, type[HFEncoder]] = {
    "audio-spectrogram-transformer": ASTEncoder,
    "clap": ClapEncoder,
    "clap_audio_model": ClapEncoder,
    "encodec": EncodecEncoder,
    "whisper": WhisperEncoder,
}  # by `config.model_type`; any other model is a GenericEncoder
TRAINING_ONLY = ("masked_spec_embed",)  # weights that a checkpoint may lack: they are used in pre-training alone


def load_hf(rest: str, spec: str, device: torch.device) -> HFEncoder:
    """Load a model and its feature extractor as `AutoModel` and `AutoFeatureExtractor` do, in float32.

    Of a model with several parts the audio encoder is taken: Whisper's encoder, CLAP's audio tower. Code that comes
    with a model is run only if `?trust_remote_code=true` is written behind it.

    Arguments:
        rest: `owner/name`, `owner/name@revision`, or a folder written by `save_pretrained`; and perhaps the setting.
        spec: for messages.
        device: for the model.

    Raises:
        SonoscaleError: transformers is missing; no such model, or no feature extractor beside it; the checkpoint
            lacks weights (they would be random); or the model does not take audio or give hidden states.
    """
    transformers: Any = need("transformers", what=spec)
    source, options = _source(rest, spec)
    with _quiet(transformers):
        config = _pretrained(transformers.AutoConfig, "configuration", source, options, spec)
        _check_layers(config.to_dict(), spec)
        extractor = _pretrained(transformers.AutoFeatureExtractor, "feature extractor", source, options, spec)
        if not hasattr(extractor, "sampling_rate"):
            raise SonoscaleError(f"{spec}: {type(extractor).__name__} extracts no features of audio")
        # AutoModel knows CLAP as a whole, but not its audio tower saved by itself.
        auto = transformers.ClapAudioModel if config.model_type == "clap_audio_model" else transformers.AutoModel
        model, info = _pretrained(auto, "model", source, options, spec, output_loading_info=True)
    part = _audio_part(model)
    missing = sorted(_missing(info["missing_keys"], model, part))
    if missing:
        raise SonoscaleError(
            f"{spec}: the checkpoint lacks {len(missing)} weights that would be random, {missing[0]} among them; "
            "save the whole model"
        )
    if getattr(part, "main_input_name", None) not in ("input_values", "input_features"):
        raise SonoscaleError(
            f"{spec}: {type(part).__name__} takes {getattr(part, 'main_input_name', 'something else')}, not audio "
            "(input_values or input_features)"
        )
    kind = KINDS.get(model.config.model_type, GenericEncoder)
    part = ready(part.float(), device)
    try:
        return kind(part, extractor, spec)
    except SonoscaleError as error:
        raise SonoscaleError(f"{spec}: {error}") from error
    except Exception as error:
        raise SonoscaleError(f"{spec}: {type(part).__name__} failed on noise: {one_line(error)}") from error


def _source(rest: str, spec: str) -> tuple[str, dict[str, Any]]:
    """Where to load from, and the options for `from_pretrained`."""
    rest, settings = query(rest, spec, {"trust_remote_code"})
    trust = settings.get("trust_remote_code", "false")
    if trust not in ("true", "false"):
        raise SonoscaleError(f"{spec}: trust_remote_code = {trust} is neither true nor false")
    options: dict[str, Any] = {"trust_remote_code": trust == "true"}
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        return str(folder), {**options, "local_files_only": True}
    if not rest or rest.startswith(("/", ".", "~")):
        raise SonoscaleError(f"{spec}: no such folder; write hf:owner/name, or hf: and a folder of save_pretrained")
    name, at, revision = rest.partition("@")
    if at and not revision:
        raise SonoscaleError(f"{spec}: no revision behind the @")
    return name, {**options, "revision": revision} if at else options


def _pretrained(auto: Any, what: str, source: str, options: dict[str, Any], spec: str, **more: Any) -> Any:
    try:
        return auto.from_pretrained(source, **options, **more)
    except Exception as error:  # not there, no network, a broken file, a type that is not known, ...
        hint = ""
        if "trust_remote_code" in str(error):
            hint = "; to run the code that comes with it, write ?trust_remote_code=true behind its name"
        elif not options.get("local_files_only"):
            hint = "; is it on the hub, and is there a network?"
        elif what == "feature extractor":
            hint = "; save it beside the model with feature_extractor.save_pretrained"
        raise SonoscaleError(f"{spec}: cannot load the {what}: {one_line(error)}{hint}") from error


MOST_LAYERS = 4096
"""Of a part of a model; one that promises more would be built for ever."""


def _check_layers(config: Any, spec: str) -> None:
    """Refuse more layers than any model has, before each of them is built."""
    for key, value in config.items():
        if isinstance(value, dict):
            _check_layers(value, spec)
        elif _LAYERS.search(str(key)):
            for count in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(count, int) and count > MOST_LAYERS:
                    raise SonoscaleError(f"{spec}: config.json: {key} = {count}: must be at most {MOST_LAYERS}")


_LAYERS = re.compile(r"(layers?|blocks?|depths?|stages?)$")


def _audio_part(model: Any) -> Any:
    """The part of a model that encodes audio."""
    if model.config.model_type == "clap":
        return model.audio_model
    if model.config.model_type != "encodec" and getattr(model.config, "is_encoder_decoder", False):
        return model.get_encoder()
    return model


def _missing(keys: Any, model: Any, part: Any) -> Iterator[str]:
    """The keys that the checkpoint lacks and that the audio part needs."""
    names = {id(module): name for name, module in model.named_modules()}
    prefix = names.get(id(part), "")
    for key in keys:
        if key.startswith(prefix) and not key.endswith(TRAINING_ONLY):
            yield key


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the progress bars and reports of loading: what matters in them is an error here."""
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
