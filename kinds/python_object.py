"""A kind that is a class in a file of the user: ``kind = "python"`` with ``object = "my_module:MySampler"``."""

from __future__ import annotations

import importlib
import sys
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, create_model

from molbuffer.kinds.errors import BrokenKindError
from molbuffer.kinds.family import Family
from molbuffer.kinds.keys import FolderName, Text
from molbuffer.kinds.python_source import install_source, read_source, refuse_hiding
from molbuffer.kinds.table import KindTable, kind_table

PYTHON = "python"
"""The kind of a table that names a class or function in a user's file."""


class PythonObject(KindTable):
    """A class of the user; its fields are further keys of the table."""

    model_config = ConfigDict(extra="allow")
    family: ClassVar[Family]
    inner: ClassVar[bool] = False

    kind: Literal["python"]
    """A class of the user."""

    object: Text
    """The class, as "module:class". The module is in `folder`, or else installed. Its fields are further keys."""

    folder: Annotated[Text, FolderName()] = "."
    """The folder of the module; default: that of the configuration file."""

    @cached_property
    def of_class(self) -> KindTable:
        """The keys of the class.

        Raises:
            KindError: there is no such class, or it does not belong to the family.
            ValidationError: the values do not fit the keys of the class.
        """
        cls = registered_object(self.family, self.object, self.folder)
        made: KindTable = object_table(cls, inner=self.inner).model_validate(
            {"kind": PYTHON, **(self.model_extra or {})}
        )
        return made

    @property
    def foreign_name(self) -> str:
        """The family and the class."""
        return f"{self.family.name} {self.object}"

    @property
    def foreign_sha256(self) -> str:
        """The hash of the source of the class, as it was imported."""
        return read_source(self.object.partition(":")[0], self.folder).sha256

    def build(self, **given: Any) -> Any:
        return self.of_class.build(**given)


def python_table(family: Family, base: type[KindTable], *, inner: bool = False) -> type[PythonObject]:
    """Return the table that names a user's class of a family, with the keys that all tables of the family have."""
    # PythonObject is the last base, since the configuration of the last base, which allows further keys, counts.
    bases: Any = (PythonObject,) if base is KindTable else (base, PythonObject)
    # The first base allows any text as the kind.
    kind: dict[str, Any] = {"kind": (Literal["python"], Field(description="A class of the user."))}
    made: type[PythonObject] = create_model(
        f"Python{family.name.capitalize()}{'Inside' if inner else ''}",
        __base__=bases,
        __doc__=PythonObject.__doc__,
        __module__=__name__,
        **kind,
    )
    made.family, made.inner = family, inner
    return made


@cache
def object_table(cls: Any, *, inner: bool = False) -> type[KindTable]:
    """Return the table whose keys are the fields of a user's class."""
    return kind_table(PYTHON, cls, inner=inner)


@cache
def registered_object(family: Family, name: str, folder: str) -> Any:
    """Return a user's class of a family from the file that defines it.

    The file is imported as it is at the first call; later changes take effect only in a new process.

    Args:
        family: the family.
        name: the class, as "module:class".
        folder: the folder of the module.

    Raises:
        SourceError: there is no such module, or an installed package has the same name.
        BrokenKindError: the module cannot be imported or has no such class, or the class does not belong to the family.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise BrokenKindError(f'got the object {name!r}, expected "module:class"')
    source = read_source(module, folder)
    refuse_hiding(source)
    install_source(source)
    # Any error that the user's module raises is reported as a problem of this table.
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise BrokenKindError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return family.adapt(getattr(found, attribute))
    except (AttributeError, TypeError) as error:
        raise BrokenKindError(f"{name!r} does not belong to the family {family.name!r}: {error}") from error


def add_object(family: Family, name: str, folder: str) -> str:
    """Add a class in a user's file to the kinds of this process, and return the name of its kind.

    Args:
        family: the family.
        name: the class, as "module:class"; its attribute ``kind`` is the name of the kind.
        folder: the folder of the module.

    Raises:
        KindError: the class cannot be used or has no ``kind``, or the name of its kind is taken.
    """
    registered = registered_object(family, name, folder)
    cls = getattr(sys.modules[name.partition(":")[0]], name.partition(":")[2])
    kind = getattr(cls, "kind", None)
    if not isinstance(kind, str) or not kind:
        raise BrokenKindError(f"{name!r} has no attribute `kind`: set it to the name under which policies are stored")
    family.add(kind, f"{name.partition(':')[0]}.py", name, registered)
    return kind
