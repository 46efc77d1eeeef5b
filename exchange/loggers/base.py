"""The protocol of a logger, and the points and pictures that a logger is given.

A logger is a frozen dataclass, a kind of the family ``loggers``, whose fields are the keys of its table in a
configuration. ``open`` returns the log of one run. The log itself tells what it already has, by the last step of each
tag: no second record can differ from it, a resumed run repeats nothing, and a log that broke off continues where it
ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from molbuffer.kinds import Family, class_with
from molbuffer.storage import RunStatus


@dataclass(frozen=True)
class LoggedRun:
    """The run that a log describes.

    Attributes:
        run_id: the id of the run.
        name: its name, for people.
        kind: its kind: train, build, offline, and so on.
        seed: the seed of all draws.
        config: the configuration as a JSON text.
        code_version: the version of the code.
        created: the time of its start, in UTC without a zone.
    """

    run_id: str
    name: str
    kind: str
    seed: int
    config: str
    code_version: str
    created: datetime

    @property
    def title(self) -> str:
        """The name and the start of the id, for people."""
        return f"{self.name}-{self.run_id[:8]}"

    def settings(self) -> dict[str, str]:
        """Return the values of the configuration by key, as in ``training.loss.kind``."""
        return dict(_flat("", json.loads(self.config)))


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [each for key, inner in value.items() for each in _flat(f"{path}.{key}" if path else key, inner)]
    if isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        return [each for i, inner in enumerate(value) for each in _flat(f"{path}.{i}", inner)]
    return [(path, value if isinstance(value, str) else json.dumps(value))]


@dataclass(frozen=True)
class LogPoint:
    """A number at a step of a run.

    Attributes:
        tag: the name of the number, such as "training/loss" or "build_buffer/agent/valid".
        step: the iteration.
        value: the number.
        created: the time at which it was committed, in UTC without a zone.
    """

    tag: str
    step: int
    value: float
    created: datetime


@dataclass(frozen=True)
class LogPicture:
    """A picture at a step of a run.

    Attributes:
        tag: what it shows.
        step: the iteration.
        png: the picture in PNG.
        width: its width in pixels.
        height: its height in pixels.
        created: the time at which the newest molecule in it was committed, in UTC without a zone.
    """

    tag: str
    step: int
    png: bytes
    width: int
    height: int
    created: datetime


class RunLog(Protocol):
    """The log of one run.

    Example:
        >>> class Lines:
        ...     def __init__(self): self.written = []
        ...     def last_steps(self): return {}
        ...     def write(self, points, pictures): self.written += [(p.tag, p.step, p.value) for p in points]
        ...     def close(self, status): pass
    """

    def last_steps(self) -> Mapping[str, int]:
        """Return the last step of each tag in the log; points and pictures up to it are not written again."""

    def write(self, points: Sequence[LogPoint], pictures: Sequence[LogPicture]) -> None:
        """Write points and pictures, which are durable when this returns.

        Args:
            points: the points; those of one tag are in the order of their steps.
            pictures: the pictures; those of one tag are in the order of their steps.

        Raises:
            Exception: the log has failed; after any exception it is not written any further.
        """

    def close(self, status: RunStatus | None) -> None:
        """Close the log in this process.

        Args:
            status: the status with which the run has ended; None if the log is given up.
        """


class RunLogger(Protocol):
    """A place for the logs of runs."""

    def open(self, run: LoggedRun) -> RunLog:
        """Open the log of a run, or make a new one.

        Raises:
            LoggerError: the log cannot be opened, or another process writes to it.
        """


LOGGERS = Family("loggers", class_with("open"))
"""The kinds of loggers."""


def check_logger(logger: RunLogger) -> None:
    """Call the method ``check`` of a logger, if it has one, so that a logger that cannot work fails before the run.

    Raises:
        MissingExtraError: the logger needs a package that is not installed.
        LoggerError: the settings of the logger are wrong.
    """
    check = getattr(logger, "check", None)
    if check is not None:
        check()


def shown_logger(logger: RunLogger) -> tuple[str, str]:
    """Return the kind of a logger and its place, for people."""
    place = getattr(logger, "place", "")
    return getattr(logger, "kind", type(logger).__name__), str(place)
