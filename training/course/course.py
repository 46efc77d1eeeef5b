"""The course of a training: observers look at it after each step, may change how it goes on, and may end it.

What an observer knows is part of the checkpoint, so that a resumed training takes the same course.
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
    """Why a training ends before its last iteration.

    Attributes:
        reason: the reason, for people.
        of_stage: whether only the present stage of the run ends.
    """

    reason: str
    of_stage: bool = False


@dataclass(frozen=True)
class StepTaken:
    """A step that a training has just taken.

    Attributes:
        mixed: the batch and the origin of its rows.
        metrics: those of the iteration so far, by name.
        checkpoint: whether a checkpoint is due after it.
        agent_sha256: the policy in training that drew the live rows; None without live rows.
    """

    mixed: MixedBatch
    metrics: Mapping[str, float | None]
    checkpoint: bool
    agent_sha256: str | None = None

    @property
    def iteration(self) -> int:
        """The iteration."""
        return self.mixed.batch.iteration


class Observer:
    """The base class of observers: one that changes nothing, ends nothing and knows nothing.

    Attributes:
        name: its name in checkpoints, unique in a training.
    """

    name: str

    def begin(self) -> None:
        """Be told that the training begins, or goes on, in this process."""

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Look at a step; return metrics of the iteration by name."""
        return {}

    def ending(self) -> Ending | None:
        """Return why the training ends before its next iteration; None if it goes on."""
        return None

    def state(self) -> Any:
        """Return what it knows as JSON values."""
        return None

    def load_state(self, state: Any) -> None:
        """Go back to what ``state`` returned."""

    def files(self) -> Mapping[str, bytes]:
        """Return what else it needs of a checkpoint, as files by plain names that begin with its own."""
        return {}

    def load_files(self, folder: Place) -> None:
        """Go back to the files in the folder of a checkpoint, after ``load_state``."""


@dataclass(frozen=True)
class Course:
    """All observers of a training.

    Attributes:
        observers: in the order in which they look at a step. Of several endings that of the whole run counts, and then
            the first.
    """

    observers: Sequence[Observer] = field(default_factory=tuple)

    def begin(self) -> None:
        """Tell each that the training begins, or goes on, in this process."""
        for each in self.observers:
            each.begin()

    def after(self, step: StepTaken) -> dict[str, float | None]:
        """Let each look at a step; return their metrics by name."""
        metrics: dict[str, float | None] = {}
        for each in self.observers:
            metrics |= each.after(step)
        return metrics

    def ending(self) -> Ending | None:
        """Return why the training ends before its next iteration; None if it goes on."""
        found = [ending for each in self.observers if (ending := each.ending()) is not None]
        return min(found, key=lambda ending: ending.of_stage, default=None)

    def checkpoint_files(self) -> dict[str, bytes]:
        """Return the files of a checkpoint; none without observers."""
        if not self.observers:
            return {}
        files = {_STATE: json.dumps({each.name: each.state() for each in self.observers}).encode()}
        for each in self.observers:
            files |= each.files()
        return files

    def restore(self, folder: Place) -> None:
        """Go back to a checkpoint; an observer that it does not have, of a run that had none, begins anew."""
        states = course_state(folder)
        for each in self.observers:
            if each.name in states:
                each.load_state(states[each.name])
                each.load_files(folder)


def course_state(folder: Place) -> Mapping[str, Any]:
    """Return what the observers of a training knew at a checkpoint, by their names."""
    file = folder / _STATE
    found: Mapping[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found
