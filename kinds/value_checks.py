"""Checks of the values of dataclasses by their annotations, so that Python refuses what a configuration refuses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache, reduce, wraps
from operator import or_
from typing import Annotated, Any, TypeVar, get_args, get_origin

from molbuffer.kinds.errors import BrokenKindError, WrongKeyError
from molbuffer.kinds.keys import Key, Outermost, Typed

ClassT = TypeVar("ClassT", bound=type)

_PLAIN = (str, int, float, bool, type(None))


def checked(cls: ClassT) -> ClassT:
    """Make a dataclass refuse values that its annotations exclude, as its table in a configuration does.

    Errors that the class raises itself are left unchanged. Fields that hold objects of kinds, and fields whose value
    the program gives, are not checked here.

    The constructor of the decorated class raises a ``WrongKeyError`` with what was got and what is expected.
    """
    make: Any = vars(cls)["__init__"]
    signature = inspect.signature(make)

    @wraps(make)
    def checked_init(self: Any, *args: Any, **values: Any) -> None:
        try:
            make(self, *args, **values)
        except (TypeError, AttributeError):
            # A value of a wrong type makes a calculation of the class fail; an error about the value says more.
            _check_arguments(cls, signature, (self, *args), values)
            raise
        # Objects with default values only are made while modules are imported, which must stay fast.
        if args or values:
            _check_arguments(cls, signature, (self, *args), values)

    setattr(cls, "__init__", checked_init)  # noqa: B010 (to a type checker, an assignment would change any class)
    return cls


def _check_arguments(cls: Any, signature: inspect.Signature, args: tuple[Any, ...], values: Mapping[str, Any]) -> None:
    try:
        given = signature.bind_partial(*args, **values).arguments
    except TypeError:
        return  # the class itself reports an unknown argument
    check_values(cls, given)


def check_values(cls: Any, values: Mapping[str, Any]) -> None:
    """Refuse values of fields of a dataclass that their annotations exclude.

    Raises:
        WrongKeyError: a value is excluded; the error names the first one, what was got and what is expected.
    """
    from pydantic import ValidationError

    adapters = _adapters(cls)
    for name, value in values.items():
        if name not in adapters or isinstance(value, Iterator):
            continue
        try:
            adapters[name].validate_python(_plain(value))
        except ValidationError as error:
            raise _refusal(cls.__name__, name, value, error.errors(include_url=False)[0]) from None


def _refusal(made: str, field: str, value: Any, problem: Any) -> Exception:
    """Return the error for a problem that pydantic found; an error that the check of a field raised stays unchanged."""
    raised = problem.get("ctx", {}).get("error")
    if isinstance(raised, ValueError):
        return raised
    place = "".join(f"[{part}]" for part in problem["loc"] if isinstance(part, int))
    expected = problem["msg"].replace("Input should be", "expected")
    return WrongKeyError(field, f"{made}: {field}{place}: {expected}, got {value!r}")


def _plain(value: Any) -> Any:
    """Return a scalar of numpy, torch or the like as a number of Python, and any other value unchanged."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


@cache
def _adapters(cls: Any) -> Mapping[str, Any]:
    """Return the pydantic adapter that checks the values of each field that can be checked, by the field's name."""
    # pydantic is loaded only when a class is first given values.
    from pydantic import Field, InstanceOf, PydanticSchemaGenerationError, TypeAdapter

    from molbuffer.kinds.table import fields_with_keys, typed

    found: dict[str, Any] = {}
    try:
        fields = list(fields_with_keys(cls))
    except BrokenKindError:
        return found  # annotations that exist for type checkers only
    for field, type_, markers in fields:
        as_key = typed(type_, markers)
        if any(_of_kinds(each) for each in _parts(as_key)):
            continue
        allowed: Any = as_key if as_key is type_ else reduce(or_, (as_key, *_objects(type_)))
        kept = [each for each in markers if not isinstance(each, Key | Typed | Outermost)]
        if get_origin(type_) is tuple or get_origin(as_key) is tuple:
            kept.append(Field(strict=False))
        if is_dataclass(allowed):
            found[field.name] = TypeAdapter(InstanceOf[allowed])
            continue
        try:
            adapter = TypeAdapter(Annotated[allowed, *kept, Field()], config={"strict": True, "allow_inf_nan": False})
        except PydanticSchemaGenerationError:
            continue  # a class that pydantic does not know
        found[field.name] = adapter
    return found


def _parts(type_: Any) -> Iterator[Any]:
    yield type_
    for each in get_args(type_):
        yield from _parts(each)


def _of_kinds(part: Any) -> bool:
    """Return whether a part of a type is a table or a choice among tables, for which Python has objects."""
    from molbuffer.kinds.table import Choice, Table, TableOf

    return isinstance(part, Choice | TableOf) or (inspect.isclass(part) and issubclass(part, Table))


def _objects(type_: Any) -> list[Any]:
    """Return the types of a field whose values a configuration file cannot express."""
    choices = get_args(type_) if get_origin(type_) is not None else (type_,)
    whole = [type_] if inspect.isclass(origin := get_origin(type_)) and issubclass(origin, Mapping) else []
    return [*whole, *(each for each in choices if inspect.isclass(each) and each not in _PLAIN and not whole)]
