from .memory import BEFORE_THE_RUN, DiversityMemory
from .settings import DiversitySettings

__all__ = ["BEFORE_THE_RUN", "DiversityMemory", "DiversitySettings"]
