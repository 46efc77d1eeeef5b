"""Parts of the tasks of PMO: similarities with a target, formulas, and functions of a number to a score in [0, 1].

They follow GuacaMol (Brown et al., J. Chem. Inf. Model. 59:1096, 2019), as PMO computes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from rdkit import Chem, DataStructs

from molbuffer.scoring.molecules import (
    Codes,
    Fingerprint,
    common_share,
    count_fingerprint,
    parse_smiles,
    pharmacophores,
)


def gaussian(value: float, mean: float, sigma: float) -> float:
    """Return exp(-(value - mean)² / (2 sigma²)): 1 at the mean."""
    return math.exp(-0.5 * ((value - mean) / sigma) ** 2)


def at_least(value: float, mean: float, sigma: float) -> float:
    """Return 1 from the mean upwards, and the Gaussian below it."""
    return gaussian(min(value, mean), mean, sigma)


def at_most(value: float, mean: float, sigma: float) -> float:
    """Return 1 up to the mean, and the Gaussian above it."""
    return gaussian(max(value, mean), mean, sigma)


def up_to(value: float, enough: float) -> float:
    """Return value / enough, at most 1."""
    return min(value / enough, 1.0)


def geometric_mean(*values: float) -> float:
    """Return the geometric mean, 0 if one value is 0."""
    return math.exp(sum(map(math.log, values)) / len(values)) if all(values) else 0.0


@dataclass(frozen=True)
class Likeness:
    """The Tanimoto similarities of a molecule's count fingerprint with the fingerprints of targets.

    Attributes:
        targets: the SMILES of the targets, which are not standardised.
        kind: the fingerprint; ECFP4 is ``morgan`` with radius 2, FCFP4 ``fcfp``, AP ``atom_pair``.
        radius: the radius of a circular fingerprint in bonds.
    """

    targets: tuple[str, ...]
    kind: Fingerprint
    radius: int = 2

    @cached_property
    def _references(self) -> list[DataStructs.ULongSparseIntVect]:
        return [count_fingerprint(molecule_of(target), self.kind, self.radius) for target in self.targets]

    def all(self, molecule: Chem.Mol) -> list[float]:
        """Return the similarity with each target, in [0, 1]."""
        own = count_fingerprint(molecule, self.kind, self.radius)
        found: list[float] = DataStructs.BulkTanimotoSimilarity(own, self._references)
        return found

    def __call__(self, molecule: Chem.Mol) -> float:
        """Return the similarity with the first target."""
        return self.all(molecule)[0]


@dataclass(frozen=True)
class PharmacophoreLikeness:
    """The Tanimoto similarity of a molecule's set of pharmacophores with that of a target, in [0, 1]."""

    target: str

    @cached_property
    def _reference(self) -> Codes:
        return pharmacophores(molecule_of(self.target))

    def __call__(self, molecule: Chem.Mol) -> float:
        return common_share(pharmacophores(molecule), self._reference)


@dataclass(frozen=True)
class Isomer:
    """The similarity of a molecule's formula with a given formula, in [0, 1].

    It is the geometric mean of a Gaussian of the count of each element (sigma 1) and of a Gaussian of the number of all
    atoms (sigma 2). Hydrogens count as atoms, dummy atoms do not.

    Attributes:
        formula: the molecular formula, such as C7H8N2O2.
    """

    formula: str

    @cached_property
    def _wanted(self) -> dict[str, int]:
        return {element: int(count or 1) for element, count in re.findall(r"([A-Z][a-z]*)(\d*)", self.formula)}

    def __call__(self, molecule: Chem.Mol) -> float:
        counts, wanted = element_counts(molecule), self._wanted
        scores = [gaussian(counts.get(element, 0), count, 1.0) for element, count in wanted.items()]
        return geometric_mean(*scores, gaussian(sum(counts.values()), sum(wanted.values()), 2.0))


def element_counts(molecule: Chem.Mol) -> Mapping[str, int]:
    """Return the number of atoms of each element, hydrogens counted."""
    counts: dict[str, int] = {}
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum():
            counts[atom.GetSymbol()] = counts.get(atom.GetSymbol(), 0) + 1
        if hydrogens := atom.GetTotalNumHs():
            counts["H"] = counts.get("H", 0) + hydrogens
    return counts


@dataclass(frozen=True)
class Pattern:
    """1 for molecules with a substructure, 0 for others; RDKit's defaults for configurations and hydrogens apply."""

    smarts: str

    @cached_property
    def _query(self) -> Chem.Mol:
        return Chem.MolFromSmarts(self.smarts)

    def __call__(self, molecule: Chem.Mol) -> float:
        return float(molecule.HasSubstructMatch(self._query))


@cache
def of_target(function: Callable[[Chem.Mol], float], target: str) -> float:
    """Return the value of a function for a target, from a cache after the first call."""
    return function(molecule_of(target))


def molecule_of(target: str) -> Chem.Mol:
    """Return the molecule of a target."""
    molecule = parse_smiles(target)
    assert molecule is not None, target
    return molecule


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean."""
    given = list(values)
    return sum(given) / len(given)
