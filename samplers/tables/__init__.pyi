from .base import INNER_SAMPLER, RunParts, SamplerTable, TokenSource
from .family import SAMPLERS, OuterTable
from .latents import ORIGINS, LatentSamplerTable, LearningKeys, PriorSamplerTable

__all__ = [
    "INNER_SAMPLER",
    "ORIGINS",
    "SAMPLERS",
    "LatentSamplerTable",
    "LearningKeys",
    "OuterTable",
    "PriorSamplerTable",
    "RunParts",
    "SamplerTable",
    "TokenSource",
]
