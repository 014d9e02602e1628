"""The table of `docs/accounting.md`, formulas against torch's own counter: `make docs` writes it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonoscale.config import validate
from sonoscale.pretrain import RunConfig, count_operations, training_cost
from sonoscale.provenance import provenance

PAGE = Path(__file__).parent.parent / "docs" / "accounting.md"
START, END = "<!-- table: begin -->", "<!-- table: end -->"
BATCH = 4
BACKBONES: dict[str, dict[str, Any]] = {
    "ViT, patches of 16 x 16": {"backbone": "vit"},
    "ViT, frames (64 mels x 4)": {"backbone": "vit", "n_mels": 64, "patch_mels": 64, "patch_frames": 4},
    "ConvNeXt": {"backbone": "conv"},
    "CNN": {"backbone": "cnn"},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "mae": {"kind": "mae"},
    "latent, teacher sees all": {"kind": "latent"},
    "latent, teacher sees the hidden": {"kind": "latent", "teacher_sees": "hidden"},
    "contrastive": {"kind": "contrastive"},
}


def table() -> str:
    """As Markdown."""
    lines = [
        "| backbone | objective | width | encoder | decoder | teacher | head | formula | counted | difference | 6ND |",
        "|---|---|" + "---:|" * 9,
    ]
    for name, backbone in BACKBONES.items():
        for words, objective in OBJECTIVES.items():
            for width in (64, 384):
                config = validate(
                    RunConfig,
                    {
                        "encoder": {**backbone, "width": width, "depth": 4},
                        "objective": objective,
                        "train": {"clip_seconds": 2.0, "batch_size": BATCH},
                    },
                )
                cost, counted = training_cost(config), count_operations(config).training
                rule = 6 * cost.params_encoder * config.patches
                parts = (cost.flops_encoder, cost.flops_decoder, cost.flops_teacher, cost.flops_head)
                cells = [f"{part / 1e6:.2f}" if part else "" for part in parts]
                cells += [f"{cost.flops / 1e6:.2f}", f"{counted / 1e6:.2f}", f"{cost.flops / counted - 1:.0e}"]
                lines.append(f"| {name} | {words} | {width} | {' | '.join(cells)} | {rule / cost.flops:.2f} |")
    facts = provenance("torch", "numpy", "scipy")
    about = ", ".join(f"{k} {facts[k]}" for k in ("sonoscale", "python", "torch"))
    return "\n".join([*lines, "", f"*`make docs`; {about}.*"])


def main() -> None:
    """Write the table into the page."""
    page = PAGE.read_text()
    before, rest = page.split(START)
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
