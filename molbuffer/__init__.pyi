from .exchange.loggers.mlflow import MLflow
from .exchange.loggers.tensorboard import TensorBoard
from .lab.front_door import Lab, open  # noqa: A004 (it is called as mb.open)
from .lab.runs.lab_run import LabRun
from .samplers.base import Draw, Sampler, SamplerSize
from .samplers.dataset import DatasetSampler
from .samplers.history import HistorySampler
from .samplers.model import ModelSampler
from .samplers.models.distribution import Sampling
from .samplers.mutation import MutationSampler
from .samplers.policies.policy import Policy
from .scoring.choices import Determinantal, MaxMin
from .scoring.components.base import Component
from .scoring.components.descriptors import QED, Property, SAScore
from .scoring.components.docking.vina import Vina
from .scoring.components.external import ExternalProgram
from .scoring.components.http_service import HTTPService
from .scoring.components.imported import Imported
from .scoring.components.models.chemprop_model import ChempropModel
from .scoring.components.models.onnx_model import OnnxModel
from .scoring.components.pmo.component import PMO
from .scoring.components.python_function import PythonFunction
from .scoring.components.raw_score import RawScore
from .scoring.components.similarity import Similarity
from .scoring.components.substructure import Substructure
from .scoring.filters import Alerts, PropertyRange, SubstructureFilter
from .scoring.gates import Gate
from .scoring.named_objectives import named_objective
from .scoring.objective import Objective, WeightedComponent
from .scoring.screening import Screening
from .scoring.surrogates.acquisitions import ExpectedImprovement, Greedy, ThompsonSampling, UpperConfidenceBound
from .scoring.surrogates.base import Acquisition, FittedSurrogate, Picks, Prediction, Surrogate
from .scoring.surrogates.gaussian_process import GaussianProcess
from .scoring.transforms import Desirability, DoubleSigmoid, Linear, ReverseSigmoid, Sigmoid
from .scoring.unlikely_groups import UnlikelyGroups
from .storage.history.selections import (
    ConsumeOnce,
    EachMolecule,
    Mixture,
    MixturePart,
    Prioritized,
    RankWindow,
    TopK,
    Uniform,
)
from .training.batches.replay import Replay
from .training.batches.stored_batches import StoredBatches
from .training.course.settings import GuardSettings, StageEndSettings
from .training.diversity.settings import DiversitySettings
from .training.fit.settings import LearnerSettings
from .training.losses import Reinvent

__all__ = [
    "PMO",
    "QED",
    "Acquisition",
    "Alerts",
    "ChempropModel",
    "Component",
    "ConsumeOnce",
    "DatasetSampler",
    "Desirability",
    "Determinantal",
    "DiversitySettings",
    "DoubleSigmoid",
    "Draw",
    "EachMolecule",
    "ExpectedImprovement",
    "ExternalProgram",
    "FittedSurrogate",
    "Gate",
    "GaussianProcess",
    "Greedy",
    "GuardSettings",
    "HTTPService",
    "HistorySampler",
    "Imported",
    "Lab",
    "LabRun",
    "LearnerSettings",
    "Linear",
    "MLflow",
    "MaxMin",
    "Mixture",
    "MixturePart",
    "ModelSampler",
    "MutationSampler",
    "Objective",
    "OnnxModel",
    "Picks",
    "Policy",
    "Prediction",
    "Prioritized",
    "Property",
    "PropertyRange",
    "PythonFunction",
    "RankWindow",
    "RawScore",
    "Reinvent",
    "Replay",
    "ReverseSigmoid",
    "SAScore",
    "Sampler",
    "SamplerSize",
    "Sampling",
    "Screening",
    "Sigmoid",
    "Similarity",
    "StageEndSettings",
    "StoredBatches",
    "Substructure",
    "SubstructureFilter",
    "Surrogate",
    "TensorBoard",
    "ThompsonSampling",
    "TopK",
    "Uniform",
    "UnlikelyGroups",
    "UpperConfidenceBound",
    "Vina",
    "WeightedComponent",
    "named_objective",
    "open",
]
