from .build_request import build_requests
from .building import made_by_tasks, task_builder
from .chunks import MakeChunk, Maker, MakesAhead, chunk_builder, local_builder, made_here, make_chunks
from .maintenance import MaintenanceRequest, maintain_store
from .retries import can_pass
from .runner_workers import opened_workers

__all__ = [
    "MaintenanceRequest",
    "MakeChunk",
    "Maker",
    "MakesAhead",
    "build_requests",
    "can_pass",
    "chunk_builder",
    "local_builder",
    "made_by_tasks",
    "made_here",
    "maintain_store",
    "make_chunks",
    "opened_workers",
    "task_builder",
]
