"""The errors of runs.

RunError                  a run ends because it cannot give a useful result
├── FailedScoresError     too many molecules have no reward, since their score failed
├── EmptyBuildError       a build kept no molecule
├── BacklogError          pending rows cannot be scored by this process, or not at present
├── SilentActorsError     a learner waits for rows, and no actor draws any
├── LocalProcessError     an actor or agent that a run has started on its machine has failed
├── NoLearnerError        a run is not a training that learns from actors
└── ValidationError       stored rows cannot be split into a training part and a held-out part
"""

from __future__ import annotations


class RunError(Exception):
    """The base class of errors that end a run because it cannot give a useful result; its stored rows stay."""


class FailedScoresError(RunError):
    """More molecules than the run allows have no reward, since their score failed.

    Attributes:
        failed: the number of molecules whose score failed.
        molecules: the number of molecules that were to be scored.
        error: the most frequent error, with its component.
    """

    def __init__(self, message: str, failed: int, molecules: int, error: str) -> None:
        # All arguments are kept, so that the error can be pickled.
        super().__init__(message, failed, molecules, error)
        self.failed = failed
        self.molecules = molecules
        self.error = error

    def __str__(self) -> str:
        return str(self.args[0])


class EmptyBuildError(RunError):
    """A build kept no molecule, and refers to no stored row."""


class BacklogError(RunError):
    """Pending rows cannot be scored by this process, or not at present."""


class SilentActorsError(RunError):
    """A learner waits for rows of actors, and no actor has committed a build for too long."""


class LocalProcessError(RunError):
    """An actor or agent that a run has started on its machine has failed, or was killed too often."""


class NoLearnerError(RunError):
    """A run is not a training that learns from actors."""


class ValidationError(RunError):
    """Stored rows cannot be split into a training part and a held-out part."""
