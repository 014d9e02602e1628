"""A synthetic finished study: invented numbers in the shape of a real sweep, every file the report reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sonoscale.report import Report, report

BUDGETS = (100, 400)
TASKS = {"esc10": ("accuracy", 0.1), "commands": ("accuracy", 0.1), "speakers": ("mAP", 0.05)}
CONFIGS = [  # label, axis, width, training clips, mask ratio
    ("base", "base", 48, 2000, 0.75),
    ("width=16", "model.width", 16, 2000, 0.75),
    ("width=96", "model.width", 96, 2000, 0.75),
    ("width=128", "model.width", 128, 2000, 0.75),
    ("clips=250", "data.clips", 48, 250, 0.75),
    ("clips=1000", "data.clips", 48, 1000, 0.75),
    ("mask_ratio=0.5", "mask.ratio", 48, 2000, 0.5),
    ("mask_ratio=0.9", "mask.ratio", 48, 2000, 0.9),
]


def spectrum(rank: float, dim: int) -> np.ndarray:
    """A decaying spectrum whose tail lengthens with `rank`."""
    return 40.0 * np.arange(1, dim + 1) ** (-20.0 / rank)


def write_run(folder: Path, rank: float, dim: int, rng: np.random.Generator) -> None:
    """The training history (a trunk and one decayed branch per budget) and the spectra of one run."""
    rows = []
    for phase, start, end in (
        ("trunk", 0, BUDGETS[-1]),
        *((f"branch-{budget}", int(budget * 0.8), budget) for budget in BUDGETS),
    ):
        for step in range(start, end + 1, 5):
            loss = 0.35 + 0.6 * np.exp(-step / 90) + 0.01 * rng.standard_normal()
            grown = rank * (0.45 + 0.45 * step / BUDGETS[-1] + 0.5 * np.exp(-step / 25))
            if phase != "trunk":
                decay = (step - start) / (end - start)
                loss, grown = loss - 0.05 * decay, grown * (1 + 0.1 * decay)
            measured = step % 50 == 0 or (phase != "trunk" and step == end)
            rows.append(
                {
                    "step": step,
                    "phase": phase,
                    "loss": loss if step else None,
                    "lr": 1e-3,
                    "rankme": grown if measured else None,
                    "rankme_centred": 1.3 * grown if measured else None,
                    "clips_seen": step * 32,
                    "flops": 1e9 * step,
                    "seconds": 0.05 * step,
                }
            )
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "metrics.parquet")
    arrays = {}
    for suffix, factor in (("", 1.0), ("_centred", 1.3)):
        arrays[f"step_0{suffix}"] = spectrum(0.6 * rank * factor, dim)
        arrays[f"step_{BUDGETS[-1]}{suffix}"] = spectrum(rank * factor, dim)
    np.savez(folder / "spectra.npz", **arrays)


def ledger_rows(seeds: int, rng: np.random.Generator) -> list[dict]:
    """One row per run, budget and task; quality grows with the logarithm of rank."""
    rows = []
    for index, (label, axis, width, clips, mask) in enumerate(CONFIGS):
        for seed in range(seeds):
            for budget in BUDGETS:
                rank = 6.0 * width**0.3 * (clips / 2000) ** 0.15 * (budget / 400) ** 0.2
                rank *= float(np.exp(0.04 * rng.standard_normal()))
                quality = 0.25 + 0.15 * np.log(rank / 6) - 0.2 * abs(mask - 0.75) + 0.01 * rng.standard_normal()
                common = {
                    "run": f"{index:04x}{seed:04x}",
                    "config": f"cfg{index:02d}",
                    "label": label,
                    "axis": axis,
                    "seed": seed,
                    "step": budget,
                    "budget_steps": budget,
                    "width": width,
                    "depth": 4,
                    "heads": 4,
                    "patch_mels": 16,
                    "patch_frames": 16,
                    "mask_ratio": mask,
                    "clip_seconds": 2.0,
                    "n_mels": 64,
                    "train_clips": clips,
                    "train_hours": clips * 2 / 3600,
                    "batch_size": 32,
                    "params": 4 * 12 * width * width + 300 * width,
                    "params_decoder": 40_000,
                    "flops_encoder": 2e7 * width * budget,
                    "flops": 6e7 * (width + 30) * budget,
                    "clips_seen": budget * 32,
                    "hours_seen": budget * 32 * 2 / 3600,
                    "seconds": 0.06 * budget,
                    "loss": 0.62 - 0.06 * np.log(budget / 100) - 0.0006 * width + 0.2 * (mask - 0.75),
                    "rankme": rank,
                    "rankme_low": 0.96 * rank,
                    "rankme_high": 1.03 * rank,
                    "rankme_centred": 1.3 * rank,
                    "rankme_centred_low": 1.25 * rank,
                    "rankme_centred_high": 1.34 * rank,
                    "rank_n": 1024,
                    "dim": width,
                    "protocol": "linear",
                    "is_final": budget == BUDGETS[-1],
                }
                for offset, (task, (metric, chance)) in enumerate(TASKS.items()):
                    score = float(np.clip(quality + 0.08 * (offset - 1) + 0.01 * rng.standard_normal(), 0, 1))
                    rows.append(common | {"task": task, "metric": metric, "score": score, "chance": chance})
    return rows


def fit_entry(x: str, form: str, points: list[tuple[float, float]], exponent: tuple[float, float, float]) -> dict:
    """A fitted law with a straight line in log x for its curve."""
    xs, ys = np.asarray(points).T
    slope, offset = np.polyfit(np.log(xs), ys, 1)
    grid = np.geomspace(xs.min(), xs.max(), 40)
    y = slope * np.log(grid) + offset + (0.02 * np.linspace(-1, 1, 40) ** 2 if form == "saturating" else 0)
    value, low, high = exponent
    return {
        "x": x,
        "y": "quality",
        "form": form,
        "formula": "y = a x^b" if form == "power" else "y = c - a x^-b",
        "latex": "y = a x^{b}",
        "params": {"a": {"value": 0.2, "low": 0.1, "high": 0.3}, "b": {"value": value, "low": low, "high": high}},
        "exponent": "b",
        "rmse": 0.0213,
        "r2": 0.871,
        "aicc": -221.4,
        "loo_rmse": 0.0257,
        "n": len(points),
        "n_clusters": len(CONFIGS),
        "warnings": ["the interval rests on 8 configurations"] if form == "saturating" else [],
        "x_range": [float(xs.min()), float(xs.max())],
        "curve": {
            "x": grid.tolist(), "y": y.tolist(), "low": (y - 0.05).tolist(), "high": (y + 0.05).tolist(),
        },
    }  # fmt: skip


def laws_of(rows: list[dict]) -> dict:
    """A `laws.json` in which the training FLOPs beat RankMe, with overlapping intervals."""
    quality: dict[tuple[str, int], list[dict]] = {}
    for row in rows:
        quality.setdefault((row["run"], row["step"]), []).append(row)

    def points(x: str) -> list[tuple[float, float]]:
        return [(group[0][x], float(np.mean([row["score"] for row in group]))) for group in quality.values()]

    alternatives = ("rankme_centred", "params", "hours_seen", "flops", "loss")
    found = {
        "rankme": (0.81, 0.62, 0.91),
        "rankme_centred": (0.8, 0.6, 0.9),
        "params": (0.55, 0.2, 0.77),
        "hours_seen": (0.44, 0.1, 0.69),
        "flops": (0.86, 0.7, 0.94),
        "loss": (-0.4, -0.7, 0.03),
    }
    return {
        "y": "quality",
        "y_meaning": "mean score of a linear probe over 3 tasks",
        "fits": [
            fit_entry("rankme", "power", points("rankme"), (0.31, 0.22, 0.4)),
            fit_entry("rankme", "saturating", points("rankme"), (0.92, 0.4, 1.6)),
            *(fit_entry(x, "power", points(x), (0.1, 0.04, 0.17)) for x in alternatives[:-1]),
        ],
        "correlations": {
            x: {"value": value, "low": low, "high": high, "n": len(quality), "n_clusters": len(CONFIGS)}
            for x, (value, low, high) in found.items()
        },
        "skipped": [{"x": "loss", "form": "power", "reason": "quality falls as loss grows"}],
        "best": {"rankme": "saturating"} | dict.fromkeys(alternatives[:-1], "power"),
        "per_task": {
            task: {x: {"value": 0.9 * v, "low": low, "high": high} for x, (v, low, high) in found.items()}
            for task in TASKS
        },
        "two_stage": {
            "rankme": {
                "verdict": "quality through rankme: an error of 0.021 against 0.019",
                "design": ["params", "train_hours"],
                "routes": {
                    "direct": {"loo_error": 0.019, "gain": None, "gain_low": None, "gain_high": None},
                    "through rank": {"loo_error": 0.021, "gain": -0.002, "gain_low": -0.004, "gain_high": 0.001},
                },
            },
            "rankme_centred": {"verdict": None, "reason": "8 configurations are too few"},
        },
        "seed_spread": {"quality": 0.0104, "rankme": 0.61},
        "notes": ["Rank was measured on 1024 clips of the held-out split in every run."],
    }


def build_study(folder: Path, *, seeds: int = 2, label: Callable[[str], str] = str) -> Path:
    """Write a finished study into `folder`; `label` rewrites the labels of the configurations."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ledger_rows(seeds, rng)
    for row in rows:
        row["label"] = label(row["label"])
        if row["task"] == "esc10" and row["is_final"]:
            write_run(folder / "runs" / row["run"], row["rankme"], row["dim"], rng)
    pq.write_table(pa.Table.from_pylist(rows), folder / "ledger.parquet")
    (folder / "laws.json").write_text(json.dumps(laws_of(rows)))
    config = {"name": "Small sweep", "description": "Width, data and mask ratio around one small encoder."}
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    provenance = {
        "command": "sonoscale study run small.yaml",
        "created": "2026-01-02T03:04:05+00:00",
        "sonoscale": "0.1.0",
        "python": "3.11.7",
        "torch": "2.9.0",
        "numpy": "2.4.0",
        "platform": "Linux-x86_64",
        "cpu": "Example CPU",
        "cores": 4,
        "seconds": 5412.3,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study of eight configurations, two seeds and two budgets, free to be damaged."""
    return build_study(tmp_path / "study")


@pytest.fixture(scope="session")
def whole_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, shared between tests that only read it."""
    return build_study(tmp_path_factory.mktemp("report") / "study")


@pytest.fixture(scope="session")
def written(whole_study: Path) -> Report:
    """The report of the shared study."""
    return report(whole_study)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Builds a study with other seeds or labels."""
    return lambda **options: build_study(tmp_path / "made", **options)
