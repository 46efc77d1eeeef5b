"""The properties of molecules by name, for filters and components.

The names are words; RDKit's own names of its registered descriptors (``kappa1``, ``chi0v``, …) work too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from rdkit import Chem
from rdkit.Chem import QED, rdMolDescriptors

from molbuffer.scoring.errors import unknown_name
from molbuffer.scoring.molecules.sa_score import sa_score


def _largest_ring(molecule: Chem.Mol) -> float:
    return max(map(len, molecule.GetRingInfo().AtomRings()), default=0)


_RDKIT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "aliphatic_rings": "NumAliphaticRings",
        "amide_bonds": "NumAmideBonds",
        "aromatic_rings": "NumAromaticRings",
        "bridgehead_atoms": "NumBridgeheadAtoms",
        "exact_mass": "exactmw",
        "fraction_sp3": "FractionCSP3",
        "heavy_atoms": "NumHeavyAtoms",
        "heteroatoms": "NumHeteroatoms",
        "heterocycles": "NumHeterocycles",
        "hydrogen_bond_acceptors": "NumHBA",
        "hydrogen_bond_donors": "NumHBD",
        "logp": "CrippenClogP",
        "molar_refractivity": "CrippenMR",
        "molecular_weight": "amw",
        "rings": "NumRings",
        "rotatable_bonds": "NumRotatableBonds",
        "saturated_rings": "NumSaturatedRings",
        "spiro_atoms": "NumSpiroAtoms",
        "stereo_centres": "NumAtomStereoCenters",
        "tpsa": "tpsa",
    }
)
_OTHERS: Mapping[str, Callable[[Chem.Mol], float]] = MappingProxyType(
    {
        "formal_charge": Chem.GetFormalCharge,
        "largest_ring": _largest_ring,
        "qed": QED.qed,
        "sa_score": sa_score,
    }
)


def property_names() -> tuple[str, ...]:
    """Return every name that ``property_value`` accepts, in alphabetical order."""
    return tuple(sorted({*_RDKIT_NAMES, *_OTHERS, *rdMolDescriptors.Properties.GetAvailableProperties()}))


def check_property(name: str) -> None:
    """Refuse a name that no property has.

    Raises:
        ScoringConfigurationError: the name is unknown; the error lists the nearest name and all allowed ones.
    """
    if name not in property_names():
        raise unknown_name("property", name, property_names())


def property_value(name: str, molecule: Chem.Mol) -> float:
    """Return the property of a sanitised molecule: masses in dalton, areas in Å², counts as whole numbers.

    Raises:
        ScoringConfigurationError: no property has the name.
    """
    if name in _OTHERS:
        return float(_OTHERS[name](molecule))
    return float(_calculator(name).ComputeProperties(molecule)[0])


@cache
def _calculator(name: str) -> rdMolDescriptors.Properties:
    check_property(name)
    return rdMolDescriptors.Properties([_RDKIT_NAMES.get(name, name)])
