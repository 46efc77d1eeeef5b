from .export import ExportReceipt, RowWriter, export_history
from .molecules import best_molecules
from .sandbox import ClosedDatabase, QueryLimits, matching_rows, read_apart

__all__ = [
    "ClosedDatabase",
    "ExportReceipt",
    "QueryLimits",
    "RowWriter",
    "best_molecules",
    "export_history",
    "matching_rows",
    "read_apart",
]
