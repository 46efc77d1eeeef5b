from .build_request import build_requests
from .building import TaskBuilder, run_build_tasks
from .maintenance import MaintenanceRequest, maintain_store
from .torch_threads import limit_threads

__all__ = [
    "MaintenanceRequest",
    "TaskBuilder",
    "build_requests",
    "limit_threads",
    "maintain_store",
    "run_build_tasks",
]
