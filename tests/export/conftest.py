"""The smallest finished runs of every kind of backbone, and exports of them, each made once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sonoscale.config import validate
from sonoscale.corpora import FeatureStore
from sonoscale.encoders import load_encoder
from sonoscale.export import export as export_encoder
from sonoscale.pretrain import RunConfig, train_run

SHAPES = {
    "vit": {"backbone": "vit", "width": 32, "depth": 2},
    "frames": {"backbone": "vit", "width": 16, "depth": 1, "patch_mels": 64, "patch_frames": 4},
    "conv": {"backbone": "conv", "width": 16, "depth": 1, "kernel": 3},
    "cnn": {"backbone": "cnn", "width": 32, "depth": 1},
}


def make_store(folder, clips, seed):
    """Log-mels of noise with a slope of its own in each clip."""
    rng = np.random.default_rng(seed)
    frames, mels = np.arange(60)[:, None], np.arange(64)
    rows = [
        -8 + np.sin(frames * rng.uniform(0.1, 1) + mels * rng.uniform(0.1, 1)) + 0.1 * rng.standard_normal((60, 64))
        for _ in range(clips)
    ]
    offsets = 60 * np.arange(clips + 1)
    return FeatureStore(folder, np.concatenate(rows).astype(np.float32), offsets, 0.01, 0.025, f"noise-{seed}")


def sounds(count, samples, seed=0):
    """Unlike clips at 16 kHz, tones in noise, loud and soft: float32 `[count, samples]`."""
    generator = torch.Generator().manual_seed(seed + samples)
    hertz = torch.rand(count, 1, generator=generator) * 4000 + 100
    level = 0.5 * 0.3 ** torch.arange(count)[:, None]
    return level * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 16_000) + 0.01 * torch.randn(
        count, samples, generator=generator
    )


@pytest.fixture(scope="session")
def clips():
    """`clips(count, samples)`: unlike clips of one length."""
    return sounds


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run folder of 4 steps for each backbone, and an encoder that none of them is like."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    train, heldout = make_store(root / "log-mels" / "train", 24, 0), make_store(root / "log-mels" / "heldout", 32, 1)
    for name, shape in SHAPES.items():
        settings = {
            "data": {"kind": "folder", "root": "/home/somebody/sounds"} if name == "vit" else {"kind": "procedural"},
            "encoder": shape,
            "objective": {"kind": "mae"},
            "train": {"clip_seconds": 0.5, "batch_size": 8, "budgets": [2, 4], "warmup_steps": 1, "rank_points": 2},
        }
        config = validate(RunConfig, settings)
        train_run(config, train, heldout, root / name, identity={})
    return {name: root / name for name in SHAPES}


@pytest.fixture(scope="session")
def ours(runs):
    """`ours(name)`: the encoder of a run."""
    return lambda name: load_encoder(runs[name])


@pytest.fixture(scope="session")
def export(runs, tmp_path_factory):
    """`export(name, format)`: that export of that run."""
    root, made = tmp_path_factory.mktemp("exports"), {}

    def get(name, to):
        if (name, to) not in made:
            made[name, to] = export_encoder(runs[name], to, root / f"{name}-{to}")
        return made[name, to]

    return get


@pytest.fixture(scope="session", autouse=True)
def modules_cache(tmp_path_factory):
    """transformers keeps the code of models there, and not in the user's home."""
    try:
        import transformers.dynamic_module_utils  # noqa: F401
    except ImportError:
        yield None
        return
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("dynamic_module_utils", "utils.hub", "utils"):
            patch.setattr(f"transformers.{module}.HF_MODULES_CACHE", str(folder), raising=False)
        yield folder


def assert_same(found, expected, tolerance=1e-5):
    """No number differs by more than the tolerance, in embeddings that differ from one another by far more."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance
    if len(expected) > 1:
        assert torch.pdist(expected.flatten(1).double()).min() > 1000 * tolerance


@pytest.fixture(scope="session")
def same():
    return assert_same
