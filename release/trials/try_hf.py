"""A transformers model from a folder."""

import transformers

from _common import sonoscale, tones

tones("clips")
config = transformers.Wav2Vec2Config(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16,) * 7,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
)  # fmt: skip
transformers.Wav2Vec2Model(config).save_pretrained("model")
transformers.Wav2Vec2FeatureExtractor().save_pretrained("model")
assert "rankme" in sonoscale("measure hf:model clips --json records.json")
print("measure hf:model")
