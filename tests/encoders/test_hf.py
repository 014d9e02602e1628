"""Models of transformers, saved with random weights and loaded as any checkpoint is."""

import json
import sys

import pytest
import torch

from sonoscale.encoders import load_encoder
from sonoscale.errors import SonoscaleError

transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file  # noqa: E402

CONV = {"conv_dim": (16, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 8, 4), "num_feat_extract_layers": 3}
SIZE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
pytestmark = pytest.mark.usefixtures("seeded")
POSITIONS = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}


def make_wave_model(save, folder, kind, **settings):
    config = getattr(transformers, f"{kind}Config")(**SIZE, **CONV, **{**POSITIONS, **settings})
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    return save(folder, getattr(transformers, f"{kind}Model")(config), extractor)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Wav2Vec2", {}),
        ("Wav2Vec2", {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
        ("Hubert", {}),
        ("WavLM", {}),
        ("Data2VecAudio", {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}),
        ("UniSpeechSat", {}),
    ],
)
def test_wave_models(save, tmp_path, kind, settings, contract, close):
    encoder = load_encoder(make_wave_model(save, tmp_path, kind, **settings))
    assert (encoder.sample_rate, encoder.dim, encoder.layers) == (16_000, 24, 4)
    waves, found = contract(encoder, 9_000)
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    for wave, embedding in zip(waves, found, strict=True):
        values = (wave - wave.mean()) / (wave.var(unbiased=False) + 1e-7).sqrt()  # `do_normalize`, of each clip
        given = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        torch.testing.assert_close(given[0], values, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            out = model(given, output_hidden_states=True)
        close(embedding[None], out.last_hidden_state.mean(1))
        layers = encoder.embed_layers(wave[None])
        for layer, hidden in zip(layers[:-1], out.hidden_states[:-1], strict=True):
            close(layer, hidden.mean(1))
    frames, times = encoder.embed_frames(waves)
    close(frames.mean(1), found)
    # A field of 10 + 7 * 5 + 3 * 40 samples, a hop of 160.
    assert times[:2].tolist() == pytest.approx([164 / 2 / 16, 164 / 2 / 16 + 10])


def test_the_shortest_clip_of_a_wave_model(save, tmp_path):
    encoder = load_encoder(make_wave_model(save, tmp_path, "Wav2Vec2"))
    assert encoder.min_samples == 165
    wave = torch.rand(1, 165, generator=torch.Generator().manual_seed(0))
    assert encoder.embed_frames(wave)[0].shape == (1, 1, 24)
    with pytest.raises(SonoscaleError, match="164 samples is shorter than the 165"):
        encoder.embed(wave[:, :164])


def test_an_adapter_behind_the_layers(save, tmp_path, contract):
    spec = make_wave_model(save, tmp_path, "Wav2Vec2", add_adapter=True, output_hidden_size=12, num_adapter_layers=1)
    encoder = load_encoder(spec)
    assert encoder.dim == 12
    contract(encoder, 9_000)
    with pytest.raises(SonoscaleError, match="gives no layers: its layers differ in width or length"):
        encoder.embed_layers(torch.rand(1, 9_000))
    with pytest.raises(SonoscaleError, match=r"no layer 1: .* differ in width"):
        load_encoder(spec, layer=1)


def test_a_layer_and_bf16(save, tmp_path, close):
    spec = make_wave_model(save, tmp_path, "Hubert")
    wave = 0.1 * torch.randn(2, 5_000)
    every = load_encoder(spec).embed_layers(wave)
    close(load_encoder(spec, layer=2).embed(wave), every[2])
    half = load_encoder(spec, precision="bf16").embed(wave)
    close(half, every[-1], rtol=0.1)
    assert not torch.equal(half, half.bfloat16().float())  # pooled in float32


def make_encodec(save, folder, **settings):
    config = transformers.EncodecConfig(
        num_filters=4, hidden_size=20, upsampling_ratios=[5, 4, 2], num_lstm_layers=1, codebook_size=16, **settings
    )
    channels = config.audio_channels
    extractor = transformers.EncodecFeatureExtractor(
        feature_size=channels, sampling_rate=config.sampling_rate, chunk_length_s=config.chunk_length_s,
        overlap=config.overlap,
    )  # fmt: skip
    return save(folder, transformers.EncodecModel(config), extractor, scale=1.5)


def test_encodec(save, tmp_path, contract, close):
    encoder = load_encoder(make_encodec(save, tmp_path))
    assert (encoder.sample_rate, encoder.dim, encoder.layers, encoder.min_samples) == (24_000, 20, None, 40)
    waves, found = contract(encoder, 9_010)
    model = transformers.EncodecModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        latents = torch.cat([model.encoder(w[None, None]) for w in waves])
    assert latents.shape == (5, 20, 226)  # the last frame has 10 samples
    close(found, latents.mean(2))
    frames, times = encoder.embed_frames(waves)
    close(frames, latents.transpose(1, 2))
    assert times[:2].tolist() == pytest.approx([20 / 24, 60 / 24])
    with pytest.raises(SonoscaleError, match="the convolutions of EnCodec differ in width"):
        encoder.embed_layers(waves)


def test_encodec_in_stereo_and_in_chunks_that_overlap(save, tmp_path, contract, close):
    settings = {"audio_channels": 2, "normalize": True, "chunk_length_s": 0.1, "overlap": 0.1, "use_causal_conv": False}
    spec = make_encodec(save, tmp_path, norm_type="time_group_norm", target_bandwidths=[3.0], **settings)
    encoder = load_encoder(spec)
    waves, found = contract(encoder, 6_000)
    model = transformers.EncodecModel.from_pretrained(tmp_path).eval()
    # Chunks of 2400 samples every 2160: at 0, 2160 and 4320; of the first two the frames of 2160 samples, 54 of 60.
    parts = []
    for start in (0, 2_160, 4_320):
        piece = waves[:, start : start + 2_400]
        piece = piece / piece.square().mean(1, keepdim=True).sqrt()
        with torch.no_grad():
            parts.append(model.encoder(torch.stack([piece, piece], dim=1)))
    assert [part.shape[2] for part in parts] == [60, 60, 42]
    expected = torch.cat([parts[0][..., :54], parts[1][..., :54], parts[2]], dim=2)
    close(found, expected.mean(2), rtol=1e-4)
    times = encoder.embed_frames(waves)[1]
    assert times.tolist() == pytest.approx([(20 + 40 * i) / 24 for i in range(150)])
    assert encoder.embed_frames(waves[:, :2_400])[0].shape[1] == 60  # one chunk, none of its end twice


def test_a_model_with_features_and_a_mask(save, tmp_path, contract, close):
    config = transformers.Wav2Vec2BertConfig(
        **SIZE, feature_projection_input_dim=160, conv_depthwise_kernel_size=5, output_hidden_size=24
    )
    extractor = transformers.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, stride=2)
    encoder = load_encoder(save(tmp_path, transformers.Wav2Vec2BertModel(config), extractor, scale=2.0))
    model = transformers.Wav2Vec2BertModel.from_pretrained(tmp_path).eval()
    for samples in (9_000, 9_160):  # 54 and 55 frames, in pairs
        waves, found = contract(encoder, samples)
        for wave, embedding in zip(waves, found, strict=True):
            made = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt")
            with torch.no_grad():
                hidden = model(**made).last_hidden_state[0, made.attention_mask[0].bool()]
            close(embedding[None], hidden.mean(0)[None], rtol=1e-4)


def test_the_encoder_of_a_model_with_a_decoder(save, tmp_path, contract, close):
    config = transformers.MoonshineConfig(
        vocab_size=50, hidden_size=24, intermediate_size=32, encoder_num_hidden_layers=2, decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2, decoder_num_attention_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=False)
    encoder = load_encoder(save(tmp_path, transformers.MoonshineModel(config), extractor, scale=1.5))
    waves, found = contract(encoder, 9_000)
    model = transformers.MoonshineModel.from_pretrained(tmp_path).eval().encoder
    with torch.no_grad():
        close(found, torch.cat([model(w[None]).last_hidden_state.mean(1) for w in waves]))


def test_identity_follows_weights_and_settings(save, tmp_path):
    spec = make_wave_model(save, tmp_path, "Wav2Vec2")
    first = load_encoder(spec).identity
    assert first.startswith(f"{spec} transformers==")
    assert load_encoder(spec).identity == first
    file = tmp_path / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "do_normalize": False}))
    second = load_encoder(spec).identity
    weights = load_file(tmp_path / "model.safetensors")
    next(iter(weights.values())).flatten()[0] += 0.5
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert len({first, second, load_encoder(spec).identity}) == 3


def test_weights_that_the_checkpoint_lacks_are_not_made_up(save, tmp_path):
    spec = make_wave_model(save, tmp_path, "Hubert")
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.1.attention.k_proj.weight"))
    save_file({k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(SonoscaleError, match=f"lacks 1 weights that would be random, {gone} among them"):
        load_encoder(spec)


def test_a_head_behind_the_model_does_no_harm(save, tmp_path, close):
    config = transformers.Wav2Vec2Config(**SIZE, **CONV, **POSITIONS, vocab_size=20, mask_time_prob=0.0)
    model = transformers.Wav2Vec2ForCTC(config).eval()
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    wave = 0.1 * torch.randn(2, 5_000)
    with torch.no_grad():
        close(load_encoder(f"hf:{tmp_path}").embed(wave), model.wav2vec2(wave).last_hidden_state.mean(1))


def test_half_precision_checkpoints_run_in_float32(save, tmp_path):
    config = transformers.HubertConfig(**SIZE, **CONV, **POSITIONS)
    transformers.HubertModel(config).half().save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    assert torch.isfinite(load_encoder(f"hf:{tmp_path}").embed(torch.rand(1, 5_000))).all()


def test_what_is_no_audio_model(save, tmp_path):
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(
        SonoscaleError, match=r"cannot load the feature extractor: .*; save it beside the model"
    ) as error:
        load_encoder(f"hf:{tmp_path}")
    assert "\n" not in str(error.value)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(SonoscaleError, match="BertModel takes input_ids, not audio"):
        load_encoder(f"hf:{tmp_path}")
    with pytest.raises(SonoscaleError, match="no such folder; write hf:owner/name"):
        load_encoder(f"hf:{tmp_path}/gone")
    with pytest.raises(SonoscaleError, match="no revision behind the @"):
        load_encoder("hf:owner/name@")


def test_without_transformers(save, tmp_path, monkeypatch):
    spec = make_wave_model(save, tmp_path, "Hubert")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SonoscaleError, match=r"pip install 'sonoscale\[hf\]'"):
        load_encoder(spec)


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_adapter_layers", "tdnn_layers"])
def test_a_configuration_that_promises_more_layers_than_anybody_has_is_refused_before_they_are_built(
    save, tmp_path, key
):
    spec = make_wave_model(save, tmp_path, "Wav2Vec2")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: 2**31}))
    with pytest.raises(SonoscaleError, match=rf"config\.json: {key} = 2147483648: must be at most 4096"):
        load_encoder(spec)
