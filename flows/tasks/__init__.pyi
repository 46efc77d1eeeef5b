from .build_request import build_requests
from .building import local_builder, run_build_tasks, task_builder
from .maintenance import MaintenanceRequest, maintain_store

__all__ = [
    "MaintenanceRequest",
    "build_requests",
    "local_builder",
    "maintain_store",
    "run_build_tasks",
    "task_builder",
]
