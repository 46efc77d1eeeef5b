from .tasks.build_request import BuildRequest

__all__ = [
    "BuildRequest",
]
