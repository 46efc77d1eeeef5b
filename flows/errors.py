"""Errors of flows and commands that belong to no other room.

UsageError    a command was given options that do not go together
"""

from __future__ import annotations


class UsageError(Exception):
    """A command was given options that do not go together."""
