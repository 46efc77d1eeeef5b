from .drawing import draw_rows
from .policy import Policy

__all__ = [
    "Policy",
    "draw_rows",
]
