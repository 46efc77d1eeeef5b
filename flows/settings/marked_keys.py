"""Find the tables of a configuration, and the keys whose annotations have a marker, in data that may still be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.kinds import Family, KindError, OneOf, PythonObject, Section, TableOf, object_table, registered_object

Data = Mapping[str, Any]


@dataclass(frozen=True)
class FoundTable:
    """A table of a configuration.

    Attributes:
        path: the path of the table.
        data: its keys and values, unchecked.
        model: the class that checks the table.
        family: the family of the table's kind; None for a table without a kind.
    """

    path: KeyPath
    data: Data
    model: type[Section]
    family: Family | None = None


def tables(data: Data, model: type[Section], path: KeyPath = (), family: Family | None = None) -> Iterator[FoundTable]:
    """Yield a table and all tables inside it, outer tables first; values of a wrong type are reported elsewhere."""
    yield FoundTable(path, data, model, family)
    for name, field in keys_of(data, model).items():
        for place, value in _values(data.get(name), (*path, name)):
            inner = model_of(field, value)
            if inner is not None and isinstance(value, Mapping):
                yield from tables(value, inner, place, _family_of(field))


def marked(found: FoundTable, marker: type) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield the path, the text and the marker of each key of a table whose annotation has a marker of this type."""
    for name, field in keys_of(found.data, found.model).items():
        value = found.data.get(name)
        for each in annotations_of(field):
            if isinstance(each, marker) and isinstance(value, str) and value:
                yield (*found.path, name), value, each


def keys_of(data: Data, model: type[Section]) -> dict[str, FieldInfo]:
    """Return the keys of a table, including those of a class of the user if it can be imported."""
    of_class = table_of_class(data, model)
    return dict(model.model_fields) | ({} if of_class is None else of_class.model_fields)


def table_of_class(data: Data, model: type[Section]) -> type[Section] | None:
    """Return the table of the class that a table of kind ``python`` names.

    Return None for any other table, and for a class that cannot be imported; the check of the table reports that.
    """
    name, folder = data.get("object"), data.get("folder", ".")
    if not (issubclass(model, PythonObject) and isinstance(name, str) and isinstance(folder, str)):
        return None
    try:
        return object_table(registered_object(model.family, name, folder), inner=model.inner)
    except KindError:
        return None


def annotations_of(field: FieldInfo) -> Iterator[Any]:
    """Yield the annotations of a key, including those inside optional types and lists."""
    yield from field.metadata
    yield from _inside(field.annotation)


def _inside(annotation: Any) -> Iterator[Any]:
    for each in get_args(annotation):
        if get_origin(each) is not None or isinstance(each, type):
            yield from _inside(each)
        elif each is not ... and each is not None:
            yield each


def model_of(field: FieldInfo, value: Any) -> type[Section] | None:
    """Return the class that checks a value of a key, if that is the class of a table; else None."""
    for each in annotations_of(field):
        if isinstance(each, OneOf):
            return each.table(value)
        if isinstance(each, TableOf):
            return each.table
    for each in (field.annotation, *get_args(field.annotation)):
        if isinstance(each, type) and issubclass(each, Section):
            return each
    return None


def _family_of(field: FieldInfo) -> Family | None:
    return next((each.family for each in annotations_of(field) if isinstance(each, OneOf)), None)


def _values(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield a value, or the items of a list, with their paths."""
    if isinstance(value, list | tuple):
        yield from (((*path, i), item) for i, item in enumerate(value))
    else:
        yield path, value
