"""The part of the example configuration with the kinds of other packages, generated from their classes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from molbuffer.kinds import Family, Kind, OneOf

PLACES: Mapping[str, str] = {
    "components": "[[objective.components]]",
    "filters": "[[filters]]",
    "samplers": "[[samplers]]",
    "losses": "[training.loss]",
    "selections": "[buffer.selection]",
    "transforms": "[objective.components.transform]",
}
"""The table of a configuration for a kind, by the kind's family."""
WIDTH = 118


def example_of_kinds(families: Iterable[Family]) -> str:
    """Return a commented-out table for each usable kind of other packages; an empty text if there is none."""
    tables = [
        "\n".join(_table(family, kind))
        for family in families
        if family.name in PLACES
        for kind in family.kinds.values()
        if not kind.is_own and kind.problem is None
    ]
    return "\n\n".join(["\n# Kinds of other packages.", *tables]) + "\n" if tables else ""


def _table(family: Family, kind: Kind) -> Iterator[str]:
    table = OneOf(family).tables[kind.name]
    yield from _comment(f"{kind.name}, of {kind.source}: {table.__doc__}")
    yield f"#{PLACES[family.name]}"
    yield f'#kind = "{kind.name}"'
    if family.name == "samplers":
        yield '#name = "mine"'
    for key, field in table.model_fields.items():
        if key != "kind":
            yield from _comment(f"  {key}: {field.description or 'see the package'}")
            yield f"#{key} = {_value(field)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", drop_whitespace=True)


def _value(field: FieldInfo) -> str:
    """Return the default of a key as TOML, or an example of its type if it has no default that TOML can express."""
    default = field.get_default(call_default_factory=False)
    plain = None if default is PydanticUndefined else to_jsonable_python(default, fallback=lambda _: None)
    if plain is not None and not isinstance(plain, dict):
        return json.dumps(plain, ensure_ascii=False)
    if any(isinstance(each, OneOf) for each in field.metadata):
        return '{ kind = "..." }'
    return next((text for type_, text in _OF_TYPE.items() if _has_type(field.annotation, type_)), '"..."')


_OF_TYPE: Mapping[type, str] = {bool: "true", int: "1", float: "1.0", tuple: "[]", list: "[]", dict: "{}"}
"""An example in TOML for each type of a key; a key of any other type gets a text."""


def _has_type(annotation: Any, wanted: type) -> bool:
    """Return whether an annotation is the wanted type, or a union that contains it."""
    return (
        annotation is wanted
        or get_origin(annotation) is wanted
        or (
            get_origin(annotation) in (Union, UnionType, Annotated)
            and any(_has_type(each, wanted) for each in get_args(annotation))
        )
    )
