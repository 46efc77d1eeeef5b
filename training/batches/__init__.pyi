from .batch import TrainingBatch, join
from .buffer import BUFFER
from .loader import BatchOrigin, MixedBatch, MixedLoader
from .replayed_latents import ReplayedLatents
from .stored_batches import StoredBatches

__all__ = [
    "BUFFER",
    "BatchOrigin",
    "MixedBatch",
    "MixedLoader",
    "ReplayedLatents",
    "StoredBatches",
    "TrainingBatch",
    "join",
]
