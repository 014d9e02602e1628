"""Clips per second of pre-training, beside the loop that one would write with well-known parts.

The other loop: a DataLoader that decodes files and computes librosa log-mels, `transformers.ViTMAEForPreTraining` of
the same width, depth, heads, decoder, patches and mask ratio (its images must be square, and so are the log-mels that
it is given: as many patches), AdamW, clipping. Run with `make bench`; both in turns in one process, medians.

`python benchmarks/pretrain.py --share docs/performance.md` measures something else and writes that page: operations per
second of whole steps (`training_cost` over the time, reading included), as a share of those of a float32 product
[4096, width] x [width, 4 * width] measured in turns with them, on one thread, in CPU time. `before` puts PyTorch's own
attention and depthwise convolution back in place.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader, Dataset

from sonoscale.config import validate
from sonoscale.corpora import FeatureStore, ProceduralData, build_features
from sonoscale.encoders import _conv, _vit
from sonoscale.pretrain import Batches, RunConfig, build_for_training, set_lr, training_cost
from sonoscale.pretrain._runtime import OneProcess
from sonoscale.processes import available_cores, keep_freed_memory
from sonoscale.provenance import provenance

BATCH, CLIPS = 64, 512
CONFIG = {
    "data": {"kind": "procedural", "clips": CLIPS, "heldout_clips": 64, "domains": ["music", "environment"]},
    "encoder": {
        "backbone": "vit",
        "width": 64,
        "depth": 4,
        "n_mels": 64,
        "patch_mels": 16,
        "patch_frames": 16,
        "heads": 2,
    },
    "objective": {"kind": "mae"},
    "train": {"clip_seconds": 2.0, "batch_size": BATCH, "budgets": [1000], "warmup_steps": 40},
}
# 12 x 4 patches of 16 x 16: a square image of 7 x 7 has one patch more.
SIDE = 7 * 16


class Ours:
    """Cached log-mels, and the product's own step."""

    def __init__(self, store: FeatureStore) -> None:
        self.config = validate(RunConfig, CONFIG)
        mean, std = store.statistics()
        self.objective, self.optimiser = build_for_training(self.config, mean=mean, std=std)
        self.stream = Batches(store, clips=len(store), frames=self.config.frames, batch_size=BATCH, seed=0)
        self.draws = torch.Generator().manual_seed(1)

    def read(self) -> torch.Tensor:
        """A batch of log-mels."""
        return self.stream.next()

    def step(self, frames: torch.Tensor) -> None:
        """One training step."""
        set_lr(self.optimiser, self.config.train, 100, None)
        draw = self.objective.draw(len(frames), self.draws)
        self.optimiser.zero_grad(set_to_none=True)
        with record_function("forward"):
            loss = self.objective(frames, draw)
        with record_function("backward"):
            loss.backward()
        with record_function("optimiser"):
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
            self.optimiser.step()


class Files(Dataset[torch.Tensor]):
    """Two-second crops of files as librosa log-mels, squared."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        wave, rate = soundfile.read(self.paths[index], dtype="float32")
        mel = librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=400, hop_length=160, n_mels=64, center=False)
        frames = np.log(mel + 1e-6)[:, :192]  # [64, 192], padded to as many values as a square has
        square = np.zeros(SIDE * SIDE, dtype=np.float32)
        square[: frames.size] = (frames.ravel() + 8) / 3
        return torch.from_numpy(square.reshape(1, SIDE, SIDE))


class Usual:
    """A DataLoader, ViTMAE and AdamW."""

    def __init__(self, paths: list[Path], workers: int) -> None:
        from transformers import ViTMAEConfig, ViTMAEForPreTraining

        torch.manual_seed(0)
        config = ViTMAEConfig(
            hidden_size=64, num_hidden_layers=4, num_attention_heads=2, intermediate_size=256,
            decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=1,
            decoder_intermediate_size=128, image_size=SIDE, patch_size=16, num_channels=1, mask_ratio=0.75,
            norm_pix_loss=True,
        )  # fmt: skip
        self.model = ViTMAEForPreTraining(config)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95))
        self.loader = DataLoader(
            Files(paths), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        self.batches: Iterator[torch.Tensor] = iter(())

    def read(self) -> torch.Tensor:
        """A batch of images."""
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)

    def step(self, images: torch.Tensor) -> None:
        """One training step."""
        self.optimiser.zero_grad()
        loss: Any = self.model(pixel_values=images).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()


def rate(work: Callable[[], object], steps: int) -> float:
    """Examples per second."""
    started = time.perf_counter()
    for _ in range(steps):
        work()
    return BATCH * steps / (time.perf_counter() - started)


def in_turns(found: dict[str, list[float]], works: dict[str, Callable[[], object]], steps: int) -> None:
    """Examples per second of each, from the median time of single steps that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(steps + 2):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    for name, each in seconds.items():
        found.setdefault(name, []).append(BATCH / statistics.median(each[2:]))


def shares(ours: Ours, steps: int = 20) -> dict[str, float]:
    """The time of a step by part, seconds."""
    found = dict.fromkeys(("data", "draw and rest", "forward", "backward", "optimiser"), 0.0)
    with profile(activities=[ProfilerActivity.CPU]) as reported:
        started = time.perf_counter()
        for _ in range(steps):
            before = time.perf_counter()
            frames = ours.read()
            found["data"] += time.perf_counter() - before
            ours.step(frames)
        total = time.perf_counter() - started
    for event in reported.key_averages():
        if event.key in found:
            found[event.key] = event.cpu_time_total / 1e6
    found["draw and rest"] = total - sum(found.values())
    return {name: seconds / total for name, seconds in found.items()}


ABOUT = """# How fast training is on a CPU

Written by `python benchmarks/pretrain.py --share docs/performance.md`: whole training steps (reading, drawing, forward,
backward, optimiser) of a transformer on frames of 64 mels x 4, or of the isotropic convolutional network on the same
patches, depth 4, clips of 2 s, batches of 64 (16 from width 384 on); and of the CNN that is trained by default, depth
1, patches of 16 x 16, clips of 1 s. One thread; FLOPs of `training_cost` over CPU time, as a share of what a float32
product [4096, width] x [width, 4 width] reaches, measured in turns with the steps (medians of {rounds}). *Before*:
PyTorch's own attention and depthwise convolution, which the CNN has not. Shares above 100% are those of a CPU that
multiplies bf16 twice as fast as float32."""
SHARED = (("mae", "vit"), ("latent", "vit"), ("contrastive", "vit"), ("mae", "conv"), ("contrastive", "cnn"))
SHAPES: dict[str, dict[str, Any]] = {
    "vit": {"patch_mels": 64, "patch_frames": 4, "depth": 4},
    "conv": {"patch_mels": 64, "patch_frames": 4, "depth": 4},
    "cnn": {"patch_mels": 16, "patch_frames": 16, "depth": 1},
}


class Step:
    """A step of `train_run` on the CPU, reading included, on log-mels of noise."""

    def __init__(self, kind: str, backbone: str, width: int, precision: str, *, plain: bool, batch: int) -> None:
        self.config = validate(
            RunConfig,
            {
                "data": {"kind": "procedural", "clips": CLIPS},
                "encoder": {"backbone": backbone, "width": width, **SHAPES[backbone]},
                "objective": {"kind": kind},
                "train": {"clip_seconds": 1.0 if backbone == "cnn" else 2.0, "batch_size": batch},
            },
        )
        frames = np.random.default_rng(0).standard_normal((CLIPS * 300, 64), dtype=np.float32).astype(np.float16)
        store = FeatureStore(Path(), frames, 300 * np.arange(CLIPS + 1), 0.01, 0.025, "noise")
        self.objective, self.optimiser = build_for_training(self.config, mean=0.0, std=1.0)
        self.model = OneProcess(precision).setup_module(self.objective)
        self.stream = Batches(store, clips=CLIPS, frames=self.config.frames, batch_size=batch, seed=0)
        self.draws = torch.Generator().manual_seed(1)
        self.plain = plain
        self.flops = training_cost(self.config).flops * batch

    def __call__(self) -> None:
        """One training step."""
        with as_before() if self.plain else nullcontext():
            set_lr(self.optimiser, self.config.train, 100, None)
            frames = self.stream.next()
            draw = self.objective.draw(len(frames), self.draws)
            self.optimiser.zero_grad(set_to_none=True)
            self.model(frames, draw).backward()
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
            self.optimiser.step()
            self.objective.after_step(100)


@contextmanager
def as_before() -> Iterator[None]:
    """PyTorch's attention and depthwise convolution instead of ours."""

    def attention(qkv: torch.Tensor, heads: int) -> torch.Tensor:
        q, k, v = qkv.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    ours = _vit.attend, _conv.convolve_depthwise
    _vit.attend, _conv.convolve_depthwise = attention, lambda x, conv: conv(x)
    try:
        yield
    finally:
        _vit.attend, _conv.convolve_depthwise = ours


def rates(width: int, batch: int, rounds: int) -> tuple[float, dict[tuple[str, ...], float]]:
    """Operations per second of the product and of each step, which take turns; medians, the first round left out."""
    ways = [(precision, when) for precision in ("fp32", "bf16") for when in ("before", "now")]
    steps = {
        (*each, *way): Step(*each, width, way[0], plain=way[1] == "before", batch=batch)
        for each in SHARED
        for way in ways
        if each[1] != "cnn" or way[1] == "now"
    }
    left, right = torch.randn(4096, width), torch.randn(width, 4 * width)
    found: dict[tuple[str, ...], list[float]] = {name: [] for name in steps}
    product = []
    for _ in range(rounds + 1):
        for name, step in steps.items():
            started = time.process_time()
            for _ in range(4):
                left @ right
            middle = time.process_time()
            step()
            product.append(4 * 2 * left.numel() * right.shape[1] / (middle - started))
            found[name].append(step.flops / (time.process_time() - middle))
    return statistics.median(product), {name: statistics.median(each[1:]) for name, each in found.items()}


def write_shares(page: Path, widths: list[int], rounds: int) -> None:
    """Measure all widths and write the page."""
    torch.set_num_threads(1)
    keep_freed_memory()
    lines = [
        *ABOUT.format(rounds=rounds).splitlines(),
        "",
        "| width | objective | backbone | product, GFLOP/s | fp32 before | fp32 | bf16 before | bf16 |",
        "|--:|---|---|--:|--:|--:|--:|--:|",
    ]
    for width in widths:
        product, found = rates(width, 16 if width >= 384 else BATCH, rounds)
        for each in SHARED:
            ways = [(*each, precision, when) for precision in ("fp32", "bf16") for when in ("before", "now")]
            cells = [f"{found[way] / product:.0%}" if way in found else "" for way in ways]
            lines.append(f"| {width} | {' | '.join(each)} | {product / 1e9:.0f} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        where = ", ".join(f"{name}: {value}" for name, value in provenance("torch", "numpy").items())
        page.write_text("\n".join([*lines, "", where, ""]))  # what there is so far, should it be stopped


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=Path, metavar="PAGE")
    parser.add_argument("--widths", type=int, nargs="+", default=[48, 96, 192, 384])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    arguments = parser.parse_args()
    if arguments.share:
        write_shares(arguments.share, arguments.widths, arguments.rounds)
        return
    torch.set_num_threads(available_cores())
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        corpus = validate(ProceduralData, CONFIG["data"]).training()
        config = validate(RunConfig, CONFIG)
        store = build_features(corpus, config.encoder.front_end, root / "cache", dtype="float16")
        paths = []
        for i in range(CLIPS):
            paths.append(root / f"{i}.flac")
            soundfile.write(paths[-1], corpus.wave(i), 16_000)
        ours, usual = Ours(store), {workers: Usual(paths, workers) for workers in (0, available_cores())}
        images = usual[0].read()
        frames = ours.read()
        found: dict[str, list[float]] = {}

        def add(name: str, work: Callable[[], object], steps: int) -> None:
            work()
            found.setdefault(name, []).append(rate(work, steps))

        for _ in range(arguments.rounds):
            add("ours, end to end", lambda: ours.step(ours.read()), arguments.steps)
            for workers, each in usual.items():
                add(
                    f"usual, end to end, {workers} workers",
                    lambda each=each: each.step(each.read()),
                    max(8, arguments.steps // 3),
                )
            in_turns(found, {
                "ours, step alone": lambda: ours.step(frames), "usual, step alone": lambda: usual[0].step(images),
            }, arguments.steps)  # fmt: skip
            add("ours, data alone", ours.read, arguments.steps)
        table = Table(title="clips per second, width 64, depth 4, 2 s", title_justify="left")
        table.add_column("what")
        table.add_column("median", justify="right")
        table.add_column("range", justify="right")
        for name, each in found.items():
            table.add_row(name, f"{statistics.median(each):,.0f}", f"{min(each):,.0f} to {max(each):,.0f}")
        console.print(table)

        def ratio(a: str, b: str) -> float:
            return statistics.median(x / y for x, y in zip(found[a], found[b], strict=True))

        best = max(
            (name for name in found if name.startswith("usual, end")), key=lambda name: statistics.median(found[name])
        )
        console.print(f"end to end over the usual loop ({best}): {ratio('ours, end to end', best):.2f} (target 3)")
        console.print(f"step alone over ViTMAE's: {ratio('ours, step alone', 'usual, step alone'):.2f} (target 1.3)")
        console.print(f"data alone over the step: {ratio('ours, data alone', 'ours, step alone'):.1f} (target 5)")
        reported = ", ".join(f"{name} {share:.0%}" for name, share in shares(ours).items())
        console.print(f"time of a step: {reported}")
        console.print(provenance("torch", "numpy", "scipy"))


if __name__ == "__main__":
    main()
