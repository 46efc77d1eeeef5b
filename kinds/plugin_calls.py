"""Calls of objects that a plugin may have written: errors name the object, what it returned and what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from molbuffer.kinds.described import is_own, name_of
from molbuffer.kinds.errors import PluginError
from molbuffer.kinds.family import OWN


@contextmanager
def calling(family: str, thing: object, doing: str) -> Iterator[None]:
    """Raise the errors of an object in this context as errors that name the object.

    Errors of molbuffer's own objects, and errors of molbuffer's own classes, pass unchanged.

    Args:
        family: the singular noun for an object of the family, such as "loss".
        thing: the object, or a function.
        doing: what the object is asked to do, such as "to draw 8 rows".

    Raises:
        PluginError: an object that is not molbuffer's own raised an error whose class is not molbuffer's own.
    """
    try:
        yield
    except Exception as error:
        if is_own(thing) or type(error).__module__.partition(".")[0] == OWN:
            raise
        raise PluginError(
            f"the {family} {name_of(thing)} failed when it was asked {doing}: {type(error).__name__}: {error}"
        ) from error


def wrong_result(family: str, thing: object, got: str, expected: str) -> PluginError:
    """Return the error for an object that returned something that its family does not allow.

    Args:
        family: the singular noun for an object of the family, such as "loss".
        thing: the object, or a function.
        got: a description of what the object returned.
        expected: what is expected, and what to do.
    """
    return PluginError(f"the {family} {name_of(thing)} gave {got}, expected {expected}")


def shown(value: object) -> str:
    """Return a value as text for a message: its repr if that has at most 60 characters, or else its class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def refuse_class(what: str, value: object) -> None:
    """Refuse a class where an object of the class is expected.

    Args:
        what: the expected object, for the message.
        value: the value to check.

    Raises:
        TypeError: the value is a class.
    """
    if isinstance(value, type):
        raise TypeError(f"expected {what}, got the class {value.__name__}: write {value.__name__}(...)")
