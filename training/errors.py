"""The errors of training.

TrainingError
├── CheckpointError     a checkpoint does not belong to this training or cannot be read
├── HistoryError        the rows that training drew cannot be written to the store
├── BatchShortError     a batch cannot be filled from the live samplers and the buffer
├── UnsuitableDataError a loss or a policy cannot learn from the rows it was given
└── DivergedError       the loss is infinite or NaN
"""

from __future__ import annotations


class TrainingError(Exception):
    """Any error of training."""


class CheckpointError(TrainingError):
    """A checkpoint does not belong to this training or cannot be read."""


class HistoryError(TrainingError):
    """The rows that training drew cannot be written to the store."""


class BatchShortError(TrainingError):
    """A batch cannot be filled from the live samplers and the buffer."""


class UnsuitableDataError(TrainingError):
    """A loss or a policy cannot learn from the rows it was given."""


class DivergedError(TrainingError):
    """The loss is infinite or NaN."""
