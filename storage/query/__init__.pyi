from .export import ExportReceipt, RowWriter, export_history
from .history_frame import lazy_history
from .molecules import best_molecules
from .parameters import Parameters
from .sandbox import ClosedDatabase, QueryLimits, SomeBuilds, matching_rows, read_apart

__all__ = [
    "ClosedDatabase",
    "ExportReceipt",
    "Parameters",
    "QueryLimits",
    "RowWriter",
    "SomeBuilds",
    "best_molecules",
    "export_history",
    "lazy_history",
    "matching_rows",
    "read_apart",
]
