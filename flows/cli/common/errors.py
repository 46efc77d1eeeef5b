"""Report errors of commands: an error that a user can correct becomes a message instead of a traceback."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from molbuffer.flows.cli.common.interruptions import report_interruption
from molbuffer.flows.cli.common.notes import note

DEBUG = "MOLBUFFER_DEBUG"
"""The environment variable that, set to 1, shows tracebacks."""

_ROOTS = (
    ("molbuffer.flows.errors", "UsageError"),
    ("molbuffer.flows.errors", "WorkersError"),
    ("molbuffer.flows.settings.problems", "ConfigurationError"),
    ("molbuffer.flows.cli.common.prefect_server", "PrefectServerError"),
    ("molbuffer.exchange.errors", "ExchangeError"),
    ("molbuffer.kinds.errors", "KindError"),
    ("molbuffer.lab.errors", "RunError"),
    ("molbuffer.samplers.errors", "SamplerError"),
    ("molbuffer.scoring.errors", "ScoringError"),
    ("molbuffer.storage.errors", "StoreError"),
    ("molbuffer.training.errors", "TrainingError"),
)
"""The base classes of the packages' errors, by module and name."""


class ReportingGroup(TyperGroup):
    """A group of commands that reports errors on standard error, with exit code 1, and signals with their exit code."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for command in self.commands.values():
            # The lines of a docstring are as wide as those of the code, and a terminal may be narrower.
            paragraphs = (command.help or "").split("\n\n")
            command.help = _unmarked("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))
            for parameter in command.params:
                if (text := getattr(parameter, "help", None)) is not None:
                    parameter.help = _unmarked(text)  # type: ignore[attr-defined]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            code = report_interruption(error)
            if debugging():
                raise
            if code is not None:
                raise typer.Exit(code) from None
            if not isinstance(error, Exception) or not is_for_users(error):
                raise
            note(f"error: {_in_words(error)}")
            raise typer.Exit(1) from error


def _unmarked(text: str) -> str:
    """Return a help text with escaped square brackets: rich would read the name of a table as markup and drop it."""
    return re.sub(r"(?<!\\)\[(?=[a-z])", r"\\[", text)


def _in_words(error: Exception) -> str:
    """Return the message of an error; for an error of the operating system, with advice on what to do."""
    if not isinstance(error, OSError):
        return str(error)
    from molbuffer.storage import system_advice

    advice = system_advice(error)
    return str(error) if advice is None or advice in str(error) else f"{error}. {advice}"


def debugging() -> bool:
    """Return whether tracebacks are shown."""
    return os.environ.get(DEBUG) == "1"


def is_for_users(error: Exception) -> bool:
    """Return whether a user, rather than a developer, can correct an error."""
    if isinstance(error, BrokenPipeError):
        # The program that reads the output has ended, which is no error. Typer ends the command.
        return False
    # An error can only come from a package that has been imported; importing the others would take seconds.
    imported = ((sys.modules.get(module), name) for module, name in _ROOTS)
    return isinstance(error, (OSError, *(getattr(module, name) for module, name in imported if module is not None)))
