"""The errors of judging and scoring molecules.

ScoringError
├── ScoringConfigurationError   the settings of a filter, component, transform or objective are invalid
├── StaleScoresError            stored scores differ from those that a component computes now
├── ScorerUnavailableError      raised by a scoring function that cannot work for now, whatever the molecule
└── WorkerError                 the worker processes died repeatedly

A molecule that cannot be scored raises no error: its score is recorded as failed, with the reason.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from difflib import get_close_matches


class ScoringError(Exception):
    """The base class of all errors of this package."""


class ScoringConfigurationError(ScoringError, ValueError):
    """The settings of a filter, component, transform or objective are invalid."""


class StaleScoresError(ScoringError):
    """Stored scores differ from those that a component of the same version computes now."""


class ScorerUnavailableError(ScoringError):
    """Raised by a scoring function that cannot work for now, whatever the molecule: the score is tried again later."""


class WorkerError(ScoringError):
    """The worker processes died repeatedly."""


def unknown_name(what: str, got: str, allowed: Iterable[str]) -> ScoringConfigurationError:
    """Return the error for a name that is not allowed; it suggests the nearest name and lists all of them."""
    names = sorted(map(str, allowed))
    near = get_close_matches(got, names, n=1)
    suggestion = f", did you mean {near[0]!r}?" if near else "."
    allowed_ones = f"Allowed: {', '.join(names)}" if names else "There is none"
    return ScoringConfigurationError(f"unknown {what} {got!r}{suggestion} {allowed_ones}")


def check_extra(what: str, extra: str, *modules: str) -> None:
    """Refuse a feature whose optional packages are not installed.

    Raises:
        ScoringConfigurationError: a package is missing; the message names the command that installs it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ScoringConfigurationError(
            f'{what} needs packages that are not installed ({", ".join(missing)}): pip install "molbuffer[{extra}]"'
        )
