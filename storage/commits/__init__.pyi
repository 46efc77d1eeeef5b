from .commit import RECEIPT_COLUMNS, Committer, receipt_of
from .handed_over import HandedOver
from .known_scores import KnownScores
from .pending import PendingCount, PendingRow
from .readback import read_build
from .runs import AcceptConfig, find_run

__all__ = [
    "RECEIPT_COLUMNS",
    "AcceptConfig",
    "Committer",
    "HandedOver",
    "KnownScores",
    "PendingCount",
    "PendingRow",
    "find_run",
    "read_build",
    "receipt_of",
]
