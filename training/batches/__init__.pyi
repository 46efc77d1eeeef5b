from .batch import Block, TrainingBatch, join
from .buffer import BUFFER
from .loader import MixedLoader
from .mixed_batch import BatchOrigin, MixedBatch
from .replayed_latents import ReplayedLatents
from .stored_batches import StoredBatches

__all__ = [
    "BUFFER",
    "BatchOrigin",
    "Block",
    "MixedBatch",
    "MixedLoader",
    "ReplayedLatents",
    "StoredBatches",
    "TrainingBatch",
    "join",
]
