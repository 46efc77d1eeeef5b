"""The boundary of the store, at which errors of engines and of the system become a ``StoreError``.

Inside, DuckDB, SQLite, Arrow, the system and a database server raise errors of their own. ``bounded`` wraps all methods
of a public class in one translation (``backends.as_store_error``), so that no other part of the store translates them.
Errors in arguments (``ValueError``, ``TypeError``) and errors that the caller's own code raises are left unchanged.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from molbuffer.storage.backends import as_store_error

Class = TypeVar("Class", bound=type)


@contextmanager
def boundary(root: Path | None) -> Iterator[None]:
    """Raise the errors of engines and of the system as errors of the store.

    Args:
        root: the folder of the store, which errors name; None if there is no store yet.
    """
    try:
        yield
    except Exception as error:
        told = as_store_error(error, root)
        if told is None:
            raise
        raise told from error


def bounded(root: Callable[[Any], Path | None]) -> Callable[[Class], Class]:
    """Return a class decorator that translates the errors of every public method and property.

    Methods that return contexts are left out: the caller's own code runs in the context, and the methods that they call
    are translated already.

    Args:
        root: a function that returns the folder of an object's store; it is not called for a classmethod.
    """

    def decorate(of: Class) -> Class:
        for name, member in list(vars(of).items()):
            if name.startswith("_"):
                continue
            if isinstance(member, classmethod):
                setattr(of, name, classmethod(_behind(member.__func__, lambda cls: None)))
            elif isinstance(member, property) and member.fget is not None:
                setattr(of, name, property(_behind(member.fget, root), doc=member.__doc__))
            elif inspect.isfunction(member) and not inspect.isgeneratorfunction(inspect.unwrap(member)):
                setattr(of, name, _behind(member, root))
            elif inspect.isgeneratorfunction(member):
                setattr(of, name, _behind_in_portions(member, root))
        return of

    return decorate


def _behind(function: Callable[..., Any], root: Callable[[Any], Path | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return function(self, *arguments, **named)
        except Exception as error:
            told = as_store_error(error, root(self))
            if told is None:
                raise
            raise told from error

    return call


def _behind_in_portions(
    function: Callable[..., Generator[Any, None, None]], root: Callable[[Any], Path | None]
) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def call(self: Any, *arguments: Any, **named: Any) -> Iterator[Any]:
        with boundary(root(self)):
            yield from function(self, *arguments, **named)

    return call
