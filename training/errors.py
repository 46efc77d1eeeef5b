"""What can go wrong while training.

TrainingError
├── CheckpointError     a checkpoint does not belong to this training or cannot be read
├── HistoryError        what training drew cannot be written to the store
├── BatchShortError     a batch cannot be filled from the live samplers and the buffer
├── UnsuitableDataError a loss or a policy was given rows that it cannot learn from
└── DivergedError       the loss is no number any more
"""

from __future__ import annotations


class TrainingError(Exception):
    """Anything that goes wrong while training."""


class CheckpointError(TrainingError):
    """A checkpoint does not belong to this training or cannot be read."""


class HistoryError(TrainingError):
    """What training drew cannot be written to the store."""


class BatchShortError(TrainingError):
    """A batch cannot be filled from the live samplers and the buffer."""


class UnsuitableDataError(TrainingError):
    """A loss or a policy was given rows that it cannot learn from."""


class DivergedError(TrainingError):
    """The loss is no number any more."""
