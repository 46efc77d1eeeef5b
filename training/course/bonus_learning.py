"""The bonus of the diversity memory learns from each iteration, and is part of the checkpoints."""

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
    """Has the bonus of a diversity memory learn from the molecules of each iteration, after its steps.

    Attributes:
        memory: the memory, which has a bonus.
    """

    memory: DiversityMemory
    name: str = "bonus"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Learn, and return ``bonus_error``, the loss before."""
        return {"bonus_error": self.memory.learn()}

    def files(self) -> Mapping[str, bytes]:
        """Return the networks and the state of their optimizer."""
        bonus = self.memory.bonus
        assert bonus is not None
        return checkpoint_files(bonus.network, bonus.optimizer, {}, _PREFIX)

    def load_files(self, folder: Place) -> None:
        """Go back to the networks of a checkpoint."""
        bonus = self.memory.bonus
        assert bonus is not None
        restore(folder, bonus.network, bonus.optimizer, _PREFIX)
