from .cores import available_cores
from .crew import Crew, Seat
from .isolation import Isolation, NoAnswer, run_apart
from .pool import map_chunks
from .worker import Worker, WorkerDiedError

__all__ = [
    "Crew",
    "Isolation",
    "NoAnswer",
    "Seat",
    "Worker",
    "WorkerDiedError",
    "available_cores",
    "map_chunks",
    "run_apart",
]
