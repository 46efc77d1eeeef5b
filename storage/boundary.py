"""The boundary of the store: what crosses it as an error is a ``StoreError``.

Inside, DuckDB, SQLite, Arrow, the system and a database server raise errors of their own. ``bounded`` puts all methods
of a public class behind one translation (``backends.as_store_error``): no other part of the store has to think of it.
Errors of the caller (``ValueError``, ``TypeError``), and what the caller's own code raises, are left as they are.
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
        root: the folder of the store, which errors name; None where there is none yet.
    """
    try:
        yield
    except Exception as error:
        told = as_store_error(error, root)
        if told is None:
            raise
        raise told from error


def bounded(root: Callable[[Any], Path | None]) -> Callable[[Class], Class]:
    """Return a class decorator that puts every public method and property behind the boundary.

    Methods that make contexts are left out: the caller's own code runs within them, and they use other methods.

    Args:
        root: returns the folder of an object's store. A classmethod has none.
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
