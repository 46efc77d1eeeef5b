from .drawing import draw_parts, draw_rows
from .policy import Policy, check_function, given_policy, open_policy

__all__ = [
    "Policy",
    "check_function",
    "draw_parts",
    "draw_rows",
    "given_policy",
    "open_policy",
]
