"""The family of samplers: kinds with a table, and classes of samplers, whose fields become the keys of a table."""

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
    """The keys of a sampler that takes molecules of a base sampler.

    Attributes:
        base_sampler: the base sampler: a table of any kind of sampler, without a name and sizes.
    """

    base_sampler: InnerTable

    def base(self, name: str, parts: RunParts) -> Sampler:
        """Return the base sampler of the sampler with a name."""
        from molbuffer.samplers.base import SamplerSize

        return self.base_sampler.sampler(f"{name}.{INNER_SAMPLER}", SamplerSize(), parts.of_inner())


GIVEN = ("agent", "prior", "vocabulary", "store", "run_id", "standardisation")
"""The fields that a run sets, in addition to name and size: a function that returns the policy in training; the prior;
the vocabulary of both policies; the open store; the id of the run; and the standardisation of the campaign."""


@cache
def table_of_sampler(cls: Any) -> type[SamplerTable]:
    """Return the table of a class of samplers.

    The fields of the class are the keys, with their types, bounds and defaults. A run sets ``name``, ``size`` and the
    fields of ``GIVEN``; a field ``base_sampler`` takes any other sampler.

    Raises:
        TypeError: the class is no dataclass, or has no field ``name``.
    """
    if not hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"{cls.__qualname__} is no dataclass, whose fields would be the keys of the sampler")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    if "name" not in fields:
        raise TypeError(f"{cls.__qualname__} has no field `name`, which a run sets")
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
    """Return a new field with the default of a field."""
    if field.default is not dataclasses.MISSING:
        return dataclasses.field(default=field.default)
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    return dataclasses.field()


def _as_table(found: Any) -> Any:
    """Return a class that is a table, or the table of a class of samplers.

    Raises:
        TypeError: the class is neither.
    """
    if isinstance(found, type) and issubclass(found, SamplerTable):
        return found
    from molbuffer.samplers.base import Sampler

    if isinstance(found, type) and issubclass(found, Sampler):
        return table_of_sampler(found)
    raise TypeError(f"expected a subclass of Sampler or SamplerTable of molbuffer.samplers, got {found!r}")


SAMPLERS = Family("samplers", _as_table)
"""The kinds of samplers."""

InnerTable = Annotated[SamplerTable, Typed(Annotated[KindTable, OneOf(SAMPLERS, inner=True)])]
"""The table of a base sampler."""
