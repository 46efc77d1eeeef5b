"""The errors of kinds.

KindError
├── UnknownKindError    no kind of the family has the name
├── BrokenKindError     the kind is registered, and its class cannot be used
├── WrongKeyError       a class refuses the value of one of its fields
├── PluginError         an object of a kind failed, or returned something that its family does not allow
└── SourceError         the source of a module cannot be found or read
"""

from __future__ import annotations


class KindError(ValueError):
    """The base class of the errors of this package; a table with such a kind is not valid."""


class UnknownKindError(KindError):
    """No kind of the family has the name."""


class BrokenKindError(KindError):
    """The kind is registered, but its class cannot be imported or does not belong to the family."""


class WrongKeyError(KindError):
    """A class refuses the value of one of its fields, alone or in combination with the values of other fields.

    Attributes:
        field: the name of the field; the error of a configuration reports the key of this field.
    """

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class PluginError(KindError):
    """An object of a kind raised an error, or returned something that its family does not allow."""


class SourceError(KindError):
    """The source of a module cannot be found or read."""
