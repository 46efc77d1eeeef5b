"""Score components: QED, synthetic accessibility, properties, similarity, substructure, Python functions."""

from scoring.components.base import Component, Cost, RawScore, score_many
from scoring.components.descriptors import QED, Property, SAScore
from scoring.components.python_function import PythonFunction
from scoring.components.similarity import Rediscovery, Similarity
from scoring.components.substructure import Substructure

__all__ = [
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
    "score_many",
]
