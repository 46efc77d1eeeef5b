"""Crossover: parts of two molecules are joined to a new one, as in a graph genetic algorithm.

The operators follow Jensen 2019 (doi:10.1039/C8SC05372C): each parent is cut at a bond outside of rings, or at two
bonds of one ring, and a part of one is joined to a part of the other at the cuts.
"""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from molbuffer.scoring.genetic.fragments import CuttableSmiles, Fragment, join
from molbuffer.scoring.genetic.mutations import written

CUTS = 2
"""The number of bonds of a ring that are cut."""


def cross_fragments(
    one: CuttableSmiles, other: CuttableSmiles, rng: np.random.Generator, most_atoms: int
) -> str | None:
    """Join a fragment of each parent, and return a SMILES of the result, which is not canonical.

    The result is None if a parent cannot be cut, or the child has too many atoms. The SMILES is valid if those of both
    parents are: valences and aromaticity do not depend on what a single bond outside of rings leads to.

    Args:
        one: the first parent.
        other: the second parent.
        rng: the source of randomness.
        most_atoms: the largest number of heavy atoms of the result.
    """
    numbers = rng.random(4).tolist()
    if not one.cuts or not other.cuts:
        return None
    parts = _fragment(one, numbers[0], numbers[1]), _fragment(other, numbers[2], numbers[3])
    return join(*parts) if parts[0].atoms + parts[1].atoms <= most_atoms else None


def _fragment(parent: CuttableSmiles, cut: float, side: float) -> Fragment:
    return parent.fragment(int(cut * len(parent.cuts)), far=side < 0.5)


def cross_rings(one: Chem.Mol, other: Chem.Mol, rng: np.random.Generator, most_atoms: int) -> str | None:
    """Join a part of a ring of each parent, with its substituents, to a new ring, and return a SMILES of the result.

    The SMILES is that of ``written``. The result is None if a parent has no ring that can be cut, or the child has too
    many atoms. Stereocentres at the cuts lose their configuration.

    Args:
        one: the Kekulé form of the first parent.
        other: the Kekulé form of the second parent.
        rng: the source of randomness.
        most_atoms: the largest number of atoms of the result.
    """
    first = _cut_ring(one, rng)
    second = None if first is None else _cut_ring(other, rng)
    if first is None or second is None or first.GetNumAtoms() + second.GetNumAtoms() - 2 * CUTS > most_atoms:
        return None
    return _joined(first, second, crossed=rng.random() < 0.5)


def _cut_ring(kekule: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """Cut two single bonds of a ring, and return one of the two parts; its last two atoms are dummies at the cuts."""
    info = kekule.GetRingInfo()
    rings = info.BondRings()
    if not rings:
        return None
    ring = rings[int(rng.random() * len(rings))]
    # After a cut of a bond that two rings share, the parts would still be connected.
    single = [
        bond
        for bond in ring
        if info.NumBondRings(bond) == 1 and kekule.GetBondWithIdx(bond).GetBondType() is Chem.BondType.SINGLE
    ]
    if len(single) < CUTS:
        return None
    bonds = sorted(single[place] for place in rng.permutation(len(single))[:CUTS].tolist())
    flat = Chem.Mol(kekule)
    for bond in map(flat.GetBondWithIdx, bonds):
        for atom in (bond.GetBeginAtom(), bond.GetEndAtom()):
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    atoms: list[tuple[int, ...]] = []
    cut = Chem.FragmentOnBonds(flat, bonds)
    parts = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=atoms)
    # The dummies come after all other atoms.
    whole = [
        part
        for part, places in zip(parts, atoms, strict=True)
        if len(places) > CUTS and places[-CUTS] >= kekule.GetNumAtoms()
    ]
    return whole[int(rng.random() * len(whole))] if whole else None


def _joined(one: Chem.Mol, other: Chem.Mol, *, crossed: bool) -> str | None:
    """Join two parts by two bonds at their dummies, which are removed; ``crossed`` exchanges the ends of the bonds."""
    both = Chem.RWMol(Chem.CombineMols(one, other))
    middle, end = one.GetNumAtoms(), both.GetNumAtoms()
    ours, theirs = [middle - 2, middle - 1], [end - 1, end - 2] if crossed else [end - 2, end - 1]
    for our, their in zip(ours, theirs, strict=True):
        begin, stop = (both.GetAtomWithIdx(dummy).GetNeighbors()[0].GetIdx() for dummy in (our, their))
        if both.GetBondBetweenAtoms(begin, stop) is not None:
            return None
        both.AddBond(begin, stop, Chem.BondType.SINGLE)
    both.BeginBatchEdit()
    for dummy in (*ours, *theirs):
        both.RemoveAtom(dummy)
    both.CommitBatchEdit()
    return written(both)
