from .cores import available_cores
from .isolation import Isolation, NoAnswer, run_apart
from .pool import map_chunks
from .worker import Worker, WorkerDiedError

__all__ = [
    "Isolation",
    "NoAnswer",
    "Worker",
    "WorkerDiedError",
    "available_cores",
    "map_chunks",
    "run_apart",
]
