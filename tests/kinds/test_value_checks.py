"""Dataclasses that are checked by their annotations: Python refuses what a configuration refuses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import ValidationError

from molbuffer.exchange import LOGGERS
from molbuffer.kinds import Count, Family, OneOf, Share, Text, Typed, check_values, checked
from molbuffer.kinds.errors import WrongKeyError
from molbuffer.samplers import SAMPLERS
from molbuffer.scoring import ACQUISITIONS, CHOICES, COMPONENTS, FILTERS, SURROGATES, TRANSFORMS
from molbuffer.storage import SELECTIONS
from molbuffer.training import LOSSES

FAMILIES = (ACQUISITIONS, COMPONENTS, CHOICES, FILTERS, LOGGERS, LOSSES, SAMPLERS, SELECTIONS, SURROGATES, TRANSFORMS)


@checked
@dataclass(frozen=True)
class Thing:
    """A thing with fields of several kinds."""

    count: Count = 1
    share: Share = 0.5
    name: Text = "a"
    names: tuple[Text, ...] = ()
    on: bool = False
    other: object = None
    parts: list[int] = field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "Thing: count: expected greater than or equal to 1, got 0"),
        ({"count": True}, "count: expected a valid integer, got True"),
        ({"count": "1"}, "count: expected a valid integer, got '1'"),
        ({"share": 1.5}, "share: expected less than or equal to 1, got 1.5"),
        ({"share": float("nan")}, "share: expected .*, got nan"),
        ({"name": ""}, "name: .* at least 1 character, got ''"),
        ({"names": ("a", "")}, r"names\[1\]: .* at least 1 character"),
        ({"names": "abc"}, "names: expected a valid tuple, got 'abc'"),
        ({"on": 1}, "on: expected a valid boolean, got 1"),
    ],
)
def test_a_value_that_the_annotation_excludes_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongKeyError, match=said) as caught:
        Thing(**values)
    assert caught.value.field == next(iter(values))


def test_values_that_are_allowed_stay_what_they_are() -> None:
    number, names = np.int64(3), ["a", "b"]
    made = Thing(number, share=1, names=names, other=object)  # type: ignore[arg-type]
    assert made.count is number
    assert made.names is names
    assert (made.share, made.other) == (1, object)
    with pytest.raises(TypeError, match="unexpected keyword"):
        Thing(colour="red")  # type: ignore[call-arg]


def _own_kinds() -> Iterator[tuple[Family, str]]:
    for family in FAMILIES:
        yield from ((family, name) for name, kind in family.kinds.items() if kind.is_own)


def _wrong(cls: Any) -> Iterator[tuple[str, Any]]:
    """Yield values that the annotations of a class exclude, by the name of the field."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        markers = get_args(hint)[1:] if hasattr(hint, "__metadata__") else ()
        for each in markers:
            beyond: dict[type, Any] = {Gt: ("gt", 0), Ge: ("ge", -1), Lt: ("lt", 0), Le: ("le", 1)}
            if type(each) in beyond:
                bound, further = beyond[type(each)]
                yield name, getattr(each, bound) + further
            # A field with a type of its own in a table is checked by its class.
            of_class = any(isinstance(marker, Typed) for marker in markers)
            if isinstance(each, MinLen) and each.min_length and not of_class:
                yield name, ""
        plain = get_args(hint)[0] if markers else hint
        if plain in (int, float, bool):
            yield name, "a"


@pytest.mark.parametrize(
    ("family", "name"), [pytest.param(*each, id=f"{each[0].name}-{each[1]}") for each in _own_kinds()]
)
def test_a_kind_refuses_in_python_what_its_table_refuses(family: Family, name: str) -> None:
    table = OneOf(family).tables[name]
    cls = table.made_of
    assert hasattr(cls.__init__, "__wrapped__"), f"{cls.__name__} is not @checked"
    for field_name, value in _wrong(cls):
        key = next((each for each, of in table.attributes.items() if of == field_name), None)
        if key is None:
            continue
        with pytest.raises(ValidationError) as told:
            table.model_validate({"kind": name, key: value})
        if any(each["loc"] == (key,) for each in told.value.errors()):
            # What ``checked`` asks when an object is made: other fields may be needed to make one.
            with pytest.raises(WrongKeyError, match=field_name):
                check_values(cls, {field_name: value})
