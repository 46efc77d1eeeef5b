from .scorer import ScoredMolecules, Scorer

__all__ = [
    "ScoredMolecules",
    "Scorer",
]
