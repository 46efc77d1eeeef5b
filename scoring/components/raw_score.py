"""The result of a component for one molecule.

The module does not import RDKit, so that worker processes import it only if their work needs it.
"""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass, replace
from typing import Any

from molbuffer.scoring.errors import ScorerUnavailableError


@dataclass(frozen=True)
class RawScore:
    """The score of one molecule by a component.

    Attributes:
        value: the value before any transform; None if the score is failed or lost.
        error: the reason why there is no value; None if there is one.
        seconds: the time of the computation; for a batch, the batch's time divided by its size.
        lost: whether the machine is at fault, and not the molecule: another attempt may succeed.
        pose: the docked pose as a mol block with coordinates in the frame of the receptor; None without one.
        std: the standard deviation of the value; None if the component gives none.

    Example:
        >>> mb.RawScore(0.5).value, mb.RawScore.of("none").error, mb.RawScore.of((0.5, 0.1)).std
        (0.5, "got 'none', expected a number", 0.1)
    """

    value: float | None
    error: str | None = None
    seconds: float = 0.0
    lost: bool = False
    pose: str | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.error is None):
            raise ValueError(f"a score has either a value or an error, got {self.value} and {self.error!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a score that did not fail is finite, got {self.value}; use RawScore.of")
        if self.pose is not None and self.value is None:
            raise ValueError(f"a failed score has no pose, got one with the error {self.error!r}")
        if self.lost and self.error is None:
            raise ValueError(f"a score that was lost has no value, got {self.value}")
        if self.std is not None and not (self.value is not None and 0 <= self.std < math.inf):
            raise ValueError(f"a standard deviation is that of a value, finite and not negative, got {self.std}")

    @classmethod
    def of(cls, value: Any, seconds: float = 0.0) -> RawScore:
        """Return the score for the result of a scoring function.

        The score is failed unless the result is a finite number, or a pair of a finite number and its standard
        deviation.
        """
        if isinstance(value, tuple | list) and len(value) == 2:
            return cls._with_std(value[0], value[1], seconds)
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
    def _with_std(cls, value: Any, std: Any, seconds: float) -> RawScore:
        of_value, of_std = cls.of(value, seconds), cls.of(std)
        if of_value.value is None:
            return of_value
        if of_std.value is None or of_std.value < 0:
            why = of_std.error or f"got {of_std.value}, expected at least 0"
            return cls(None, f"the standard deviation: {why}", seconds)
        return replace(of_value, std=of_std.value)

    @classmethod
    def failed(cls, error: BaseException, seconds: float = 0.0) -> RawScore:
        """Return the score of a molecule for which a scoring function raised an error.

        The score is lost if the machine is at fault: memory, files, network or programs.
        """
        return cls(None, f"{type(error).__name__}: {error}", seconds, lost=is_of_machinery(error))


def is_of_machinery(error: BaseException) -> bool:
    """Return whether the machine is at fault for an error, and not the molecule for which it was raised.

    Such errors are a lack of memory, also that of a GPU, all errors of the operating system (files, networks, programs
    that are missing or do not answer), and ``ScorerUnavailableError``, which a scoring function raises itself.
    """
    machinery = (MemoryError, OSError, ScorerUnavailableError, subprocess.TimeoutExpired)
    return isinstance(error, machinery) or any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__)
