"""The table of a class: its keys, what they may be, and what is said of a wrong one."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from molbuffer.kinds.errors import BrokenKindError, WrongKeyError
from molbuffer.kinds.keys import Checked, FileName, Given, Key, Outermost, Typed
from molbuffer.kinds.one_of import OneOf
from molbuffer.kinds.table import KindTable, kind_table, values_marked
from molbuffer.scoring import TRANSFORMS
from molbuffer.scoring.transforms import Linear, Transform


def _even(number: int) -> None:
    if number % 2:
        raise ValueError(f"{number} is odd")


@dataclass(frozen=True)
class Base:
    """What is inherited.

    Attributes:
        width: the width,
            in atoms.
    """

    width: int = 1


@dataclass(frozen=True)
class Thing(Base):
    """A thing. And more of it.

    Not this.

    Attributes:
        minimum: the least.
        names: the names.
    """

    _: KW_ONLY
    minimum: Annotated[float | None, Key("min")] = None
    names: tuple[str, ...] = ("a",)
    even: Annotated[int, Checked(_even)] = 2
    mode: Annotated[object, Typed(Literal["x", "y"])] = "x"
    file: Annotated[str | None, FileName()] = None
    store: Annotated[Any, Given()] = None
    once: Annotated[bool, Outermost()] = False
    shape: Annotated[Transform, Typed(Annotated[KindTable, OneOf(TRANSFORMS, bare=True)])] = Linear(0, 1)
    sizes: dict[str, float] = field(default_factory=dict)
    cache: dict[int, int] = field(default_factory=dict, init=False)
    kind: ClassVar[str] = "ignored"

    def __post_init__(self) -> None:
        if self.width > 5:
            raise WrongKeyError("minimum", "is too little for the width")
        if self.width == 0:
            raise ValueError("no thing is that thin")


TABLE = kind_table("thing", Thing)


def table(**keys: Any) -> KindTable:
    return TABLE.model_validate({"kind": "thing", **keys})


def problem(**keys: Any) -> tuple[tuple[Any, ...], str]:
    with pytest.raises(ValidationError) as caught:
        table(**keys)
    (error,) = caught.value.errors()
    return error["loc"], error["msg"]


def test_fields_are_keys_with_their_defaults_and_descriptions() -> None:
    assert list(TABLE.model_fields) == [
        *("kind", "width", "min", "names", "even", "mode", "file", "once", "shape", "sizes"),
    ]
    assert table().build() == Thing()
    described = {name: key.description for name, key in TABLE.model_fields.items()}
    assert (described["width"], described["min"], described["kind"]) == (
        *("The width, in atoms.", "The least."),
        "A thing. And more of it.",
    )
    assert TABLE.__doc__ == "A thing. And more of it."


def test_values_reach_the_object_and_come_back_from_json() -> None:
    made = table(width=2, min=3, names=["b", "c"], mode="y", shape={"kind": "linear", "low": 1, "high": 2}, once=True)
    assert made.build(store="open", other=1) == Thing(
        2, minimum=3.0, names=("b", "c"), mode="y", shape=Linear(1, 2), once=True, store="open"
    )
    assert TABLE.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("keys", "place", "message"),
    [
        ({"width": "2"}, ("width",), "Input should be a valid integer"),
        ({"minimum": 2}, ("minimum",), "Extra inputs are not permitted"),
        ({"store": 2}, ("store",), "Extra inputs are not permitted"),
        ({"cache": {}}, ("cache",), "Extra inputs are not permitted"),
        ({"even": 3}, ("even",), "Value error, 3 is odd"),
        ({"mode": "z"}, ("mode",), "Input should be 'x' or 'y'"),
        ({"sizes": {"a": float("nan")}}, ("sizes", "a"), "Input should be a finite number"),
        ({"width": 9}, ("min",), "is too little for the width"),
        ({"width": 0}, (), "Value error, no thing is that thin"),
        ({"shape": {"kind": "linear", "low": 1}}, ("shape", "linear", "high"), "Field required"),
        ({"shape": {"kind": "sigmoid", "low": 2, "high": 1}}, ("shape", "sigmoid"), "low of a sigmoid transform"),
    ],
)
def test_a_wrong_key_is_refused_at_its_place(keys: dict[str, Any], place: tuple[Any, ...], message: str) -> None:
    where, what = problem(**keys)
    assert where == place
    assert message in what


def test_a_table_inside_another_of_its_family_lacks_the_keys_of_outer_ones() -> None:
    inside = kind_table("thing", Thing, inner=True)
    assert TABLE.model_fields.keys() - inside.model_fields.keys() == {"once"}


def test_the_marked_values_of_an_object_are_found() -> None:
    assert [(value, type(marker)) for value, marker in values_marked(Thing(file="a.smi"), FileName)] == [
        ("a.smi", FileName)
    ]
    assert list(values_marked(Thing(), FileName)) == []


@dataclass(frozen=True)
class Unresolved:
    """Its annotation names nothing."""

    value: "Nowhere" = 1  # type: ignore[name-defined]  # noqa: F821


def _class() -> Callable[[], object]:
    class Plain:
        pass

    return Plain


@pytest.mark.parametrize(("cls", "named"), [(Unresolved, "Nowhere"), (_class(), "no dataclass"), (Thing(), "no data")])
def test_a_class_without_readable_fields_has_no_table(cls: Any, named: str) -> None:
    with pytest.raises(BrokenKindError, match=named):
        kind_table("broken", cls)


def test_a_bare_name_stands_for_a_kind_with_its_defaults() -> None:
    adapter: TypeAdapter[KindTable] = TypeAdapter(Annotated[KindTable, OneOf(TRANSFORMS, bare=True)])
    assert adapter.validate_python("identity") == adapter.validate_python({"kind": "identity"})
    with pytest.raises(ValidationError):
        TypeAdapter(Annotated[KindTable, OneOf(TRANSFORMS)]).validate_python("identity")
    with pytest.raises(ValidationError, match="identit"):
        TypeAdapter(Annotated[KindTable, OneOf(TRANSFORMS, without=("identity",))]).validate_python(
            {"kind": "identity"}
        )


def test_an_object_becomes_the_table_that_makes_it() -> None:
    choice = OneOf(TRANSFORMS)
    assert choice.table_from(Linear(1, 3)).build() == Linear(1, 3)
