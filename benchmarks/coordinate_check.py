"""Does what the layers compute change equally much at every width? `python benchmarks/coordinate_check.py`

The coordinate check of Yang et al. (arXiv 2203.03466, appendix D.1): train models of several widths for a few steps
at one learning rate, and see how far the outputs of their layers moved. Under the maximal-update parametrisation the
lines are flat; under the standard one they rise. Draws `docs/coordinate-check.png` and prints what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sonoscale.encoders import EncoderConfig, init_weights, make_backbone
from sonoscale.pretrain import TrainConfig, make_optimiser
from sonoscale.pretrain._optimiser import apply_parametrisation
from sonoscale.processes import single_threaded

PICTURE = Path(__file__).parent.parent / "docs" / "coordinate-check.png"
WIDTHS, SEEDS = (64, 128, 256, 512), (0, 1, 2)
STEPS, LR, LR_WIDTH, DEPTH = 5, 2e-3, 64, 3
BATCH, PATCHES, VISIBLE = 2, 8, 4  # few tokens: their gradients add up at any width, as in the limit of great widths
SHAPE = {"n_mels": 32, "patch_mels": 8, "patch_frames": 8, "depth": DEPTH}  # patches of 64 numbers, 4 along mel


class Reconstruction(nn.Module):
    """A backbone and a linear layer that predicts numbers for each visible patch."""

    def __init__(self, backbone: str, width: int) -> None:
        super().__init__()
        config = EncoderConfig.model_validate({**SHAPE, "backbone": backbone, "width": width})
        self.backbone = make_backbone(config)
        self.predict = nn.Linear(width, config.patch_size)
        self.predict.apply(init_weights)

    def forward(self, patches: Tensor, visible: Tensor) -> Tensor:
        """`[B, N, P]` and `[B, k]` -> `[B, k, P]`."""
        return self.predict(self.backbone(patches, visible))

    def outputs(self, patches: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """What each block and the head give."""
        layers = {f"block {i + 1}": b for i, b in enumerate(self.backbone.blocks)} | {"head": self.predict}
        found: dict[str, Tensor] = {}

        def keep(name: str):
            return lambda module, given, result: found.update({name: result})

        hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
        with torch.no_grad():
            self(patches, visible)
        for hook in hooks:
            hook.remove()
        return found


def coordinate_check(
    kind: str, backbone: str = "vit", *, widths: Sequence[int] = WIDTHS, seeds: Sequence[int] = SEEDS, lr: float = LR
) -> dict[str, np.ndarray]:
    """How far a few steps of Adam on fixed random data move the output of each layer.

    Arguments:
        kind: the parametrisation, `mup` or `standard`.
        backbone: `vit`, `conv` or `cnn`.
        widths: of the models; the learning rate holds at `LR_WIDTH`.
        seeds: of weights and data.
        lr: learning rate.

    Returns:
        `block 1` ..., `head`: float64 `[widths]`, the mean absolute change of an output coordinate over all seeds.
    """
    config = TrainConfig.model_validate({"parametrisation": kind, "lr": lr, "lr_width": LR_WIDTH})
    moved: dict[str, np.ndarray] = {}
    for i, width in enumerate(widths):
        for seed in seeds:
            torch.manual_seed(seed)
            patches, target = torch.randn(2, BATCH, PATCHES, 64).unbind()
            visible = torch.rand(BATCH, PATCHES).argsort(dim=1)[:, :VISIBLE].sort(dim=1).values
            target = target[:, :VISIBLE]
            model = Reconstruction(backbone, width)
            with torch.device("meta"):
                base = Reconstruction(backbone, LR_WIDTH)
            apply_parametrisation(model, base, kind)
            optimiser = make_optimiser(model, base, config)
            before = model.outputs(patches, visible)
            for _ in range(STEPS):
                optimiser.zero_grad()
                (model(patches, visible) - target).square().mean().backward()
                optimiser.step()
            for name, after in model.outputs(patches, visible).items():
                change = (after - before[name]).abs().mean().item()
                moved.setdefault(name, np.zeros(len(widths)))[i] += change / len(seeds)
    return moved


def slope(widths: Sequence[int], values: np.ndarray) -> float:
    """Power of the width that the values grow with, by least squares of the logarithms."""
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])


def main() -> None:
    single_threaded()
    console = Console()
    figure = Figure(figsize=(9, 9), layout="constrained")
    grid = figure.subplots(3, 2, sharex=True, sharey="row")
    for row, backbone in zip(grid, ("vit", "conv", "cnn"), strict=True):
        for axes, kind in zip(row, ("mup", "standard"), strict=True):
            found = coordinate_check(kind, backbone)
            table = Table(title=f"{backbone}, {kind}: change after {STEPS} steps of {LR:g}", title_justify="left")
            for column in ("layer", *(f"width {w}" for w in WIDTHS), "slope"):
                table.add_column(column, justify="left" if column == "layer" else "right")
            for name, values in found.items():
                power = slope(WIDTHS, values)
                table.add_row(name, *(f"{v:.4f}" for v in values), f"{power:+.2f}")
                axes.loglog(WIDTHS, values, marker="o", label=f"{name}: width^{power:+.2f}")
            console.print(table)
            axes.set_title(f"{backbone}, {kind}", loc="left")
            axes.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
            axes.xaxis.minorticks_off()
            axes.legend(frameon=False, fontsize="small")
        row[0].set_ylabel(f"mean |change| in {STEPS} steps")
    for axes in grid[-1]:
        axes.set_xlabel("width")
    figure.savefig(PICTURE, dpi=110)
    console.print(f"seeds {list(SEEDS)}, depth {DEPTH}, Adam at {LR:g} (width {LR_WIDTH}) -> {PICTURE.name}")


if __name__ == "__main__":
    main()
