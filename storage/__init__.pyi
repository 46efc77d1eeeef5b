from .archive.manifest import ArchiveLimits, is_archive
from .archive.terms import ArchiveTerms
from .backends.waiting import ClaimWait
from .catalog.migrate import MigrationReceipt, migrate_store
from .catalog.schema.views import ACTORS_OF_RUN, RUN_AND_ACTORS
from .commits.claimants import new_claimant, release_ended
from .commits.commit import find_receipts
from .commits.pending import PendingCount, PendingRow
from .commits.processes import Process
from .commits.runs import shown_event
from .errors import (
    CatalogLostError,
    CatalogUnavailableError,
    QueryError,
    RecoveryError,
    RunConflictError,
    StoreBusyError,
    StoreError,
    StoreModeError,
    StoreNotFoundError,
    UnknownPolicyError,
    UnknownRunError,
    VacuumRefusedError,
    may_pass,
)
from .files.checksums import file_sha256
from .files.places import Place
from .files.system_errors import system_advice
from .history.cache import LOCATION_VARIABLE, DecodedCache, default_folder
from .history.chosen import available_rows, chosen_rows
from .history.index import HistoryIndex, IndexScope
from .history.joined import join_indexes
from .history.selections import (
    SELECTIONS,
    AboveQuantile,
    BelowQuantile,
    ConsumeOnce,
    EachMolecule,
    Mixture,
    MixturePart,
    Positions,
    Prioritized,
    RankWindow,
    Recent,
    SelectableRows,
    Selection,
    TopK,
    Uniform,
    WithinLag,
    WithoutRows,
    weights_of,
)
from .maintenance.prune import KeptOfRun
from .policies import PolicyStore, content_sha256
from .query.export import RowWriter
from .query.predicate import check_predicate
from .query.process import prepare_query_process
from .query.sandbox import check_unapplied
from .records import (
    BucketedMolecule,
    Build,
    Checkpoint,
    Commit,
    Consumed,
    Event,
    FileOrigin,
    Metric,
    ObjectiveComponent,
    ObjectiveDefinition,
    PickedBy,
    PolicyVersion,
    Reward,
    RowId,
    Run,
    RunKind,
    RunStatus,
    Samples,
    Score,
    ScoreStatus,
    ScreenedRow,
    make_build_id,
    no_samples,
    now,
    truncates,
)
from .recovery.recover import RecoveryReport, Source, recover_store
from .rows import COLUMNS, Rows
from .store import SampleStore
from .stored import BuildReceipt
from .trusted import trusted_archive
from .verify.quarantine import QuarantineReceipt
from .verify.report import Finding, VerifyReport
from .verify.verify import verify_store

__all__ = [
    "ACTORS_OF_RUN",
    "COLUMNS",
    "LOCATION_VARIABLE",
    "RUN_AND_ACTORS",
    "SELECTIONS",
    "AboveQuantile",
    "ArchiveLimits",
    "ArchiveTerms",
    "BelowQuantile",
    "BucketedMolecule",
    "Build",
    "BuildReceipt",
    "CatalogLostError",
    "CatalogUnavailableError",
    "Checkpoint",
    "ClaimWait",
    "Commit",
    "ConsumeOnce",
    "Consumed",
    "DecodedCache",
    "EachMolecule",
    "Event",
    "FileOrigin",
    "Finding",
    "HistoryIndex",
    "IndexScope",
    "KeptOfRun",
    "Metric",
    "MigrationReceipt",
    "Mixture",
    "MixturePart",
    "ObjectiveComponent",
    "ObjectiveDefinition",
    "PendingCount",
    "PendingRow",
    "PickedBy",
    "Place",
    "PolicyStore",
    "PolicyVersion",
    "Positions",
    "Prioritized",
    "Process",
    "QuarantineReceipt",
    "QueryError",
    "RankWindow",
    "Recent",
    "RecoveryError",
    "RecoveryReport",
    "Reward",
    "RowId",
    "RowWriter",
    "Rows",
    "Run",
    "RunConflictError",
    "RunKind",
    "RunStatus",
    "SampleStore",
    "Samples",
    "Score",
    "ScoreStatus",
    "ScreenedRow",
    "SelectableRows",
    "Selection",
    "Source",
    "StoreBusyError",
    "StoreError",
    "StoreModeError",
    "StoreNotFoundError",
    "TopK",
    "Uniform",
    "UnknownPolicyError",
    "UnknownRunError",
    "VacuumRefusedError",
    "VerifyReport",
    "WithinLag",
    "WithoutRows",
    "available_rows",
    "check_predicate",
    "check_unapplied",
    "chosen_rows",
    "content_sha256",
    "default_folder",
    "file_sha256",
    "find_receipts",
    "is_archive",
    "join_indexes",
    "make_build_id",
    "may_pass",
    "migrate_store",
    "new_claimant",
    "no_samples",
    "now",
    "prepare_query_process",
    "recover_store",
    "release_ended",
    "shown_event",
    "system_advice",
    "truncates",
    "trusted_archive",
    "verify_store",
    "weights_of",
]
