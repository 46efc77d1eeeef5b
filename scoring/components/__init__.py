"""Score components: QED, synthetic accessibility, properties, similarity, substructure, Python functions."""

from molbuffer.scoring.components.base import Component, Cost, RawScore, score_many
from molbuffer.scoring.components.descriptors import QED, Property, SAScore
from molbuffer.scoring.components.python_function import PythonFunction
from molbuffer.scoring.components.similarity import Rediscovery, Similarity
from molbuffer.scoring.components.substructure import Substructure

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
