from .draws import DrawKeys, LatentDraws, LearningKeys, PriorDraws, PriorLearningKeys, SamplingKeys, SizeKeys
from .problems import ConfigurationError
from .references import INNER_SAMPLER
from .samplers import (
    ContrastiveDraws,
    DatasetDraws,
    GraphGADraws,
    HistoryDraws,
    ModelDraws,
    ModelSamplerSettings,
    MutationDraws,
    PairDatasetDraws,
    SamplerSettings,
)
from .settings import Settings, load_settings, settings_schema
from .training import SelectionKeys

__all__ = [
    "INNER_SAMPLER",
    "ConfigurationError",
    "ContrastiveDraws",
    "DatasetDraws",
    "DrawKeys",
    "GraphGADraws",
    "HistoryDraws",
    "LatentDraws",
    "LearningKeys",
    "ModelDraws",
    "ModelSamplerSettings",
    "MutationDraws",
    "PairDatasetDraws",
    "PriorDraws",
    "PriorLearningKeys",
    "SamplerSettings",
    "SamplingKeys",
    "SelectionKeys",
    "Settings",
    "SizeKeys",
    "load_settings",
    "settings_schema",
]
