from .batch import TrainingBatch
from .buffer import BUFFER
from .loader import BatchOrigin, MixedBatch, MixedLoader
from .replayed_latents import ReplayedLatents

__all__ = [
    "BUFFER",
    "BatchOrigin",
    "MixedBatch",
    "MixedLoader",
    "ReplayedLatents",
    "TrainingBatch",
]
