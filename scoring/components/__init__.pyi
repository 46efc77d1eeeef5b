from .base import Component, Cost, RawScore, score_many
from .descriptors import QED, Property, SAScore
from .python_function import PythonFunction
from .similarity import LARGEST_RADIUS, Rediscovery, Similarity, canonical_target
from .substructure import Substructure

__all__ = [
    "LARGEST_RADIUS",
    "QED",
    "Component",
    "Cost",
    "Property",
    "PythonFunction",
    "RawScore",
    "Rediscovery",
    "SAScore",
    "Similarity",
    "Substructure",
    "canonical_target",
    "score_many",
]
