from .drawing import draw_rows
from .policy import Policy, open_policy

__all__ = [
    "Policy",
    "draw_rows",
    "open_policy",
]
