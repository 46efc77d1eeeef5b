from .base import Component, Cost, StreamingComponent, score_many, score_stream
from .descriptors import QED, Property, SAScore
from .python_function import PythonFunction
from .raw_score import RawScore
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
    "StreamingComponent",
    "Substructure",
    "canonical_target",
    "score_many",
    "score_stream",
]
