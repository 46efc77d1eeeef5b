"""The course of a training: observers that are called after each step, and may change or end the training.

The state of an observer is part of the checkpoint, so that a resumed training takes the same course.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from molbuffer.storage import Place
from molbuffer.training.batches import MixedBatch

_STATE = "course.json"


@dataclass(frozen=True)
class Ending:
    """The end of a training, or of a stage of it, before its last iteration.

    Attributes:
        reason: the reason, for people.
        of_stage: whether only the present stage of the run ends.
    """

    reason: str
    of_stage: bool = False


@dataclass(frozen=True)
class StepTaken:
    """An iteration that a training has just finished.

    Attributes:
        mixed: the batch and the origin of its rows.
        metrics: the metrics of the iteration so far, by name.
        checkpoint: whether a checkpoint is due after the iteration.
        agent_sha256: the policy in training that drew the live rows; None without live rows.
    """

    mixed: MixedBatch
    metrics: Mapping[str, float | None]
    checkpoint: bool
    agent_sha256: str | None = None

    @property
    def iteration(self) -> int:
        """The number of the iteration."""
        return self.mixed.batch.iteration


class Observer:
    """The base class of observers, whose methods do nothing and return no metrics, ending, state or files.

    Attributes:
        name: the name of the observer in checkpoints, unique in a training.
    """

    name: str

    def begin(self) -> None:
        """Prepare for the first step of the training in this process, after a state was loaded."""

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Observe an iteration; return metrics of it by name."""
        return {}

    def ending(self) -> Ending | None:
        """Return why the training ends before its next iteration; None if it goes on."""
        return None

    def state(self) -> Any:
        """Return the state of the observer as JSON values."""
        return None

    def load_state(self, state: Any) -> None:
        """Restore a state that ``state`` returned."""

    def files(self) -> Mapping[str, bytes]:
        """Return state that is not JSON, as files by name; a name begins with that of the observer."""
        return {}

    def load_files(self, folder: Place) -> None:
        """Restore the state in the files of a checkpoint; this is called after ``load_state``."""


@dataclass(frozen=True)
class Course:
    """All observers of a training.

    Attributes:
        observers: the observers, in the order in which they are called. Of several endings, one of the whole run comes
            before one of a stage, and an earlier observer before a later one.
    """

    observers: Sequence[Observer] = field(default_factory=tuple)

    def begin(self) -> None:
        """Prepare all observers for the first step of the training in this process."""
        for each in self.observers:
            each.begin()

    def after(self, step: StepTaken) -> dict[str, float | None]:
        """Call all observers after an iteration; return their metrics by name."""
        metrics: dict[str, float | None] = {}
        for each in self.observers:
            metrics |= each.after(step)
        return metrics

    def ending(self) -> Ending | None:
        """Return why the training ends before its next iteration; None if it goes on."""
        found = [ending for each in self.observers if (ending := each.ending()) is not None]
        return min(found, key=lambda ending: ending.of_stage, default=None)

    def checkpoint_files(self) -> dict[str, bytes]:
        """Return the states of the observers as files of a checkpoint; none without observers."""
        if not self.observers:
            return {}
        files = {_STATE: json.dumps({each.name: each.state() for each in self.observers}).encode()}
        for each in self.observers:
            files |= each.files()
        return files

    def restore(self, folder: Place) -> None:
        """Restore the observers from a checkpoint; an observer that it does not have starts without state."""
        states = course_state(folder)
        for each in self.observers:
            if each.name in states:
                each.load_state(states[each.name])
                each.load_files(folder)


def course_state(folder: Place) -> Mapping[str, Any]:
    """Return the states of the observers at a checkpoint, by their names; empty if it has none."""
    file = folder / _STATE
    found: Mapping[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found
