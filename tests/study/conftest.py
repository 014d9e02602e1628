"""The smallest study that ends in a law, and the command that runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = """
name: tiny
data: {kind: procedural, clips: 48, heldout_clips: 64, seconds: 1.0, domains: [music, environment]}
encoder: {width: 16, depth: 1}
train: {clip_seconds: 1.0, batch_size: 16, budgets: [4, 8], warmup_steps: 2, rank_points: 2}
sweep: {encoder.width: [8, 12, 24], objective.mask_ratio: [0.5]}
seeds: [0]
law: {bootstrap: 100}
tasks:
  - {kind: procedural, name: event, train_clips: 52, valid_clips: 26, test_clips: 26}
  - {kind: procedural, name: instrument, train_clips: 30, valid_clips: 20, test_clips: 20}
"""


class Command:
    """`sonoscale` in a process of its own, with one cache for the whole test session."""

    def __init__(self, cache: Path) -> None:
        self.environment = os.environ | {"SONOSCALE_CACHE": str(cache), "COLUMNS": "160"}

    def start(self, *arguments: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "sonoscale", *map(str, arguments)],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "sonoscale", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


@pytest.fixture(scope="session")
def sonoscale(tmp_path_factory):
    return Command(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "tiny.yaml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="session")
def finished(sonoscale, tiny, tmp_path_factory):
    """An uninterrupted study: its folder and what the command printed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    result = sonoscale("study", "run", tiny, "--out", out, "--workers", 2)
    assert result.returncode == 0, result.stderr
    return out, result.stdout
