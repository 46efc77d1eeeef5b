"""The errors of training.

TrainingError
├── CheckpointError     a checkpoint does not belong to this training or cannot be read
├── HistoryError        the rows that training drew cannot be written to the store
├── AgentMismatchError  the policy that training starts from has another vocabulary or condition than the prior
├── BatchShortError     a batch cannot be filled from the live samplers and the buffer
│   └── TooFewRowsError  the stored rows do not fill the first batch of an offline training
├── UnsuitableDataError a loss or a policy cannot learn from the rows it was given
├── LoaderUseError      a loader is used in a way that would repeat or lose rows
└── DivergedError       the loss is infinite or NaN
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TrainingError(Exception):
    """The base class of all errors of training."""


class CheckpointError(TrainingError):
    """A checkpoint does not belong to this training or cannot be read."""


class HistoryError(TrainingError):
    """The rows that training drew cannot be written to the store."""


class AgentMismatchError(TrainingError):
    """The policy that training starts from has another vocabulary or condition than the prior."""


class BatchShortError(TrainingError):
    """A batch cannot be filled from the live samplers and the buffer.

    Attributes:
        wanted: the number of rows that the batch, or its part from the buffer, needs.
        available: the number of rows of the buffer that the training may use.
        live: a tuple for each live draw: the sampler, the number of rows that count, the number of rows asked for.
    """

    def __init__(self, message: str, *, wanted: int, available: int, live: Sequence[tuple[str, int, int]] = ()) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.available = available
        self.live = tuple(live)


class TooFewRowsError(BatchShortError):
    """The stored rows do not fill the first batch of an offline training, so that a retry fails in the same way."""


class UnsuitableDataError(TrainingError):
    """A loss or a policy cannot learn from the rows it was given.

    Attributes:
        rows: the number of unsuitable rows by origin: a live sampler, or the buffer.
    """

    def __init__(self, message: str, *, rows: Mapping[str, int]) -> None:
        super().__init__(message)
        self.rows = dict(rows)


class LoaderUseError(TrainingError):
    """A loader is used in a way that would repeat or lose rows."""


class DivergedError(TrainingError):
    """The loss is infinite or NaN.

    Attributes:
        loss: the value of the loss.
        sampler: the sampler whose latent prior or latent vectors the loss trains; None for the policy in training.
    """

    def __init__(self, message: str, *, loss: float, sampler: str | None = None) -> None:
        super().__init__(message)
        self.loss = loss
        self.sampler = sampler
