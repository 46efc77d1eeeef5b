from .copy import ArraySource, BuildCopy, copy_arrays, rows_by_build
from .segment import ARRAYS, SegmentHeader, inspect_segment, read_segment, write_segment

__all__ = [
    "ARRAYS",
    "ArraySource",
    "BuildCopy",
    "SegmentHeader",
    "copy_arrays",
    "inspect_segment",
    "read_segment",
    "rows_by_build",
    "write_segment",
]
