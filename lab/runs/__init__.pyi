from .lab_run import LabRun
from .results import TrainingResult
from .statements import training_statement

__all__ = ["LabRun", "TrainingResult", "training_statement"]
