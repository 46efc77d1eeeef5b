"""The family of samplers: the kinds with a table, and classes of samplers, whose fields are the keys of one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from molbuffer.kinds import Family, KindTable, OneOf, Typed
from molbuffer.samplers.tables.base import INNER_SAMPLER, RunParts, SamplerTable

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize


@dataclass(frozen=True, kw_only=True)
class OuterTable(SamplerTable):
    """The keys of a sampler that takes molecules of another one.

    Attributes:
        base_sampler: the sampler inside: a table of any kind of sampler, without a name and sizes.
    """

    base_sampler: InnerTable

    def base(self, name: str, parts: RunParts) -> Sampler:
        """Return the sampler inside one of a name."""
        from molbuffer.samplers.base import SamplerSize

        return self.base_sampler.sampler(f"{name}.{INNER_SAMPLER}", SamplerSize(), parts.of_inner())


GIVEN = ("agent", "prior", "vocabulary", "store", "run_id", "standardisation")
"""The fields that a run gives, beside name and size: the policy in training, as a function that returns it; the prior;
the vocabulary of both; the open store; the id of the run; and the standardisation of the campaign."""


@cache
def table_of_sampler(cls: Any) -> type[SamplerTable]:
    """Return the table of a class of samplers.

    The fields of the class are the keys, with their types, bounds and defaults. A run gives ``name``, ``size`` and the
    fields of ``GIVEN``; a field ``base_sampler`` takes any other sampler.

    Raises:
        TypeError: the class is no dataclass, or has no field ``name``.
    """
    if not hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"{cls.__qualname__} is no dataclass: the keys of a sampler are the fields of one")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    if "name" not in fields:
        raise TypeError(f"{cls.__qualname__} has no field `name`, which a run gives")
    hints = get_type_hints(cls, include_extras=True)
    keys: list[Any] = [
        (name, hints[name], _again(field))
        for name, field in fields.items()
        if name not in ("name", "size", INNER_SAMPLER, *GIVEN)
    ]

    def sampler(self: SamplerTable, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        given: dict[str, Any] = {"name": name, "size": size, "vocabulary": parts.prior.vocabulary}
        given |= {each: getattr(parts, each) for each in GIVEN if each != "vocabulary"}
        if isinstance(self, OuterTable):
            given[INNER_SAMPLER] = self.base(name, parts)
        values = {key: getattr(self, key) for key, _, _ in keys}
        made: Sampler = cls(**values, **{name: value for name, value in given.items() if name in fields})
        return made

    base = OuterTable if INNER_SAMPLER in fields else SamplerTable
    namespace = {"sampler": sampler, "__doc__": cls.__doc__, "__module__": cls.__module__}
    return dataclasses.make_dataclass(cls.__name__, keys, bases=(base,), namespace=namespace, frozen=True, kw_only=True)


def _again(field: dataclasses.Field[Any]) -> Any:
    """Return a field with the default of another."""
    if field.default is not dataclasses.MISSING:
        return dataclasses.field(default=field.default)
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    return dataclasses.field()


def _as_table(found: Any) -> Any:
    """Return the table that a class is, or that is made of a class of samplers."""
    if isinstance(found, type) and issubclass(found, SamplerTable):
        return found
    from molbuffer.samplers.base import Sampler

    if isinstance(found, type) and issubclass(found, Sampler):
        return table_of_sampler(found)
    raise TypeError(f"expected a subclass of Sampler or SamplerTable of molbuffer.samplers, got {found!r}")


SAMPLERS = Family("samplers", _as_table)
"""The kinds of samplers."""

InnerTable = Annotated[SamplerTable, Typed(Annotated[KindTable, OneOf(SAMPLERS, inner=True)])]
"""A sampler inside another."""
