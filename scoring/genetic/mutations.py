"""Small random changes of a molecule's graph: the mutations of a graph genetic algorithm.

The edits follow Jensen 2019 (doi:10.1039/C8SC05372C): atoms are appended, inserted, deleted and exchanged, bonds change
their order, rings open and close. Each edit makes at most one change to the Kekulé form. The result may be no valid
molecule; the caller parses it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
from rdkit import Chem, rdBase

T = TypeVar("T")
Edit = Callable[[Chem.RWMol, np.random.Generator], bool]
"""A function that changes a Kekulé molecule in place, and returns whether it has changed it."""

ELEMENTS = (6, 7, 8, 9, 16, 17)
"""The elements of new and exchanged atoms: C, N, O, F, S, Cl."""
VALENCES = {6: 4, 7: 3, 8: 2, 9: 1, 16: 2, 17: 1}
ELEMENT_WEIGHTS = (0.5, 0.15, 0.15, 0.07, 0.06, 0.07)
"""The probability of each element; elements other than carbon have about the proportions of drug-like molecules."""
_BOUNDS = list(accumulate(ELEMENT_WEIGHTS))
RING_SIZES = (5, 6)
ORDERS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


def kekule_form(molecule: Chem.Mol) -> Chem.Mol:
    """Return a copy of a molecule with alternating bonds in place of aromatic ones."""
    kekule = Chem.Mol(molecule)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    return kekule


def mutate(kekule: Chem.Mol, rng: np.random.Generator) -> str | None:
    """Return the SMILES, by ``written``, of a molecule after one random edit of its Kekulé form.

    The result is None if the edit can change nothing. Atoms whose neighbours change lose their configuration.
    """
    changed = Chem.RWMol(kekule)
    edit = EDITS[int(rng.random() * len(EDITS))]
    return written(changed) if edit(changed, rng) else None


def written(changed: Chem.Mol) -> str | None:
    """Return a SMILES of edited atoms and bonds, which is not canonical and may be no valid molecule.

    The result is None if RDKit cannot write a SMILES.
    """
    try:
        with rdBase.BlockLogs():
            changed.UpdatePropertyCache(strict=False)
            return str(Chem.MolToSmiles(changed, canonical=False))
    except (Chem.MolSanitizeException, RuntimeError, ValueError):
        return None


def append_atom(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Bond a new atom to an atom with a hydrogen, by a single bond or, if both atoms allow it, a double bond."""
    hosts = [atom for atom in molecule.GetAtoms() if atom.GetTotalNumHs() > 0]
    if not hosts:
        return False
    host, element = _one_of(hosts, rng), _element(rng)
    order = 2 if rng.random() < 0.2 and min(host.GetTotalNumHs(), VALENCES[element]) >= 2 else 1
    _take_hydrogens(host, order)
    molecule.AddBond(host.GetIdx(), molecule.AddAtom(Chem.Atom(element)), ORDERS[order - 1])
    return True


def insert_atom(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Insert a new atom into a single bond."""
    bonds = [bond for bond in molecule.GetBonds() if bond.GetBondType() is ORDERS[0]]
    element = _element(rng)
    if not bonds or VALENCES[element] < 2:
        return False
    bond = _one_of(bonds, rng)
    begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    for atom in (bond.GetBeginAtom(), bond.GetEndAtom()):
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    molecule.RemoveBond(begin, end)
    between = molecule.AddAtom(Chem.Atom(element))
    molecule.AddBond(begin, between, ORDERS[0])
    molecule.AddBond(between, end, ORDERS[0])
    return True


def delete_atom(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Delete an atom with at most two neighbours; two neighbours are then bonded to each other."""
    atoms = [atom for atom in molecule.GetAtoms() if atom.GetDegree() <= 2 and molecule.GetNumAtoms() > 1]
    if not atoms:
        return False
    atom = _one_of(atoms, rng)
    neighbours = [other.GetIdx() for other in atom.GetNeighbors()]
    if len(neighbours) == 2:
        if molecule.GetBondBetweenAtoms(neighbours[0], neighbours[1]) is not None:
            return False
        molecule.AddBond(neighbours[0], neighbours[1], ORDERS[0])
    for neighbour in neighbours:
        _free_hydrogens(molecule.GetAtomWithIdx(neighbour))
    molecule.RemoveAtom(atom.GetIdx())
    return True


def exchange_atom(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Change the element of an atom to another one that allows its bonds."""
    atoms = [atom for atom in molecule.GetAtoms() if atom.GetFormalCharge() == 0 and atom.GetAtomicNum() in VALENCES]
    if not atoms:
        return False
    atom = _one_of(atoms, rng)
    bonds = sum(bond.GetBondTypeAsDouble() for bond in atom.GetBonds())
    others = [each for each in ELEMENTS if each != atom.GetAtomicNum() and VALENCES[each] >= bonds]
    if not others:
        return False
    atom.SetAtomicNum(int(_one_of(others, rng)))
    _free_hydrogens(atom)
    return True


def change_order(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Change the order of a bond to one that the hydrogens of its ends allow."""
    bonds = [bond for bond in molecule.GetBonds() if bond.GetBondType() in ORDERS]
    if not bonds:
        return False
    bond = _one_of(bonds, rng)
    ends, order = (bond.GetBeginAtom(), bond.GetEndAtom()), ORDERS.index(bond.GetBondType()) + 1
    highest = min(order + min(end.GetTotalNumHs() for end in ends), 2 if bond.IsInRing() else 3)
    others = [each for each in range(1, highest + 1) if each != order]
    if not others:
        return False
    changed = int(_one_of(others, rng))
    for end in ends:
        _take_hydrogens(end, max(0, changed - order))
    bond.SetBondType(ORDERS[changed - 1])
    return True


def close_ring(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Bond two atoms that have hydrogens, so that a ring of five or six atoms closes."""
    distances = Chem.GetDistanceMatrix(molecule)
    able = np.array([atom.GetTotalNumHs() > 0 for atom in molecule.GetAtoms()], bool)
    near = np.isin(distances, [size - 1 for size in RING_SIZES]) & able[:, None] & able[None, :]
    begins, ends = np.nonzero(np.triu(near))
    if not len(begins):
        return False
    chosen = int(rng.integers(len(begins)))
    begin, end = int(begins[chosen]), int(ends[chosen])
    for place in (begin, end):
        _take_hydrogens(molecule.GetAtomWithIdx(place), 1)
    molecule.AddBond(begin, end, ORDERS[0])
    return True


def open_ring(molecule: Chem.RWMol, rng: np.random.Generator) -> bool:
    """Delete a single bond of a ring."""
    bonds = [bond for bond in molecule.GetBonds() if bond.IsInRing() and bond.GetBondType() is ORDERS[0]]
    if not bonds:
        return False
    bond = _one_of(bonds, rng)
    for end in (bond.GetBeginAtom(), bond.GetEndAtom()):
        _free_hydrogens(end)
    molecule.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return True


EDITS: tuple[Edit, ...] = (
    append_atom,
    insert_atom,
    delete_atom,
    exchange_atom,
    change_order,
    close_ring,
    open_ring,
)
"""All edits, which are equally likely."""


def _one_of(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.random() * len(choices))]


def _element(rng: np.random.Generator) -> int:
    return ELEMENTS[bisect_right(_BOUNDS, rng.random(), hi=len(_BOUNDS) - 1)]


def _take_hydrogens(atom: Chem.Atom, n: int) -> None:
    """Remove n explicit hydrogens, as of ``[nH]``, to make room for bonds, and the configuration of the atom."""
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - n))


def _free_hydrogens(atom: Chem.Atom) -> None:
    """Make the hydrogens of an atom implicit, so that they follow from its bonds, and remove its configuration."""
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    if atom.GetAtomicNum() in VALENCES:
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
