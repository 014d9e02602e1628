"""A designed sweep -> many runs -> one ledger -> laws."""

from typing import TYPE_CHECKING

from sonoscale._callable import make_callable
from sonoscale._lazy import lazy

if TYPE_CHECKING:
    from sonoscale.study._add import Added, add
    from sonoscale.study._clean import Cleaned, clean
    from sonoscale.study._config import LawConfig, StudyConfig
    from sonoscale.study._design import PlannedRun, expand
    from sonoscale.study._editor_schema import schema
    from sonoscale.study._encoders_config import EncoderEntry, EncoderStudyConfig
    from sonoscale.study._execute import Executor
    from sonoscale.study._export import Exported, export
    from sonoscale.study._given_study import EncoderStudy, ImportedStudy
    from sonoscale.study._imported import ImportedStudyConfig, import_ledger
    from sonoscale.study._init import init
    from sonoscale.study._plan import plan
    from sonoscale.study._plan_result import StudyPlan
    from sonoscale.study._quality_config import QualityConfig
    from sonoscale.study._sql import Queried, sql
    from sonoscale.study._status import RunState, Status, retry, status, stop
    from sonoscale.study._study import Study, study
    from sonoscale.study._verify import Verified, verify
    from sonoscale.study._watch import Failure, Lines, Watcher
    from sonoscale.study._worker import Attempt, Outcome, attempt

__all__ = [
    "Added",
    "Attempt",
    "Cleaned",
    "EncoderEntry",
    "EncoderStudy",
    "EncoderStudyConfig",
    "Executor",
    "Exported",
    "Failure",
    "ImportedStudy",
    "ImportedStudyConfig",
    "LawConfig",
    "Outcome",
    "QualityConfig",
    "Queried",
    "RunState",
    "Status",
    "Study",
    "StudyConfig",
    "StudyPlan",
    "Verified",
    "Watcher",
    "add",
    "attempt",
    "clean",
    "expand",
    "export",
    "import_ledger",
    "init",
    "plan",
    "retry",
    "schema",
    "sql",
    "status",
    "stop",
    "study",
    "verify",
]

__getattr__ = lazy(__name__)
make_callable(__name__)
