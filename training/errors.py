"""The errors of training.

TrainingError
├── CheckpointError     a checkpoint does not belong to this training or cannot be read
├── HistoryError        the rows that training drew cannot be written to the store
├── AgentMismatchError  the policy that training starts from does not go with the prior
├── BatchShortError     a batch cannot be filled from the live samplers and the buffer
│   └── TooFewRowsError  the stored rows do not fill the first batch of a training that draws nothing
├── UnsuitableDataError a loss or a policy cannot learn from the rows it was given
├── LoaderUseError      a loader is used in a way in which it would repeat or lose rows
└── DivergedError       the loss is infinite or NaN
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TrainingError(Exception):
    """Any error of training."""


class CheckpointError(TrainingError):
    """A checkpoint does not belong to this training or cannot be read."""


class HistoryError(TrainingError):
    """The rows that training drew cannot be written to the store."""


class AgentMismatchError(TrainingError):
    """The policy that training starts from has another vocabulary or condition than the prior."""


class BatchShortError(TrainingError):
    """A batch cannot be filled from the live samplers and the buffer.

    Attributes:
        wanted: the rows that the batch, or its part from the buffer, needs.
        available: the rows of the buffer that the training may use.
        live: of each draw from a live sampler, the sampler, the rows that count and the rows that were asked of it.
    """

    def __init__(self, message: str, *, wanted: int, available: int, live: Sequence[tuple[str, int, int]] = ()) -> None:
        super().__init__(message)
        self.wanted = wanted
        self.available = available
        self.live = tuple(live)


class TooFewRowsError(BatchShortError):
    """The stored rows do not fill the first batch of a training that draws nothing: it would end so again."""


class UnsuitableDataError(TrainingError):
    """A loss or a policy cannot learn from the rows it was given.

    Attributes:
        rows: the number of these rows by origin: a live sampler, or the buffer.
    """

    def __init__(self, message: str, *, rows: Mapping[str, int]) -> None:
        super().__init__(message)
        self.rows = dict(rows)


class LoaderUseError(TrainingError):
    """A loader is used in a way in which it would repeat or lose rows."""


class DivergedError(TrainingError):
    """The loss is infinite or NaN.

    Attributes:
        loss: the loss.
        sampler: the sampler whose prior or latent vectors are trained by it; None for the policy in training.
    """

    def __init__(self, message: str, *, loss: float, sampler: str | None = None) -> None:
        super().__init__(message)
        self.loss = loss
        self.sampler = sampler
