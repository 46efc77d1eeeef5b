from .base import (
    LOGGERS,
    LoggedRun,
    LogPicture,
    LogPoint,
    RunLog,
    RunLogger,
    check_logger,
    shown_logger,
)
from .following import PICTURES_EVERY, LogFollower, RunLogs, fill_log
from .mlflow import MLflow
from .points import logged_run
from .tensorboard import TensorBoard

__all__ = [
    "LOGGERS",
    "PICTURES_EVERY",
    "LogFollower",
    "LogPicture",
    "LogPoint",
    "LoggedRun",
    "MLflow",
    "RunLog",
    "RunLogger",
    "RunLogs",
    "TensorBoard",
    "check_logger",
    "fill_log",
    "logged_run",
    "shown_logger",
]
