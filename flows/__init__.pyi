from .tasks.build_request import BuildRequest
from .tasks.torch_threads import NUMBER_VARIABLES, WAITING_VARIABLES, limit_threads

__all__ = [
    "NUMBER_VARIABLES",
    "WAITING_VARIABLES",
    "BuildRequest",
    "limit_threads",
]
