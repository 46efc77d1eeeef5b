from .comparison import Comparison, compare_runs
from .context import Reference, ReportOptions
from .report import make_report

__all__ = ["Comparison", "Reference", "ReportOptions", "compare_runs", "make_report"]
