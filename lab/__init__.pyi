from .backlog import BacklogProgress, BacklogScorer, FindBacklog, Pauses, find_among
from .building import BufferBuilder, Chunk, chunk_rows, commit_chunk, latent_versions, publish_latents
from .context import RunContext
from .errors import BacklogError, EmptyBuildError, FailedScoresError, RunError
from .front_door import Lab, open  # noqa: A004 (it is called as mb.open)
from .given import refuse_other_sources
from .metric_list import METRIC_GROUPS, MetricGroup, described
from .molecules import draw_molecules, score_molecules
from .offline import (
    Criterion,
    EvaluationPlan,
    Judging,
    OfflineReport,
    OfflineRows,
    OfflineTraining,
    Relabel,
    Relabelled,
    SplitBy,
    ValidationPlan,
    check_snapshot,
    offline_training,
    opened_rows,
    refuse_archive,
    refuse_no_rows,
    relabelled,
    rows_of_run,
    run_offline_training,
)
from .provenance import described_import, described_run, objective_definition
from .run_list import list_runs
from .runs import LabRun, TrainingResult
from .score_failures import ScoreFailures, check_kept, log_warning
from .staged_chunks import commit_staged, made_in_turn, needs_chunk_before, stage_chunk
from .torch_threads import NUMBER_VARIABLES, WAITING_VARIABLES, limit_threads, one_thread
from .training import Training, TrainingPlan, go_on, online_training, run_training

__all__ = [
    "METRIC_GROUPS",
    "NUMBER_VARIABLES",
    "WAITING_VARIABLES",
    "BacklogError",
    "BacklogProgress",
    "BacklogScorer",
    "BufferBuilder",
    "Chunk",
    "Criterion",
    "EmptyBuildError",
    "EvaluationPlan",
    "FailedScoresError",
    "FindBacklog",
    "Judging",
    "Lab",
    "LabRun",
    "MetricGroup",
    "OfflineReport",
    "OfflineRows",
    "OfflineTraining",
    "Pauses",
    "Relabel",
    "Relabelled",
    "RunContext",
    "RunError",
    "ScoreFailures",
    "SplitBy",
    "Training",
    "TrainingPlan",
    "TrainingResult",
    "ValidationPlan",
    "check_kept",
    "check_snapshot",
    "chunk_rows",
    "commit_chunk",
    "commit_staged",
    "described",
    "described_import",
    "described_run",
    "draw_molecules",
    "find_among",
    "go_on",
    "latent_versions",
    "limit_threads",
    "list_runs",
    "log_warning",
    "made_in_turn",
    "needs_chunk_before",
    "objective_definition",
    "offline_training",
    "one_thread",
    "online_training",
    "open",
    "opened_rows",
    "publish_latents",
    "refuse_archive",
    "refuse_no_rows",
    "refuse_other_sources",
    "relabelled",
    "rows_of_run",
    "run_offline_training",
    "run_training",
    "score_molecules",
    "stage_chunk",
]
