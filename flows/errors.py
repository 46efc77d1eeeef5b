"""Errors of flows and commands that belong to no other room.

UsageError    a command was given options that do not go together
WorkersError  the workers of a run cannot be started or reached, or cannot make a part of a build
"""

from __future__ import annotations


class UsageError(Exception):
    """A command was given options that do not go together."""


class WorkersError(Exception):
    """The workers of a run cannot be started or reached, or cannot make a part of a build."""
