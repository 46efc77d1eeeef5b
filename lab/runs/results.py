"""The result of a training."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.lab.context import RunContext
from molbuffer.lab.training import Training


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        run_id: the id of the run.
        policy_sha256: the sha256 of the trained policy, by which ``Lab.policy`` opens it.
        iterations: the number of iterations that the run has done.
        rows: the number of stored rows that the training could read.
        failed_scores: the number of scores of the run that could not be computed.
        oracle_calls: the number of different molecules that the run has asked its objective for; None offline.
        ended: why the training ended before its last iteration; None if it did not.
    """

    run_id: str
    policy_sha256: str
    iterations: int
    rows: int
    failed_scores: int
    oracle_calls: int | None = None
    ended: str | None = None

    @classmethod
    def of(cls, context: RunContext, training: Training, ended: str | None = None) -> TrainingResult:
        """Return the result of a training that has ended.

        Args:
            context: the run.
            training: the training.
            ended: why it ended before its last iteration; None if it did not.
        """
        return cls(
            context.run_id,
            training.learner.policy().sha256,
            training.loader.iteration,
            len(training.loader.buffer.index),
            context.failed_scores,
            oracle_calls=None if training.calls is None else training.calls.count,
            ended=ended,
        )
