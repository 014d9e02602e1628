"""Models of transformers that hear one fixed length: the mean is over the frames of the clip alone."""

import numpy as np
import pytest
import torch

from sonoscale.encoders import load_encoder, with_readouts
from sonoscale.errors import SonoscaleError

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("seeded")
SIZE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def make_ast(save, folder, **settings):
    config = transformers.ASTConfig(
        **SIZE, max_length=100, num_mel_bins=32, patch_size=16, frequency_stride=8, time_stride=10, **settings
    )
    model = transformers.ASTModel(config)
    for name in ("cls_token", "distillation_token", "position_embeddings"):  # they start as zeros
        torch.nn.init.normal_(getattr(model.embeddings, name), std=0.3)
    extractor = transformers.ASTFeatureExtractor(max_length=100, num_mel_bins=32)
    return save(folder, model, extractor)


def test_ast_pools_the_patches_of_the_clip_alone(save, tmp_path, contract, close):
    encoder = load_encoder(make_ast(save, tmp_path))
    assert (encoder.dim, encoder.layers, encoder.min_samples, encoder.max_samples) == (24, 4, 2_800, 16_399)
    waves, found = contract(encoder, 9_000)
    model = transformers.ASTModel.from_pretrained(tmp_path).eval()
    extractor = transformers.ASTFeatureExtractor.from_pretrained(tmp_path)
    # 54 frames of 25 ms fit 9000 samples; patches of 16 frames every 10: those at 0, 10, 20, 30; 9 in max_length.
    values = extractor([w.numpy() for w in waves], sampling_rate=16_000, return_tensors="pt").input_values
    assert (values[:, 53] != values[:, 54]).all()
    assert (values[:, 54:] == values[0, 54, 0]).all()
    with torch.no_grad():
        out = model(values, output_hidden_states=True)
    own = [2 + band * 9 + time for band in range(3) for time in range(4)]
    assert out.last_hidden_state.shape == (5, 2 + 3 * 9, 24)
    close(found, out.last_hidden_state[:, own].mean(1))
    close(encoder.embed_layers(waves)[1], out.hidden_states[1][:, own].mean(1))
    for wrong in (out.last_hidden_state.mean(1), out.last_hidden_state[:, 2:].mean(1), out.pooler_output):
        assert (wrong - found).norm() > 1e-3 * found.norm()
    frames, times = encoder.embed_frames(waves)
    close(frames[:, 2], out.last_hidden_state[:, [2 + 2, 2 + 9 + 2, 2 + 18 + 2]].mean(1))
    assert times.tolist() == [(200 + (10 * i + 7.5) * 160) / 16 for i in range(4)]
    steps = out.last_hidden_state[:, own].unflatten(1, (3, 4)).mean(1)  # of 4 times, none of them padding
    spread = with_readouts(encoder, ["mean+std"]).embed(waves)
    close(spread, torch.cat([steps.mean(1), steps.std(1, correction=0)], dim=1))


def test_ast_refuses_what_it_would_cut_off_or_not_hear(save, tmp_path):
    encoder = load_encoder(make_ast(save, tmp_path))
    longest, shortest = torch.rand(1, 16_399), torch.rand(1, 2_800)
    assert encoder.embed_frames(longest)[0].shape[1] == 9
    assert encoder.embed_frames(shortest)[0].shape[1] == 1
    with pytest.raises(
        SonoscaleError, match=r"16400 samples is longer than the 16399 \(1\.025 s at 16000 Hz\).*cut it"
    ):
        encoder.embed(torch.rand(1, 16_400))
    with pytest.raises(SonoscaleError, match="2799 samples is shorter than the 2800"):
        encoder.embed(torch.rand(1, 2_799))


def make_whisper(save, folder, **settings):
    config = transformers.WhisperConfig(
        vocab_size=50, num_mel_bins=20, d_model=24, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_source_positions=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    extractor = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2, **settings)
    return save(folder, transformers.WhisperModel(config), extractor)


def test_whisper_pools_the_frames_of_the_clip_alone(save, tmp_path, contract, close):
    encoder = load_encoder(make_whisper(save, tmp_path))
    assert (encoder.dim, encoder.layers, encoder.min_samples, encoder.max_samples) == (24, 4, 1, 32_000)
    waves, found = contract(encoder, 9_000)
    model = transformers.WhisperModel.from_pretrained(tmp_path).eval().encoder
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(tmp_path)
    for wave, embedding in zip(waves, found, strict=True):
        made = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
        assert made.attention_mask.sum() == 57  # log-mel frames that begin in 9000 samples, two to a frame of the model
        with torch.no_grad():
            hidden = model(made.input_features).last_hidden_state
        assert hidden.shape == (1, 100, 24)
        close(embedding[None], hidden[:, :29].mean(1))
        assert (hidden.mean(1)[0] - embedding).norm() > 1e-2 * embedding.norm()
    assert encoder.embed_frames(waves)[1].tolist() == [20.0 * i for i in range(29)]
    assert encoder.embed_frames(torch.rand(1, 1))[0].shape[1] == 1
    assert encoder.embed_frames(torch.rand(1, 320))[0].shape[1] == 1
    assert encoder.embed_frames(torch.rand(1, 321))[0].shape[1] == 2
    assert encoder.embed_frames(torch.rand(1, 32_000))[0].shape[1] == 100
    with pytest.raises(
        SonoscaleError, match=r"longer than the 32000 \(2\.000 s at 16000 Hz\) that the encoder takes; cut"
    ):
        encoder.embed(torch.rand(1, 32_001))


def test_whisper_without_dither(save, tmp_path, contract):
    contract(load_encoder(make_whisper(save, tmp_path, dither=0.01)), 9_000)


def test_whisper_in_bf16_gets_log_mels_in_float32(save, tmp_path, close):
    spec, wave = make_whisper(save, tmp_path), 0.1 * torch.randn(2, 9_000)
    half, full = load_encoder(spec, precision="bf16"), load_encoder(spec)
    close(half.embed(wave), full.embed(wave), rtol=0.1)
    close(half.embed_layers(wave), full.embed_layers(wave), rtol=0.1)


def make_clap(save, folder, *, fused, whole=False):
    config = transformers.ClapAudioConfig(
        spec_size=64, num_mel_bins=16, window_size=4, patch_embeds_hidden_size=16, depths=[1, 1, 1],
        num_attention_heads=[2, 2, 2], enable_fusion=fused,
        num_hidden_layers=3, hidden_size=64,
    )  # fmt: skip
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, hop_length=160, max_length_s=2, fft_window_size=512, frequency_max=8_000,
        truncation="fusion" if fused else "rand_trunc", padding="repeatpad",
    )  # fmt: skip
    if not whole:
        return save(folder, transformers.ClapAudioModel(config), extractor)
    text = transformers.ClapTextConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    both = transformers.ClapConfig(text_config=text.to_dict(), audio_config=config.to_dict(), projection_dim=8)
    return save(folder, transformers.ClapModel(both), extractor)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_clap_pools_the_first_occurrence_of_the_clip(save, tmp_path, fused, whole, contract, close):
    encoder = load_encoder(make_clap(save, tmp_path, fused=fused, whole=whole))
    # 201 frames of 10 ms, stretched to 256, 16 of which are a step of the last of three stages: 16 steps of 125 ms.
    assert (encoder.dim, encoder.layers, encoder.max_samples) == (64, None, 32_000)
    assert encoder.min_samples == int(np.ceil(15 * 200 / 255 * 160))
    waves, found = contract(encoder, 13_000)
    model = (transformers.ClapModel if whole else transformers.ClapAudioModel).from_pretrained(tmp_path).eval()
    model = model.audio_model if whole else model
    extractor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path)
    kept = [k for k in range(16) if (16 * k + 15) * 200 / 255 * 0.01 <= 13_000 / 16_000]
    assert len(kept) == 6

    def by_hand(wave):
        features = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt").input_features.float()
        with torch.no_grad():
            return model(features, is_longer=torch.tensor([[False]]))

    for wave, embedding in zip(waves, found, strict=True):
        out = by_hand(wave)
        assert out.last_hidden_state.shape == (1, 64, 1, 16)
        close(embedding[None], out.last_hidden_state[:, :, 0, kept].mean(2))
        assert (out.pooler_output[0] - embedding).norm() > 1e-3 * embedding.norm()
    whole_length = 0.1 * torch.randn(1, 32_000)
    close(encoder.embed(whole_length), by_hand(whole_length[0]).pooler_output)
    assert encoder.embed_frames(waves)[1][:2].tolist() == pytest.approx([7.5 * 2000 / 255, 23.5 * 2000 / 255])
    with pytest.raises(SonoscaleError, match="longer than the 32000"):
        encoder.embed(torch.rand(1, 32_001))
    with pytest.raises(SonoscaleError, match="shorter than the 1883"):
        encoder.embed(torch.rand(1, 1_882))
    with pytest.raises(SonoscaleError, match="gives no layers: the stages of CLAP's audio tower differ in width"):
        encoder.embed_layers(waves)


def test_clap_hears_where_the_sound_is(save, tmp_path):
    """The steps that change with a click are those around its time."""
    encoder = load_encoder(make_clap(save, tmp_path, fused=False))
    quiet = 0.001 * torch.randn(1, 32_000)
    loud = quiet.clone()
    loud[0, 24_000:24_800] += 0.5 * torch.randn(800)  # 1.5 to 1.55 s
    (frames, times), (still, _) = encoder.embed_frames(loud), encoder.embed_frames(quiet)
    change = (frames - still).norm(dim=2)[0]
    assert abs(times[change.argmax()].item() - 1_525) <= 125


def test_an_extractor_that_does_not_fit_the_model(save, tmp_path):
    make_whisper(save, tmp_path)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(tmp_path)
    with pytest.raises(SonoscaleError, match="WhisperEncoder failed on noise: ValueError: Whisper expects the mel"):
        load_encoder(f"hf:{tmp_path}")
