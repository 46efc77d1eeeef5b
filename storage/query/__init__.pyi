from .export import ExportReceipt, export_history
from .sandbox import ClosedDatabase, QueryLimits, matching_rows, read_apart

__all__ = [
    "ClosedDatabase",
    "ExportReceipt",
    "QueryLimits",
    "export_history",
    "matching_rows",
    "read_apart",
]
