from .shown import ShownRun, shown_run

__all__ = [
    "ShownRun",
    "shown_run",
]
