"""The result of a component for one molecule. Worker processes import this module, and RDKit only if the work does."""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass
from typing import Any

from molbuffer.scoring.errors import ScorerUnavailableError


@dataclass(frozen=True)
class RawScore:
    """The score of one molecule by a component.

    Attributes:
        value: the value before any transform; None exactly if there is none.
        error: the reason why there is none; None exactly if there is a value.
        seconds: the time of the computation; for a batch, the batch's time divided by its size.
        lost: whether the machinery failed, and not the molecule: another attempt may go well.
        pose: what was scored, as a mol block with coordinates in the frame of the receptor; None without one.

    Example:
        >>> mb.RawScore(0.5).value, mb.RawScore.of("none").error
        (0.5, "got 'none', expected a number")
    """

    value: float | None
    error: str | None = None
    seconds: float = 0.0
    lost: bool = False
    pose: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.error is None):
            raise ValueError(f"a score has either a value or an error, got {self.value} and {self.error!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score that did not fail is finite, got {self.value}; use RawScore.of")
        if self.pose is not None and self.value is None:
            raise ValueError(f"a failed score has no pose, got one with the error {self.error!r}")
        if self.lost and self.error is None:
            raise ValueError(f"a score that was lost has no value, got {self.value}")

    @classmethod
    def of(cls, value: Any, seconds: float = 0.0) -> RawScore:
        """Make the score from the result of a scoring function; it is failed unless the result is a finite number."""
        if value is None or isinstance(value, str | bytes):
            return cls(None, f"got {value!r}, expected a number", seconds)
        try:
            number = float(value)
        except Exception as error:
            return cls(None, f"got {type(value).__name__}, expected a number: {error}", seconds)
        if not math.isfinite(number):
            return cls(None, f"got {number}, expected a finite number", seconds)
        return cls(number, None, seconds)

    @classmethod
    def failed(cls, error: BaseException, seconds: float = 0.0) -> RawScore:
        """Make the score of a molecule for which a scoring function raised an error.

        It is lost if the error is one of the machinery: of memory, files, networks or programs.
        """
        return cls(None, f"{type(error).__name__}: {error}", seconds, lost=is_of_machinery(error))


def is_of_machinery(error: BaseException) -> bool:
    """Return whether an error says nothing about the molecule for which it was raised.

    These are a lack of memory, also that of a GPU, each error of the operating system (files, networks, programs that
    are missing or do not answer), and ``ScorerUnavailableError``, which a scoring function raises itself.
    """
    machinery = (MemoryError, OSError, ScorerUnavailableError, subprocess.TimeoutExpired)
    return isinstance(error, machinery) or any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__)
