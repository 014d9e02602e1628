"""The comparison table of `docs/what-rankme-number-is-this.md`: `make docs` writes it anew.

Every estimator on four sets of embeddings, each of 512 dimensions whose singular values fall as 1/k.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from sonoscale.provenance import provenance
from sonoscale.rank import ESTIMATORS, RankRecord, SpectralSketch, measure_all

PAGE = Path(__file__).parent.parent / "docs" / "what-rankme-number-is-this.md"
START, END = "<!-- table: begin -->", "<!-- table: end -->"
DIM, SEED, OFFSET = 512, 0, 1.0
SETS = {
    "8,192 clips": (8192, 0.0, 1.0),
    "the same, with an offset": (8192, OFFSET, 1.0),
    "512 of the clips": (512, 0.0, 1.0),
    "the same, collapsed": (8192, 0.0, 3.0),
}


def measured(n: int, offset: float, decay: float) -> dict[str, RankRecord]:
    """Every estimator on Gaussian embeddings."""
    rng = np.random.default_rng(SEED)
    basis, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
    scale = np.arange(1, DIM + 1.0)[:, None] ** -decay * basis
    sketch = SpectralSketch(DIM)
    for _ in range(n // 512):
        sketch.update(rng.standard_normal((512, DIM)) @ scale + offset)
    return {record.estimator: record for record in measure_all(sketch)[0]}


def table() -> str:
    """As Markdown."""
    columns = {name: measured(*of) for name, of in SETS.items()}
    lines = [
        f"| estimator | formula, of singular values `s` | as in | {' | '.join(columns)} |",
        f"|---|---|---|{'---:|' * len(columns)}",
    ]
    for name, estimator in ESTIMATORS.items():
        mean = {"uncentred": "", "centred": " of centred", "standardised": " of standardised"}[estimator.about]
        cells = [_cell(column.get(name)) for column in columns.values()]
        formula = f"`{estimator.formula}`{mean}" + (f", eps {estimator.eps:g}" if estimator.eps else "")
        lines.append(f"| `{name}` | {formula} | {estimator.source} | {' | '.join(cells)} |")
    facts = provenance("torch", "numpy", "scipy")
    about = ", ".join(f"{k} {facts[k]}" for k in ("sonoscale", "python", "numpy", "cpu"))
    truth = np.exp(stats.entropy(np.arange(1, DIM + 1.0) ** -1))
    caption = f"*Population without offset: RankMe {truth:.1f}. Offset {OFFSET:g}. `make docs`; seed {SEED}; {about}.*"
    return "\n".join([*lines, "", caption])


def _cell(record: RankRecord | None) -> str:
    if record is None:
        return "not defined"
    half = (record.high - record.low) / 2
    value = f"{record.value:.3g}" if abs(record.value) < 1000 else f"{record.value:.4g}"
    error = f"{half:.1g}" if half < 10 else f"{half:.0f}"
    return f"{value} ± {error}" if np.isfinite(half) else value


def main() -> None:
    text = PAGE.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    with threadpool_limits(1):
        PAGE.write_text(f"{before}{START}\n{table()}\n{END}{after}")
    print(PAGE)


if __name__ == "__main__":
    main()
