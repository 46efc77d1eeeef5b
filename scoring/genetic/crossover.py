"""Crossover: a molecule of parts of two others, as in a graph genetic algorithm.

After Jensen 2019 (doi:10.1039/C8SC05372C): each parent is cut at a bond outside of rings, or at two bonds of one ring,
and a part of the one is joined to a part of the other where they were cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molbuffer.scoring.genetic.mutations import sanitise

TRIES = 10
"""How often two parents are cut and joined before they count as a pair without a child."""
RING_SHARE = 0.5
"""How often a ring is cut, where both parents have one."""

_CUT = 9999
"""The isotope of the dummy atoms that stand for what was cut off: a parent may have dummies of its own."""

Part = Chem.Mol


def cross_over(one: Chem.Mol, other: Chem.Mol, rng: np.random.Generator, most_atoms: int) -> Chem.Mol | None:
    """Return a molecule of a part of each parent; None when none was found.

    Args:
        most_atoms: heavy atoms that it may have: without a bound, molecules grow from generation to generation.
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
    """One of the two parts at a single bond outside of rings; a dummy atom stands for what was cut off."""
    bonds = [
        bond.GetIdx()
        for bond in molecule.GetBonds()
        if bond.GetBondType() is Chem.BondType.SINGLE and not bond.IsInRing()
    ]
    return _part(molecule, [bonds[int(rng.integers(len(bonds)))]], rng) if bonds else None


def _cut_ring(molecule: Chem.Mol, rng: np.random.Generator) -> Part | None:
    """One of the two parts at two single bonds of a ring, of the Kekulé form."""
    kekule = Chem.Mol(molecule)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    rings = kekule.GetRingInfo().BondRings()
    if not rings:
        return None
    ring = rings[int(rng.integers(len(rings)))]
    info = kekule.GetRingInfo()
    # A bond of two rings would leave them joined elsewhere.
    single = [
        bond
        for bond in ring
        if kekule.GetBondWithIdx(bond).GetBondType() is Chem.BondType.SINGLE and info.NumBondRings(bond) == 1
    ]
    if len(single) < 2:
        return None
    return _part(kekule, sorted(int(bond) for bond in rng.choice(single, 2, replace=False)), rng)


def _part(molecule: Chem.Mol, bonds: Sequence[int], rng: np.random.Generator) -> Part | None:
    """One of the parts that cutting some bonds leaves, if it has as many cuts as there are bonds."""
    kekule = Chem.Mol(molecule)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    labels = [(_CUT, _CUT)] * len(bonds)
    parts = Chem.GetMolFrags(Chem.FragmentOnBonds(kekule, bonds, dummyLabels=labels), asMols=True, sanitizeFrags=False)
    whole = [part for part in parts if len(_dummies(part)) == len(bonds)]
    return whole[int(rng.integers(len(whole)))] if whole else None


def _joined(parts: Sequence[Part], rng: np.random.Generator) -> Chem.Mol | None:
    """Two parts joined by bonds in the places of their dummies."""
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
    """Return the places of the atoms that stand for what was cut off."""
    return [atom.GetIdx() for atom in part.GetAtoms() if atom.GetAtomicNum() == 0 and atom.GetIsotope() == _CUT]
