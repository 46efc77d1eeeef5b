"""Tables of kinds: the keys of a class, checked by pydantic, and the choice among the kinds of a family.

A class is defined once. Its fields give the keys of its table, with their types, bounds and defaults, and the section
``Attributes`` of its docstring gives their descriptions; ``kinds.keys`` has the markers of annotations beyond the type.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import FunctionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from pydantic import Field, create_model, model_validator

from molbuffer.kinds.errors import BrokenKindError, WrongKeyError
from molbuffer.kinds.family import Kind
from molbuffer.kinds.keys import Given, Key, Outermost, Typed
from molbuffer.kinds.section import Section, refuse


class Table(Section):
    """The base class of the tables of classes; ``kind_table`` and ``class_table`` make a subclass for each class."""

    made_of: ClassVar[Any] = None
    """The class that the table describes."""
    attributes: ClassVar[Mapping[str, str]] = {}
    """The name of the field of the class, by the key of the table."""

    def build(self, **given: Any) -> Any:
        """Return an object of the class.

        Args:
            given: values of the fields that have no key; values for fields that the class does not have are ignored.

        Raises:
            ValueError: the class refuses the values.
        """
        values = {field: _built(getattr(self, key), given) for key, field in self.attributes.items()}
        fields = {field.name for field in dataclasses.fields(self.made_of)}
        return self.made_of(**values, **{name: value for name, value in given.items() if name in fields})

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        # A refusal of the class is reported with the line of the key, or else of the table.
        try:
            self.build()
        except WrongKeyError as error:
            key = next((key for key, field in self.attributes.items() if field == error.field), error.field)
            refuse(type(self).__name__, [((key,), str(error))])
        return self


@runtime_checkable
class Choice(Protocol):
    """A choice among the tables of kinds; ``one_of.OneOf`` is one."""

    def table_from(self, made: Any) -> Table:
        """Return the table of an object of a kind."""


TableT = TypeVar("TableT", bound=Table)
MarkerT = TypeVar("MarkerT")


class KindTable(Table):
    """The base class of the tables of kinds."""

    kind_of: ClassVar[Kind | None] = None
    """The registered kind; None for a class in a user's file."""

    kind: str
    """The kind."""

    @property
    def foreign_name(self) -> str:
        """The family, the name and the package of the kind."""
        of = self.kind_of
        return self.kind if of is None else f"{of.family} {of.name} of {of.source}"

    @property
    def foreign_sha256(self) -> str | None:
        """The sha256 of the source of the class; None for molbuffer's own classes."""
        return None if self.kind_of is None or self.kind_of.is_own else self.kind_of.source_sha256


def _built(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, Table):
        return value.build(**given)
    return tuple(_built(each, given) for each in value) if isinstance(value, tuple) else value


def kind_table(kind: str, cls: Any, base: type[KindTable] = KindTable, *, inner: bool = False) -> type[KindTable]:
    """Return the table of a kind.

    Args:
        kind: the name of the kind.
        cls: a dataclass.
        base: the base class, with the keys that all tables of the family have beside those of the class.
        inner: whether the table is nested in another table of its family, and lacks the keys marked ``Outermost``.

    Raises:
        BrokenKindError: the class is no dataclass, or an annotation cannot be resolved.
    """
    first = _first_words(cls)
    keys = {"kind": (Literal[kind], Field(description=first)), **_keys(cls, inner=inner)}
    return _made(f"{cls.__name__}{'Inside' if inner else ''}", cls, base, keys)


def class_table(cls: Any) -> type[Table]:
    """Return the table of a dataclass that is no kind.

    Raises:
        BrokenKindError: the class is no dataclass, or an annotation cannot be resolved.
    """
    return _made(cls.__name__, cls, Table, _keys(cls, inner=False))


def _made(name: str, cls: Any, base: type[TableT], keys: Mapping[str, Any]) -> type[TableT]:
    made: type[TableT] = create_model(
        name,
        __base__=base,
        __doc__=_first_words(cls),
        __module__=cls.__module__,
        # The keys have descriptions already; otherwise pydantic would look for the source of a class without a source.
        __cls_kwargs__={"use_attribute_docstrings": False},
        **keys,
    )
    made.made_of = cls
    made.attributes = {key_of(field.name, markers): field.name for field, _, markers in fields_with_keys(cls)}
    made.attributes = {key: field for key, field in made.attributes.items() if key in keys}
    return made


def _keys(cls: Any, *, inner: bool) -> dict[str, Any]:
    """Return the keys of a class as the field definitions that ``create_model`` takes."""
    if not (inspect.isclass(cls) and dataclasses.is_dataclass(cls)):
        raise BrokenKindError(f"{cls!r} is no dataclass: the keys of a kind are the fields of one")
    descriptions = attributes_of(cls)
    return {
        key_of(field.name, markers): (
            _key_type(type_, markers),
            Field(**_default(field, type_, markers), description=descriptions.get(field.name)),
        )
        for field, type_, markers in fields_with_keys(cls)
        if not (inner and any(isinstance(marker, Outermost) for marker in markers))
    }


def _first_words(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def fields_with_keys(cls: Any) -> Iterator[tuple[dataclasses.Field[Any], Any, tuple[Any, ...]]]:
    """Yield the fields of a dataclass that are keys, with their types and the markers of their annotations.

    Raises:
        BrokenKindError: an annotation cannot be resolved.
    """
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise BrokenKindError(f"the annotations of {cls.__qualname__} cannot be resolved: {error}") from error
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        type_, *markers = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if field.init and not any(isinstance(marker, Given) for marker in markers):
            yield field, type_, tuple(markers)


def key_of(field: str, markers: tuple[Any, ...]) -> str:
    """Return the key of a field."""
    return next((marker.name for marker in markers if isinstance(marker, Key)), field)


def attributes_of(cls: Any) -> dict[str, str]:
    """Return the texts of the ``Attributes`` sections of a class and its base classes, by the attribute's name."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(each.__dict__.get("__doc__") or "").partition("Attributes:\n")
        section = section.partition("\n\n")[0]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            joined = " ".join(text.split())
            found[name] = joined[:1].upper() + joined[1:]
    return found


def _default(field: dataclasses.Field[Any], type_: Any, markers: tuple[Any, ...]) -> dict[str, Any]:
    choice = next((each for each in get_args(typed(type_, markers)) if isinstance(each, Choice)), None)
    if field.default is not dataclasses.MISSING:
        default = field.default
        return {"default": default} if choice is None else {"default_factory": lambda: choice.table_from(default)}
    return {} if field.default_factory is dataclasses.MISSING else {"default_factory": field.default_factory}


def _key_type(type_: Any, markers: tuple[Any, ...]) -> Any:
    type_ = typed(type_, markers)
    kept = [marker for marker in markers if not isinstance(marker, Key | Typed | Outermost)]
    if get_origin(type_) is tuple:
        # A list from a file becomes a tuple, which is immutable.
        kept.append(Field(strict=False))
    return Annotated[type_, *kept] if kept else type_


def typed(type_: Any, markers: tuple[Any, ...]) -> Any:
    """Return the type of the key of a field: that of its marker ``Typed``, or else the type of the field."""
    found = next((marker.type for marker in markers if isinstance(marker, Typed)), type_)
    return found() if isinstance(found, FunctionType) else found


def values_marked(made: Any, marker: type[MarkerT]) -> Iterator[tuple[Any, MarkerT]]:
    """Yield the value of each field of an object that has a marker of a type, with the marker; None is left out."""
    for field, _, markers in fields_with_keys(type(made)):
        value = getattr(made, field.name)
        yield from ((value, each) for each in markers if isinstance(each, marker) and value is not None)


@dataclasses.dataclass(frozen=True)
class TableOf:
    """The value is the table of a class that is no kind: ``Annotated[Table, TableOf(Standardisation)]``.

    Attributes:
        cls: the class.
    """

    cls: Any

    @property
    def table(self) -> type[Table]:
        """The table."""
        return _table_of(self.cls)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(self.table)


_table_of = cache(class_table)
