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
"""The kind of what is a file of the user."""


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
            KindError: there is no such class, or it is none of the family.
            ValidationError: the values are not those of its keys.
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
    """Return the table of a family's classes of the user, with the keys that all tables of the family have."""
    # The last of the bases decides that other keys are allowed.
    bases: Any = (PythonObject,) if base is KindTable else (base, PythonObject)
    # Of the bases, the one that comes first has any text as the kind.
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
    """Return the table of the keys of a class of the user."""
    return kind_table(PYTHON, cls, inner=inner)


@cache
def registered_object(family: Family, name: str, folder: str) -> Any:
    """Return a class of a family that is in a file of the user.

    It is imported as it is now; later changes of the file take effect in another process.

    Args:
        family: the family.
        name: the class, as "module:class".
        folder: the folder of the module.

    Raises:
        SourceError: there is no such module, or its name is that of an installed package.
        BrokenKindError: it cannot be imported, has no such class, or the class is none of the family.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise BrokenKindError(f'got the object {name!r}, expected "module:class"')
    source = read_source(module, folder)
    refuse_hiding(source)
    install_source(source)
    # Whatever the module of the user raises is a problem of this table.
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise BrokenKindError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return family.adapt(getattr(found, attribute))
    except (AttributeError, TypeError) as error:
        raise BrokenKindError(f"{name!r} is none of the {family.name}: {error}") from error


def add_object(family: Family, name: str, folder: str) -> str:
    """Add a class in a file of the user to the kinds of this process, and return the name of its kind.

    Args:
        family: the family.
        name: the class, as "module:class"; its attribute ``kind`` is the name of the kind.
        folder: the folder of the module.

    Raises:
        KindError: the class cannot be used, has no ``kind``, or another kind has this name.
    """
    registered = registered_object(family, name, folder)
    cls = getattr(sys.modules[name.partition(":")[0]], name.partition(":")[2])
    kind = getattr(cls, "kind", None)
    if not isinstance(kind, str) or not kind:
        raise BrokenKindError(f"{name!r} has no attribute `kind`, the name that stored policies are known by")
    family.add(kind, f"{name.partition(':')[0]}.py", name, registered)
    return kind
