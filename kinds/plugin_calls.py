"""Calls of objects that somebody else may have written: errors name the object, what it gave and what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from molbuffer.kinds.described import is_own, name_of
from molbuffer.kinds.errors import PluginError
from molbuffer.kinds.family import OWN


@contextmanager
def calling(family: str, thing: object, doing: str) -> Iterator[None]:
    """Name an object in the errors that it raises in this context, unless they are molbuffer's own.

    Args:
        family: the word for one of its family, such as "loss".
        thing: the object, or a function.
        doing: what it is asked for, such as "to draw 8 rows".

    Raises:
        PluginError: the object is not molbuffer's own, and raised an error that is not either.
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
    """Return the error for an object that gave something else than its family does.

    Args:
        family: the word for one of its family, such as "loss".
        thing: the object, or a function.
        got: what it gave.
        expected: what is expected, and what to do.
    """
    return PluginError(f"the {family} {name_of(thing)} gave {got}, expected {expected}")


def shown(value: object) -> str:
    """Return a value for a message: its class, and its text as far as that is short."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def refuse_class(what: str, value: object) -> None:
    """Refuse a class that stands where an object of it is expected.

    Raises:
        TypeError: it does.
    """
    if isinstance(value, type):
        raise TypeError(f"expected {what}, got the class {value.__name__}: write {value.__name__}(...)")
