"""Python objects as JSON values: how the record of a run describes the objects that the run was given.

An object is described by its class and, if it is a dataclass, by its fields; a function is described by its name. The
hash of the source is recorded as well, except for molbuffer's own code.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from molbuffer.kinds.errors import SourceError
from molbuffer.kinds.family import INSTALLED, OWN
from molbuffer.kinds.python_source import read_source

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)

Known = Callable[[str, Any], Any]
"""A function (field name, value) that describes some values; it returns None for values that it does not describe."""


def name_of(thing: object) -> str:
    """Return a class, a function, or the class of another object as "module:name"."""
    thing = inspect.unwrap(thing) if callable(thing) else thing  # a loss may stand for a function
    named = thing if isinstance(thing, (type, *_FUNCTIONS)) else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def is_own(thing: object) -> bool:
    """Return whether a class, a function, or the class of another object is molbuffer's own."""
    return name_of(thing).partition(":")[0].partition(".")[0] == OWN


@dataclass
class Description:
    """Descriptions of the objects of one family.

    Attributes:
        family: the name of the family, with which the names in ``sources`` begin.
        known: describes some values in place of ``of``.
        sources: the sha256 of the source of each class and function that is not molbuffer's own, by name.
    """

    family: str
    known: Known = lambda name, value: None
    sources: dict[str, str] = field(default_factory=dict)

    def of(self, value: Any, name: str = "") -> Any:
        """Return a value as JSON values, and note the sources of its classes and functions.

        Args:
            value: the value.
            name: the name of the field that has it.
        """
        if (said := self.known(name, value)) is not None:
            return said
        if isinstance(value, enum.Enum):
            return value.value
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else repr(value)
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, Mapping):
            return {str(key): self.of(each, str(key)) for key, each in value.items()}
        if isinstance(value, Set):
            return sorted(map(self.of, value), key=str)
        if isinstance(value, (list, tuple)):
            return [self.of(each) for each in value]
        if isinstance(value, partial):
            return {"function": self.of(value.func), "given": self.of([*value.args, value.keywords])}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if callable(value):
            value = inspect.unwrap(value)
        self._note(value)
        if isinstance(value, (type, *_FUNCTIONS)):
            return name_of(value)
        if not dataclasses.is_dataclass(value):
            # Any other state of the object may change while the object is in use.
            return {"class": name_of(value)}
        if isinstance(sha256 := getattr(value, "sha256", None), str):
            return {"class": name_of(value), "sha256": sha256}
        fields = [each.name for each in dataclasses.fields(value) if each.init and not each.name.startswith("_")]
        return {"class": name_of(value), **{each: self.of(getattr(value, each), each) for each in fields}}

    def _note(self, value: Any) -> None:
        found = source_sha256(value)
        if found is not None:
            self.sources[f"{self.family} {name_of(value)}"] = found


def source_sha256(thing: object) -> str | None:
    """Return the sha256 of the source of a class, a function, or the class of another object.

    The hash covers the module and everything that the module imports. Code without a module file, as in a notebook, is
    hashed by its own text. Return None for molbuffer's own code, the standard library, and code without a readable
    source.
    """
    module = name_of(thing).partition(":")[0]
    top = module.partition(".")[0]
    if top == OWN or (top in sys.stdlib_module_names and top != "__main__"):
        return None
    if top != "__main__":
        try:
            return read_source(module, INSTALLED).sha256
        except SourceError:
            pass  # the module is in no file: the text of the code itself is hashed
    text = _text(thing if isinstance(thing, (type, *_FUNCTIONS)) else type(thing))
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _text(thing: Any) -> str | None:
    """Return the source text of a function, or of the functions of a class, also if they are in a notebook cell."""
    functions = [each for each in vars(thing).values() if isinstance(each, FunctionType)]
    try:
        return "\n".join(map(inspect.getsource, functions if isinstance(thing, type) else [thing]))
    except (OSError, TypeError):
        return None
