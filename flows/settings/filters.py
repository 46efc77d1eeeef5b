"""The ``[[filters]]`` tables: filters that reject molecules before they are scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Buildable, Count, PropertyName, SmartsList, Text, Texts
from molbuffer.scoring import filters


class FilterKeys(Buildable):
    """The keys of any filter."""

    label: Text | None = None
    """The name that is stored with a rejected molecule; default: the kind, or the property."""

    def build(self) -> filters.Filter:
        raise NotImplementedError

    def named(self) -> dict[str, str]:
        """Return the label as an argument of the filter's constructor, if there is one."""
        return {} if self.label is None else {"name": self.label}


class PropertyFilterSettings(FilterKeys):
    """Keeps molecules with a property in a range."""

    kind: Literal["property"]
    """A property within a range."""

    name: PropertyName
    """The property, such as molecular_weight or logp."""

    minimum: float | None = Field(default=None, alias="min")
    """The least value that passes; default: no lower bound."""

    maximum: float | None = Field(default=None, alias="max")
    """The greatest value that passes; default: no upper bound."""

    def build(self) -> filters.Filter:
        return filters.PropertyRange(self.name, minimum=self.minimum, maximum=self.maximum, name=self.label or "")


class SingleComponentFilterSettings(FilterKeys):
    """Rejects salts and mixtures. Without this filter they are cut down to their largest fragment."""

    kind: Literal["single_component"]
    """Rejects salts and mixtures."""

    def build(self) -> filters.Filter:
        return filters.SingleComponent(**self.named())


class ValenceFilterSettings(FilterKeys):
    """Rejects radicals, unusual valences and query atoms. Every campaign has this filter, first unless it is listed."""

    kind: Literal["valence"]
    """Rejects radicals, unusual valences and query atoms."""

    reject: Annotated[tuple[Literal["radicals", "valences", "queries"], ...], Field(strict=False)] = (
        "radicals",
        "valences",
        "queries",
    )
    """What is rejected: radicals and carbenes; valences that an element does not usually have, such as PH7; dummy
    atoms (*) and bonds of any order (~). An empty list switches the filter off."""

    def build(self) -> filters.Filter:
        return filters.Valence(self.reject, **self.named())


class SubstructureFilterSettings(FilterKeys):
    """Keeps molecules with all of some substructures and none of others."""

    kind: Literal["substructure"]
    """Required and forbidden substructures."""

    must_have: SmartsList = ()
    """SMARTS patterns that must all match."""

    must_not_have: SmartsList = ()
    """SMARTS patterns that must not match."""

    def build(self) -> filters.Filter:
        return filters.SubstructureFilter(self.must_have, self.must_not_have, **self.named())


class AlertsFilterSettings(FilterKeys):
    """Rejects molecules with a structural alert."""

    kind: Literal["alerts"]
    """Rejects structural alerts."""

    catalogs: Texts = ("PAINS",)
    """RDKit's catalogues of alerts, such as PAINS, BRENK, NIH, ZINC."""

    def build(self) -> filters.Filter:
        return filters.Alerts(self.catalogs, **self.named())


class RingSizeFilterSettings(FilterKeys):
    """Keeps molecules whose rings all have a size in a range; molecules without rings are kept."""

    kind: Literal["ring_size"]
    """Ring sizes within a range."""

    minimum: Count | None = Field(default=None, alias="min")
    """The size in atoms of the smallest allowed ring; default: no lower bound."""

    maximum: Count | None = Field(default=None, alias="max")
    """The size in atoms of the largest allowed ring; default: no upper bound."""

    def build(self) -> filters.Filter:
        return filters.RingSize(self.minimum, self.maximum, **self.named())


class ElementsFilterSettings(FilterKeys):
    """Keeps molecules that consist of allowed elements only."""

    kind: Literal["elements"]
    """Allowed elements."""

    allowed: Texts
    """The symbols of the allowed elements; hydrogen is always allowed."""

    def build(self) -> filters.Filter:
        return filters.AllowedElements(self.allowed, **self.named())


FilterSettings = Annotated[
    PropertyFilterSettings
    | SingleComponentFilterSettings
    | ValenceFilterSettings
    | SubstructureFilterSettings
    | AlertsFilterSettings
    | RingSizeFilterSettings
    | ElementsFilterSettings,
    Field(discriminator="kind"),
]
"""Every kind of filter."""


def with_default_filters(listed: tuple[FilterSettings, ...]) -> tuple[FilterSettings, ...]:
    """Return the filters of a campaign that lists some: those that every campaign has come first."""
    if any(each.kind == "valence" for each in listed):
        return listed
    return (ValenceFilterSettings(kind="valence"), *listed)
