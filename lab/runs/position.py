"""How far a run of a lab has come: its iteration, the training at work, and what is committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from molbuffer.lab.training import Training
from molbuffer.storage import Build


class RunPosition:
    """The position of a run.

    Attributes:
        iteration: the iteration of builds between trainings, which is that of the next batch.
        training: the training at work or the last one; None before the first.
    """

    def __init__(self) -> None:
        self.iteration = 0
        self.training: Training | None = None
        self._in_training = False

    @contextmanager
    def in_training(self, training: Training) -> Iterator[None]:
        """Be in a training for as long as this lasts, and then where that has come to."""
        self._in_training = True
        try:
            yield
        finally:
            self.iteration, self._in_training = training.loader.iteration, False

    def settled(self) -> int:
        """Return the iteration before which all that the run drew is committed.

        Between trainings, that is so of all builds up to now.
        """
        if self.training is not None and self._in_training:
            return self.training.writer.settled()
        return self.iteration + 1

    def unsettled(self) -> Sequence[Build] | None:
        """Return the live builds of the iterations since, which are not committed; None if there was none."""
        if self.training is None or not self._in_training:
            return None
        return self.training.writer.unsettled()
