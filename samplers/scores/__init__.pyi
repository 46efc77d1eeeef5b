from .backlog import Backlog, WorkedOff
from .expensive import ClaimTiming
from .scorer import ScoredMolecules, Scorer
from .settled import reward_of

__all__ = [
    "Backlog",
    "ClaimTiming",
    "ScoredMolecules",
    "Scorer",
    "WorkedOff",
    "reward_of",
]
