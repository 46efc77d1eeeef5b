"""What can go wrong while judging and scoring molecules.

ScoringError
├── ScoringConfigurationError   a filter, component, transform or objective was asked for that cannot exist
└── WorkerError                 the processes that share the work died, again and again

A molecule that cannot be scored is no error: its score is recorded as failed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ScoringError(Exception):
    """Anything that goes wrong while judging and scoring molecules."""


class ScoringConfigurationError(ScoringError, ValueError):
    """A filter, component, transform or objective was asked for that cannot exist."""


class WorkerError(ScoringError):
    """The processes that share the work died, again and again."""


def unknown_name(what: str, got: str, allowed: Iterable[str]) -> ScoringConfigurationError:
    """Return the error for a name that is none of the allowed ones; it suggests the nearest and lists them all."""
    names = sorted(map(str, allowed))
    near = get_close_matches(got, names, n=1)
    suggestion = f", did you mean {near[0]!r}?" if near else "."
    return ScoringConfigurationError(f"unknown {what} {got!r}{suggestion} Allowed: {', '.join(names)}")
