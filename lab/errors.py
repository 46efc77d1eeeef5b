"""The errors of runs.

RunError                  a run ends, although nothing broke, because it is of no use
├── FailedScoresError     too many molecules have no reward, since their score failed
├── EmptyBuildError       a build kept no molecule
├── BacklogError          rows that wait for their scores cannot be scored here, or for now
├── SilentActorsError     a learner waits for rows, and no actor draws any
├── LocalProcessError     an actor, or another agent, that a run has started has ended
├── NoLearnerError        a run has no use for actors
└── ValidationError       stored rows cannot be split into those that are learned from and those that are held out
"""

from __future__ import annotations


class RunError(Exception):
    """A run is of no use as it goes; what it has stored stays."""


class FailedScoresError(RunError):
    """More molecules than the run allows have no reward, since their score failed.

    Attributes:
        failed: the number of molecules whose score failed.
        molecules: the number of molecules that were to be scored.
        error: the commonest error, with its component.
    """

    def __init__(self, message: str, failed: int, molecules: int, error: str) -> None:
        # The arguments make the error again in another process.
        super().__init__(message, failed, molecules, error)
        self.failed = failed
        self.molecules = molecules
        self.error = error

    def __str__(self) -> str:
        return str(self.args[0])


class EmptyBuildError(RunError):
    """A build kept no molecule, and refers to none."""


class BacklogError(RunError):
    """Rows that wait for their scores cannot be scored here, or for now."""


class SilentActorsError(RunError):
    """A learner waits for rows of actors, and none of them has drawn any for too long."""


class LocalProcessError(RunError):
    """An actor, or another agent, that a run has started on its machine has failed, or was killed too often."""


class NoLearnerError(RunError):
    """A run is no training that learns from actors."""


class ValidationError(RunError):
    """Stored rows cannot be split as they should be."""
