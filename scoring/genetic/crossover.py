"""Crossover: joins parts of two molecules to a new one, as in a graph genetic algorithm.

After Jensen 2019 (doi:10.1039/C8SC05372C): each parent is cut at a bond outside of rings, or at two bonds of one ring,
and a part of one is joined to a part of the other at the cuts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molbuffer.scoring.genetic.mutations import sanitise

TRIES = 10
"""The attempts to cut and join two parents before they count as a pair without a child."""
RING_SHARE = 0.5
"""The share of attempts that cut a ring of each parent."""

_CUT = 9999
"""The isotope of the dummy atoms at cuts, since a parent may have other dummy atoms."""

Part = Chem.Mol


def cross_over(one: Chem.Mol, other: Chem.Mol, rng: np.random.Generator, most_atoms: int) -> Chem.Mol | None:
    """Join a part of each parent to a molecule; None if no attempt succeeds.

    Args:
        one: the first parent.
        other: the second parent.
        rng: the source of randomness.
        most_atoms: the most heavy atoms of a child; without a bound, molecules grow from generation to generation.
    """
    for _ in range(TRIES):
        cut = _cut_ring if rng.random() < RING_SHARE else _cut_bond
        parts = [cut(parent, rng) for parent in (one, other)]
        if any(part is None for part in parts):
            continue
        made = _joined([part for part in parts if part is not None], rng)
        if made is not None and made.GetNumHeavyAtoms() <= most_atoms:
            return made
    return None


def _cut_bond(molecule: Chem.Mol, rng: np.random.Generator) -> Part | None:
    """Cut a single bond outside of rings, and return one of the two parts with a dummy atom at the cut."""
    bonds = [
        bond.GetIdx()
        for bond in molecule.GetBonds()
        if bond.GetBondType() is Chem.BondType.SINGLE and not bond.IsInRing()
    ]
    return _part(molecule, [bonds[int(rng.integers(len(bonds)))]], rng) if bonds else None


def _cut_ring(molecule: Chem.Mol, rng: np.random.Generator) -> Part | None:
    """Cut two single bonds of a ring of the Kekulé form, and return one of the two parts."""
    kekule = Chem.Mol(molecule)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    rings = kekule.GetRingInfo().BondRings()
    if not rings:
        return None
    ring = rings[int(rng.integers(len(rings)))]
    info = kekule.GetRingInfo()
    # Cutting a bond of two rings would leave the parts connected.
    single = [
        bond
        for bond in ring
        if kekule.GetBondWithIdx(bond).GetBondType() is Chem.BondType.SINGLE and info.NumBondRings(bond) == 1
    ]
    if len(single) < 2:
        return None
    return _part(kekule, sorted(int(bond) for bond in rng.choice(single, 2, replace=False)), rng)


def _part(molecule: Chem.Mol, bonds: Sequence[int], rng: np.random.Generator) -> Part | None:
    """Cut some bonds, and return one of the parts that have a dummy atom for every cut; None if no part has."""
    kekule = Chem.Mol(molecule)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    labels = [(_CUT, _CUT)] * len(bonds)
    parts = Chem.GetMolFrags(Chem.FragmentOnBonds(kekule, bonds, dummyLabels=labels), asMols=True, sanitizeFrags=False)
    whole = [part for part in parts if len(_dummies(part)) == len(bonds)]
    return whole[int(rng.integers(len(whole)))] if whole else None


def _joined(parts: Sequence[Part], rng: np.random.Generator) -> Chem.Mol | None:
    """Join two parts by bonds in place of their dummy atoms."""
    one, other = parts
    if len(_dummies(one)) != len(_dummies(other)):
        return None
    both = Chem.RWMol(Chem.CombineMols(one, other))
    ours = _dummies(one)
    theirs = [one.GetNumAtoms() + place for place in _dummies(other)]
    order = rng.permutation(len(theirs))
    for our, their in zip(ours, [theirs[i] for i in order], strict=True):
        begin, end = (both.GetAtomWithIdx(dummy).GetNeighbors()[0].GetIdx() for dummy in (our, their))
        if begin == end or both.GetBondBetweenAtoms(begin, end) is not None:
            return None
        both.AddBond(begin, end, Chem.BondType.SINGLE)
    for dummy in sorted([*ours, *theirs], reverse=True):
        both.RemoveAtom(dummy)
    return sanitise(both)


def _dummies(part: Part) -> list[int]:
    """Return the indices of the dummy atoms at cuts."""
    return [atom.GetIdx() for atom in part.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsotope() == _CUT]
