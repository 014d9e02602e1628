"""The smallest runs, on log-mels that no audio stands behind, stopped wherever a test wants."""

import numpy as np
import pytest
import torch

from sonoscale.config import validate
from sonoscale.corpora import FeatureStore
from sonoscale.digests import write_sealed
from sonoscale.files import digest
from sonoscale.pretrain import RunConfig, train_run


class Killed(BaseException):
    """In place of SIGKILL: nobody catches it, and nothing is tidied up."""


def make_store(folder, clips, seed):
    """Noise with a slope of its own in each clip, as files, opened."""
    rng = np.random.default_rng(seed)
    frames, mels = np.arange(60)[:, None], np.arange(64)
    rows = [
        -8 + np.sin(frames * rng.uniform(0.1, 1) + mels * rng.uniform(0.1, 1)) + 0.1 * rng.standard_normal((60, 64))
        for _ in range(clips)
    ]
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", np.concatenate(rows).astype(np.float32))
    np.save(folder / "offsets.npy", 60 * np.arange(clips + 1))
    files = {name: digest(folder / name) for name in ("frames.npy", "offsets.npy")}
    write_sealed(
        folder / "meta.json",
        {"hop_seconds": 0.01, "window_seconds": 0.025, "corpus": f"noise-{seed}", "files": files},
    )
    return FeatureStore.open(folder)


@pytest.fixture(scope="session")
def killed():
    """What a run that is stopped by `train_tiny` raises."""
    return Killed


@pytest.fixture(scope="session")
def make_log_mels():
    """`make_log_mels(folder)`: stores to train on and to measure on."""

    def make(folder):
        return make_store(folder / "train", 24, 0), make_store(folder / "heldout", 32, 1)

    return make


@pytest.fixture(scope="session")
def train_tiny(make_log_mels, tmp_path_factory):
    """`train_tiny(folder)`: 6 steps, 5 on the trunk; steps that were done, as they are reported.

    `until=n` kills the run at step n, after the state of step n - 1 was kept. Other keys are those of `train`.
    """
    stores = make_log_mels(tmp_path_factory.mktemp("log-mels"))

    def train(folder, *, until=None, log_mels=None, at_step=None, fabric=None, restart=False, **keys):
        torch.set_num_threads(1)
        config = validate(
            RunConfig,
            {
                "encoder": {"backbone": "vit", "width": 16, "depth": 1},
                "objective": {"kind": "mae"},
                "train": {
                    "clip_seconds": 0.5, "batch_size": 8, "budgets": [6], "warmup_steps": 1, "rank_points": 2,
                    "checkpoint_minutes": 0, **keys,
                },
            },
        )  # fmt: skip
        steps = []

        def progress(done, total, loss):
            steps.append(done)
            if at_step:
                at_step(done)
            if until is not None and done >= until:
                raise Killed

        clips, heldout = log_mels or stores
        train_run(config, clips, heldout, folder, identity={}, fabric=fabric, restart=restart, progress=progress)
        return steps

    return train
