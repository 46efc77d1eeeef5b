from .plan import Criterion, EvaluationPlan, Judging, Relabel, SplitBy, ValidationPlan
from .relabel import Relabelled
from .report import OfflineReport
from .rows import OfflineRows, opened_rows, refuse_archive, refuse_no_rows, rows_of_run
from .run import OfflinePlan, OfflineResult, check_snapshot, run_offline
from .training import OfflineTraining, offline_training, relabelled, run_offline_training

__all__ = [
    "Criterion",
    "EvaluationPlan",
    "Judging",
    "OfflinePlan",
    "OfflineReport",
    "OfflineResult",
    "OfflineRows",
    "OfflineTraining",
    "Relabel",
    "Relabelled",
    "SplitBy",
    "ValidationPlan",
    "check_snapshot",
    "offline_training",
    "opened_rows",
    "refuse_archive",
    "refuse_no_rows",
    "relabelled",
    "rows_of_run",
    "run_offline",
    "run_offline_training",
]
