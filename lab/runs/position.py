"""The position of a run of a lab: its iteration, its present training, and which of its rows are committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from molbuffer.lab.training import Training
from molbuffer.storage import Build


class RunPosition:
    """The position of a run.

    Attributes:
        iteration: the iteration of the next batch, to which builds between trainings belong.
        training: the present or last training; None before the first.
    """

    def __init__(self) -> None:
        self.iteration = 0
        self.training: Training | None = None
        self._in_training = False

    @contextmanager
    def in_training(self, training: Training) -> Iterator[None]:
        """A context of a training; at its end, the iteration is that of the training."""
        self._in_training = True
        try:
            yield
        finally:
            self.iteration, self._in_training = training.loader.iteration, False

    def settled(self) -> int:
        """Return the iteration before which all rows of the run are committed.

        Between trainings, all builds up to now are committed.
        """
        if self.training is not None and self._in_training:
            return self.training.writer.settled()
        return self.iteration + 1

    def unsettled(self) -> Sequence[Build] | None:
        """Return the live builds of later iterations, which are not committed; None if there was no such iteration."""
        if self.training is None or not self._in_training:
            return None
        return self.training.writer.unsettled()
