"""A designed sweep -> many runs -> one ledger -> laws."""

from typing import TYPE_CHECKING, Any

from sonoscale._callable import make_callable
from sonoscale.study._config import LawConfig, StudyConfig
from sonoscale.study._design import PlannedRun, expand
from sonoscale.study._study import Study, study
from sonoscale.study._watch import Failure, Lines, Watcher

if TYPE_CHECKING:
    from sonoscale.study._laws import fit_laws as fit_laws

__all__ = ["Failure", "LawConfig", "Lines", "PlannedRun", "Study", "StudyConfig", "Watcher", "expand", "study"]


def __getattr__(name: str) -> Any:
    if name == "fit_laws":  # needs SciPy
        from sonoscale.study._laws import fit_laws

        return fit_laws
    raise AttributeError(f"module 'sonoscale.study' has no attribute {name!r}")


make_callable(__name__)
