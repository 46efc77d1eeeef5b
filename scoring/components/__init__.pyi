from .base import (
    COMPONENTS,
    Component,
    Cost,
    JointComponent,
    StreamingComponent,
    claimed_as,
    score_many,
    score_stream,
    score_together,
)
from .descriptors import QED, Property, SAScore
from .docking.vina import Vina
from .external import ExternalProgram
from .foreign_component import complete, foreign
from .http_service import HTTPService
from .imported import Imported
from .models.chemprop_model import ChempropModel
from .models.onnx_model import OnnxModel
from .pmo.component import PMO
from .pmo.tasks import PMO_TASKS, PMOTask
from .python_function import PythonFunction
from .raw_score import RawScore
from .similarity import LARGEST_RADIUS, FingerprintName, Rediscovery, Similarity, canonical_target
from .substructure import Substructure

__all__ = [
    "COMPONENTS",
    "LARGEST_RADIUS",
    "PMO",
    "PMO_TASKS",
    "QED",
    "ChempropModel",
    "Component",
    "Cost",
    "ExternalProgram",
    "FingerprintName",
    "HTTPService",
    "Imported",
    "JointComponent",
    "OnnxModel",
    "PMOTask",
    "Property",
    "PythonFunction",
    "RawScore",
    "Rediscovery",
    "SAScore",
    "Similarity",
    "StreamingComponent",
    "Substructure",
    "Vina",
    "canonical_target",
    "claimed_as",
    "complete",
    "foreign",
    "score_many",
    "score_stream",
    "score_together",
]
