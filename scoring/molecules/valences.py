"""Implausible atoms and bonds of molecules: radicals, unusual valences, and atoms or bonds of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

from rdkit import Chem

from molbuffer.scoring.molecules.queries.patterns import matches

NEUTRAL: Mapping[int, tuple[int, ...]] = {
    1: (1,),
    5: (3,),
    6: (4,),
    7: (3,),
    8: (2,),
    9: (1,),
    14: (4,),
    15: (3, 5),
    16: (2, 4, 6),
    17: (1,),
    33: (3, 5),
    34: (2, 4, 6),
    35: (1,),
    52: (2, 4, 6),
    53: (1, 3, 5, 7),
}
"""The usual valences of neutral atoms, hydrogens included, by atomic number. Elements that are not listed, mainly
metals, may have any valence and any number of unpaired electrons."""
_LOSES_BY_ANY_CHARGE = (1, 6, 14)
_EXTRA: Mapping[tuple[int, int], tuple[int, ...]] = {
    (5, -1): (4,),
    (14, -2): (6,),
    (14, -1): (5,),
    **{(element, -1): (2, 4, 6) for element in (15, 33)},
}

_ORDINARY = (
    *((1, 0, 1), (6, 0, 4), (7, 0, 3), (7, 1, 4), (8, 0, 2), (8, -1, 1), (9, 0, 1)),
    *((16, 0, 2), (16, 1, 3), (17, 0, 1), (35, 0, 1), (53, 0, 1)),
)
"""The (element, charge, valence) of nearly all atoms of drug-like molecules."""
_NOT_ORDINARY = (
    "["
    + ";".join(f"!#{element},!{charge:+d},!v{valence}" for element, charge, valence in _ORDINARY)
    + ";!$([#16;+0;v6;H0])]"
)


@cache
def usual_valences(element: int, charge: int) -> frozenset[int] | None:
    """Return the usual valences of an atom; None for an element that may have any.

    The valence of an atom with charge q is that of the neutral atom plus q; minus |q| for hydrogen, carbon and silicon,
    and minus q for boron. Ions such as ``[PF6-]`` and ``[SiF6-2]`` have further valences.
    """
    if element not in NEUTRAL:
        return None
    sign = -1 if element == 5 else -abs(charge) // charge if element in _LOSES_BY_ANY_CHARGE and charge else 1
    return frozenset((*(valence + sign * charge for valence in NEUTRAL[element]), *_EXTRA.get((element, charge), ())))


def is_ordinary(molecule: Chem.Mol) -> bool:
    """Return whether all atoms are among the most frequent kinds, so that nothing is questionable.

    Most molecules pass this check, which takes a tenth of the time of checks of each atom in Python.
    """
    return not molecule.HasQuery() and not matches(molecule, _NOT_ORDINARY)


def has_radical(molecule: Chem.Mol) -> bool:
    """Return whether an atom of a listed element lacks bonds: a radical, carbene or nitrene."""
    return any(atom.GetNumRadicalElectrons() and atom.GetAtomicNum() in NEUTRAL for atom in molecule.GetAtoms())


def has_unusual_valence(molecule: Chem.Mol) -> bool:
    """Return whether an atom without unpaired electrons has an unusual valence of its element.

    A usual valence above the least one counts as unusual if it is due to hydrogens, as in ``[SH4]``.
    """
    for atom in molecule.GetAtoms():
        allowed = usual_valences(atom.GetAtomicNum(), atom.GetFormalCharge())
        if allowed is None or atom.GetNumRadicalElectrons():
            continue
        valence = atom.GetTotalValence()
        if valence not in allowed or (valence > min(allowed) and atom.GetTotalNumHs() > _expanded_hydrogens(atom)):
            return True
    return False


def _expanded_hydrogens(atom: Chem.Atom) -> int:
    """Return the largest usual number of hydrogens of an atom above its least valence.

    It is 2 for phosphorus and arsenic, as in phosphinic acids, and 0 for other elements.
    """
    return 2 if atom.GetAtomicNum() in (15, 33) else 0


def has_query(molecule: Chem.Mol) -> bool:
    """Return whether the molecule has a dummy atom or a bond of any order, and so stands for several molecules."""
    return any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()) or any(
        bond.HasQuery() or bond.GetBondType() == Chem.BondType.UNSPECIFIED for bond in molecule.GetBonds()
    )


Questionable = Literal["radicals", "valences", "queries"]
QUESTIONABLE: Mapping[Questionable, Callable[[Chem.Mol], bool]] = {
    "radicals": has_radical,
    "valences": has_unusual_valence,
    "queries": has_query,
}
"""The checks of the filter ``valence``, by their names in its settings."""
