"""The errors of loggers, exports and imports.

ExchangeError
├── MissingExtraError   a package that molbuffer does not install by default is needed
├── LoggerError         the place of a logger cannot be opened or written to
├── ExportError         what is asked for cannot be written, or not at that place
└── IngestError         a file is not what it is said to be
"""

from __future__ import annotations

import importlib.util


class ExchangeError(Exception):
    """The base class of all errors of this room."""


class MissingExtraError(ExchangeError, ValueError):
    """A package that molbuffer does not install by default is needed, and is not installed."""


class LoggerError(ExchangeError):
    """The place of a logger cannot be opened or written to."""


class ExportError(ExchangeError, ValueError):
    """What is asked for cannot be written, or not at that place."""


class IngestError(ExchangeError, ValueError):
    """A file is not what it is said to be."""


def check_extra(what: str, extra: str, *modules: str) -> None:
    """Refuse what needs packages that are not installed.

    Args:
        what: what needs them, for the message.
        extra: the extra of molbuffer that has them.
        modules: the names of their modules.

    Raises:
        MissingExtraError: naming the command that installs them.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'{what} needs packages that are not installed ({", ".join(missing)}): pip install "molbuffer[{extra}]"'
        )
