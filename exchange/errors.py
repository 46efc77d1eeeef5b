"""The errors of loggers, exports and imports.

ExchangeError
├── MissingExtraError   a package that molbuffer does not install by default is needed
├── LoggerError         a logger cannot open or write its log
├── ExportError         a data set cannot be written: it has no rows, or its folder exists
└── IngestError         a file does not have the format or the values that it is imported as
"""

from __future__ import annotations

import importlib.util


class ExchangeError(Exception):
    """The base class of all errors of this room."""


class MissingExtraError(ExchangeError, ValueError):
    """An optional package of molbuffer is needed and is not installed."""


class LoggerError(ExchangeError):
    """A logger cannot open or write its log."""


class ExportError(ExchangeError, ValueError):
    """A data set cannot be written: it has no rows, its objective is ambiguous, or its folder exists."""


class IngestError(ExchangeError, ValueError):
    """A file does not have the format or the values that it is imported as."""


def check_extra(what: str, extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        what: the feature that needs the packages, for the message.
        extra: the extra of molbuffer that installs them.
        modules: the modules that must be importable.

    Raises:
        MissingExtraError: a module is missing; the message has the pip command that installs it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'{what} needs packages that are not installed ({", ".join(missing)}): pip install "molbuffer[{extra}]"'
        )
