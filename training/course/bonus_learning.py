"""Training of the bonus of the diversity memory after each iteration, and its state in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from molbuffer.storage import Place
from molbuffer.training.checkpoint import checkpoint_files, restore
from molbuffer.training.course.course import Observer, StepTaken
from molbuffer.training.diversity import DiversityMemory

_PREFIX = "bonus-"


@dataclass
class BonusLearning(Observer):
    """An observer that trains the bonus of a diversity memory on the molecules of each iteration, after its steps.

    Attributes:
        memory: the diversity memory, which must have a bonus.
        name: the name of the observer in checkpoints.
    """

    memory: DiversityMemory
    name: str = "bonus"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Train the bonus; return ``bonus_error``, its loss before that."""
        return {"bonus_error": self.memory.learn()}

    def files(self) -> Mapping[str, bytes]:
        """Return the networks of the bonus and the state of their optimizer as files."""
        bonus = self.memory.bonus
        assert bonus is not None
        return checkpoint_files(bonus.network, bonus.optimizer, {}, _PREFIX)

    def load_files(self, folder: Place) -> None:
        """Restore the networks of the bonus and their optimizer from a checkpoint."""
        bonus = self.memory.bonus
        assert bonus is not None
        restore(folder, bonus.network, bonus.optimizer, _PREFIX)
