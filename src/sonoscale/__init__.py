"""Label-free scaling laws for audio encoders.

The verbs, each of which is imported when it is first used:

    import sonoscale as so

    so.rankme(array)                                 # effective rank of embeddings, with its interval
    so.measure(["results/runs/ab12"], "audio/")      # of any encoder on any audio
    so.pretrain("run.yaml"); so.probe("results/runs/ab12", tasks=["tasks/esc10"]); so.export("results/runs/ab12", "hf")
    so.study("study.yaml").run()                     # a designed sweep
    runs = so.read_runs("runs.csv", y="accuracy")    # a table of runs, read alike by
    so.fit(runs, x=["params"]); so.audit(runs, rank="rankme"); so.plan(runs, flops=1e19)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sonoscale.errors import SonoscaleError

if TYPE_CHECKING:
    from sonoscale.encoders import load_encoder as load_encoder
    from sonoscale.laws import compare as compare
    from sonoscale.laws import fit as fit
    from sonoscale.laws import read_runs as read_runs

__version__ = "0.1.0"

_WHERE = {
    "audit": "sonoscale.laws.audit",
    "compare": "sonoscale.laws",
    "export": "sonoscale.export",
    "fit": "sonoscale.laws",
    "load_encoder": "sonoscale.encoders",
    "measure": "sonoscale.measure",
    "plan": "sonoscale.laws.plan",
    "pretrain": "sonoscale.pretrain",
    "probe": "sonoscale.probe",
    "rankme": "sonoscale.rank",
    "read_runs": "sonoscale.laws",
    "report": "sonoscale.report",
    "runs": "sonoscale.pretrain",
    "study": "sonoscale.study",
}
"""Name -> the module that has it. A floor that is named like its verb can itself be called."""

__all__ = [
    "SonoscaleError",
    "__version__",
    "audit",
    "compare",
    "export",
    "fit",
    "load_encoder",
    "measure",
    "plan",
    "pretrain",
    "probe",
    "rankme",
    "read_runs",
    "report",
    "runs",
    "study",
]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        from sonoscale._lazy import no_attribute

        raise AttributeError(no_attribute("sonoscale", name, __all__))
    from sonoscale.extras import missing_named

    with missing_named(f"sonoscale.{name}"):
        module = importlib.import_module(_WHERE[name])
        return module if _WHERE[name] == f"sonoscale.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
