"""A designed sweep -> many runs -> one ledger -> laws."""

from sonoscale.study._config import LawConfig, StudyConfig
from sonoscale.study._design import PlannedRun, expand
from sonoscale.study._execute import Failure
from sonoscale.study._laws import fit_laws
from sonoscale.study._ledger import build_ledger, run_table
from sonoscale.study._prepare import RunJob, prepare
from sonoscale.study._provenance import provenance
from sonoscale.study._run import StudyOutcome, StudyWatcher, run_study

__all__ = [
    "Failure",
    "LawConfig",
    "PlannedRun",
    "RunJob",
    "StudyConfig",
    "StudyOutcome",
    "StudyWatcher",
    "build_ledger",
    "expand",
    "fit_laws",
    "prepare",
    "provenance",
    "run_study",
    "run_table",
]
