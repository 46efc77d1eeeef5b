from .commit import RECEIPT_COLUMNS, Committer, receipt_of
from .readback import read_build
from .runs import find_run

__all__ = [
    "RECEIPT_COLUMNS",
    "Committer",
    "find_run",
    "read_build",
    "receipt_of",
]
