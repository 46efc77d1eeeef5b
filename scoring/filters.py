"""Filters: they refuse molecules before any score is computed.

A filter is a small value: it holds names and patterns, is cheap to send to another process, and compiles its patterns
on first use there. Its ``name`` is stored with a refused sample as ``rejected_by``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Protocol, runtime_checkable

from annotated_types import Ge
from rdkit import Chem, rdBase
from rdkit.Chem import FilterCatalog

from molbuffer.kinds import Checked, Family, Key, Text, Typed, checked, class_with
from molbuffer.scoring.errors import ScoringConfigurationError, ScoringError, unknown_name
from molbuffer.scoring.identity import check_order, checked_number
from molbuffer.scoring.molecules import (
    QUESTIONABLE,
    NamedMolecule,
    Questionable,
    Standardisation,
    check_property,
    is_ordinary,
    matches,
    parse_smarts,
    parse_smiles,
    property_value,
    standardise,
)
from molbuffer.scoring.workers import map_chunks

Label = Annotated[str, Key("label")]
"""The name of a filter, which a configuration calls its label."""
SmartsList = Annotated[tuple[str, ...], Typed(tuple[Annotated[Text, Checked(parse_smarts)], ...])]
Names = Annotated[tuple[str, ...], Typed(tuple[Text, ...])]
RingAtoms = Annotated[int, Ge(1)]

VALIDITY = "validity"
"""The reason that rejects a string that is no molecule."""
LENGTH = "length"
"""The reason that rejects a string or a canonical SMILES with more characters than allowed."""


@runtime_checkable
class Filter(Protocol):
    """Accepts or refuses molecules, each independently of all others."""

    @property
    def name(self) -> str:
        """The name that is stored with a refused sample."""

    def accepts(self, molecule: Chem.Mol) -> bool:
        """Return whether the standardised molecule passes."""


@checked
@dataclass(frozen=True)
class SingleComponent:
    """Refuses salts and mixtures: molecules of more than one fragment.

    Attributes:
        name: stored with refused samples.
    """

    name: Label = "single_component"

    def accepts(self, molecule: Chem.Mol) -> bool:
        return len(Chem.GetMolFrags(molecule)) == 1


@checked
@dataclass(frozen=True)
class Valence:
    """Refuses molecules with implausible atoms; every campaign has this filter unless it switches it off.

    Attributes:
        reject: the reasons to refuse a molecule: ``radicals`` (unpaired electrons and carbenes), ``valences`` (unusual
            valences of an element; metals may have any) and ``queries`` (dummy atoms ``*`` and bonds ``~``).
        name: stored with refused samples.
    """

    reject: tuple[Questionable, ...] = tuple(QUESTIONABLE)
    name: Label = "valence"

    def __post_init__(self) -> None:
        object.__setattr__(self, "reject", _as_names("reject", self.reject))
        for each in self.reject:
            if each not in QUESTIONABLE:
                raise unknown_name("reason to reject", each, QUESTIONABLE)

    def accepts(self, molecule: Chem.Mol) -> bool:
        return is_ordinary(molecule) or not any(QUESTIONABLE[each](molecule) for each in self.reject)


@checked
@dataclass(frozen=True)
class PropertyRange:
    """Refuses molecules whose property is outside [minimum, maximum], or has no value.

    Attributes:
        property: the property, such as molecular_weight or logp.
        minimum: the least value, inclusive; one of the two bounds is required.
        maximum: the greatest value, inclusive.
        name: stored with refused samples; the name of the property by default.

    Example:
        >>> light = mb.PropertyRange("molecular_weight", maximum=40)
        >>> lab.score(["C", "CCO"], objective, filters=[light])["rejected_by"].to_list()
        [None, 'molecular_weight']
    """

    property: Annotated[str, Key("name"), Typed(Annotated[Text, Checked(check_property)])]
    minimum: Annotated[float | None, Key("min")] = None
    maximum: Annotated[float | None, Key("max")] = None
    name: Label = ""

    def __post_init__(self) -> None:
        check_property(self.property)
        _check_bounds(self.property, self.minimum, self.maximum)
        object.__setattr__(self, "name", self.name or self.property)

    def accepts(self, molecule: Chem.Mol) -> bool:
        # With this comparison a NaN property is refused, whichever bound is given.
        value = property_value(self.property, molecule)
        low = float("-inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        return low <= value <= high


@checked
@dataclass(frozen=True)
class SubstructureFilter:
    """Refuses molecules that lack a pattern of ``must_have`` or contain one of ``must_not_have``.

    Attributes:
        must_have: SMARTS patterns, all of which are required.
        must_not_have: SMARTS patterns, none of which is allowed; the two need at least one pattern together.
        name: stored with refused samples.

    Example:
        >>> no_nitro = mb.SubstructureFilter(must_not_have=["[N+](=O)[O-]"], name="nitro")
        >>> lab.score(["CC[N+](=O)[O-]", "CCO"], objective, filters=[no_nitro])["rejected_by"].to_list()
        ['nitro', None]
    """

    must_have: SmartsList = ()
    must_not_have: SmartsList = ()
    name: Label = "substructure"

    def __post_init__(self) -> None:
        for field in ("must_have", "must_not_have"):
            object.__setattr__(self, field, _as_names(field, getattr(self, field)))
        if not self.must_have and not self.must_not_have:
            raise ScoringConfigurationError("a substructure filter needs a pattern in must_have or must_not_have")
        for smarts in (*self.must_have, *self.must_not_have):
            parse_smarts(smarts)

    def accepts(self, molecule: Chem.Mol) -> bool:
        return all(matches(molecule, smarts) for smarts in self.must_have) and not any(
            matches(molecule, smarts) for smarts in self.must_not_have
        )


@checked
@dataclass(frozen=True)
class Alerts:
    """Refuses molecules with a structural alert of RDKit's catalogues.

    Attributes:
        catalogs: RDKit's names of catalogues, such as PAINS, BRENK, NIH, ZINC or CHEMBL.
        name: stored with refused samples.

    Example:
        >>> alerts = mb.Alerts(["BRENK"])
        >>> lab.score(["CC(=O)Cl", "CCO"], objective, filters=[alerts])["rejected_by"].to_list()
        ['alerts', None]
    """

    catalogs: Names = ("PAINS",)
    name: Label = "alerts"

    def __post_init__(self) -> None:
        object.__setattr__(self, "catalogs", _as_names("catalogs", self.catalogs))
        if not self.catalogs:
            raise ScoringConfigurationError(f"an alerts filter needs a catalogue, one of {', '.join(alert_catalogs())}")
        for catalog in self.catalogs:
            if catalog not in alert_catalogs():
                raise unknown_name("catalogue of alerts", catalog, alert_catalogs())

    def accepts(self, molecule: Chem.Mol) -> bool:
        return not _alerts(self.catalogs).HasMatch(molecule)


def alert_catalogs() -> tuple[str, ...]:
    """Return the names of RDKit's catalogues of structural alerts."""
    return tuple(sorted(FilterCatalog.FilterCatalogParams.FilterCatalogs.names))


@cache
def _alerts(catalogs: tuple[str, ...]) -> FilterCatalog.FilterCatalog:
    parameters = FilterCatalog.FilterCatalogParams()
    for catalog in catalogs:
        parameters.AddCatalog(FilterCatalog.FilterCatalogParams.FilterCatalogs.names[catalog])
    return FilterCatalog.FilterCatalog(parameters)


@checked
@dataclass(frozen=True)
class RingSize:
    """Refuses molecules with a ring of fewer than ``minimum`` or more than ``maximum`` atoms; molecules without rings
    pass.

    Attributes:
        minimum: the least size of a ring in RDKit's symmetrised smallest set, inclusive; one bound is required.
        maximum: the greatest size, inclusive.
        name: stored with refused samples.
    """

    minimum: Annotated[int | None, Key("min"), Typed(RingAtoms | None)] = None
    maximum: Annotated[int | None, Key("max"), Typed(RingAtoms | None)] = None
    name: Label = "ring_size"

    def __post_init__(self) -> None:
        _check_bounds("ring_size", self.minimum, self.maximum)

    def accepts(self, molecule: Chem.Mol) -> bool:
        low = 0 if self.minimum is None else self.minimum
        high = molecule.GetNumAtoms() if self.maximum is None else self.maximum
        return all(low <= len(ring) <= high for ring in molecule.GetRingInfo().AtomRings())


@checked
@dataclass(frozen=True)
class AllowedElements:
    """Refuses molecules with an atom of an element that is not listed; hydrogen is always allowed.

    Attributes:
        elements: symbols such as C or Br; ``*`` is RDKit's dummy atom, and hydrogen is always allowed.
        name: stored with refused samples.
    """

    elements: Annotated[tuple[str, ...], Key("allowed"), Typed(tuple[Text, ...])]
    name: Label = "allowed_elements"

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", _as_names("elements", self.elements))
        if not self.elements:
            raise ScoringConfigurationError("an allowed_elements filter needs at least one symbol, such as C")
        for element in self.elements:
            if element not in _element_symbols():
                raise ScoringConfigurationError(f"{element!r} is not the symbol of an element")

    def accepts(self, molecule: Chem.Mol) -> bool:
        return all(atom.GetSymbol() in self.elements or atom.GetAtomicNum() == 1 for atom in molecule.GetAtoms())


@cache
def _element_symbols() -> frozenset[str]:
    table = Chem.GetPeriodicTable()
    return frozenset({"*", *(table.GetElementSymbol(number) for number in range(1, 119))})


@dataclass(frozen=True)
class Judgement:
    """The result of standardising and filtering a string.

    Attributes:
        smiles: the canonical SMILES; None if the string is no molecule.
        rejected_by: the name of the first filter that refuses the molecule; ``validity`` if the string is no molecule,
            ``length`` if it is too long, None if the molecule is kept.
    """

    smiles: str | None
    rejected_by: str | None


def judge_many(
    raw: Sequence[str], filters: Sequence[Filter], standardisation: Standardisation = Standardisation()
) -> list[Judgement]:
    """Standardise and filter every string in one pass, in the order given, on all cores when there are many."""
    return map_chunks(_judge_chunk, raw, tuple(filters), standardisation)


def _judge_chunk(raw: Sequence[str], filters: Sequence[Filter], standardisation: Standardisation) -> list[Judgement]:
    return [judge(text, filters, standardisation) for text in raw]


def judge(raw: str, filters: Sequence[Filter], standardisation: Standardisation = Standardisation()) -> Judgement:
    """Standardise one string and apply the filters in the order given."""
    named = standardise(raw, standardisation)
    if named is None:
        return Judgement(None, reason_against(raw, standardisation))
    return Judgement(named.smiles, first_refusal(named, filters))


def reason_against(raw: str, standardisation: Standardisation = Standardisation()) -> str:
    """Return ``length`` or ``validity``: the reason why ``standardise`` returns None for a string."""
    if len(raw) > standardisation.max_length:
        return LENGTH
    if parse_smiles(raw) is None:
        return VALIDITY
    # A canonical SMILES may be longer than the string that it comes from, though hardly ever by this factor.
    roomy = replace(standardisation, max_length=10 * standardisation.max_length)
    return VALIDITY if standardise(raw, roomy) is None else LENGTH


def first_refusal(named: NamedMolecule, filters: Sequence[Filter]) -> str | None:
    """Return the name of the first filter that refuses a molecule, None if it is kept."""
    with rdBase.BlockLogs():
        for each in filters:
            try:
                accepted = each.accepts(named.molecule)
            except Exception as error:
                raise ScoringError(
                    f"the filter {each.name!r} failed on {named.smiles!r}: {type(error).__name__}: {error}"
                ) from error
            if not accepted:
                return each.name
    return None


def _check_bounds(what: str, minimum: float | None, maximum: float | None) -> None:
    if minimum is None and maximum is None:
        raise ScoringConfigurationError(f"a filter on {what} needs a minimum or a maximum")
    for bound, value in (("minimum", minimum), ("maximum", maximum)):
        if value is not None:
            checked_number(f"the {bound} of {what}", value)
    check_order(f"the minimum of {what}", minimum, "its maximum", maximum, strict=False)


def _as_names(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names as a tuple, and refuse a single string, whose letters would count as names."""
    if isinstance(names, str):
        raise ScoringConfigurationError(f"{what} must be a sequence of strings, got the string {names!r}")
    return tuple(names)


FILTERS = Family("filters", class_with("name", "accepts"))
"""The kinds of filters."""
