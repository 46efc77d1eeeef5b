"""Children of molecules by crossover and mutation, as in a graph genetic algorithm."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdqueries

from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.genetic.breeding import WAYS, Breeding
from molbuffer.scoring.genetic.crossover import cross_fragments, cross_rings
from molbuffer.scoring.genetic.fragments import cuttable
from molbuffer.scoring.genetic.mutations import kekule_form, mutate
from molbuffer.scoring.molecules import canonical_smiles, matches, parse_smiles

TRIES = 20
"""The number of attempts at a child in one way, each with new parents, before the next way is drawn."""
ROUNDS = 4
"""The number of ways that are drawn for a child before it is given up."""
CUMULATED = "[R]=[R]=[R]"
CACHED = 1024
"""The number of molecules that are cached."""

_RADICAL = rdqueries.NumRadicalElectronsGreaterQueryAtom(0)

ChangeTokens = Callable[[str, np.random.Generator], str | None]
"""A function that returns a SMILES string with one token changed, which may be no molecule; None if it fails."""


def children(
    parents: Sequence[str],
    probabilities: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    breeding: Breeding = Breeding(),
    change_tokens: ChangeTokens | None = None,
) -> dict[str, tuple[str, ...]]:
    """Return up to n different children as canonical SMILES, each with its one or two parents.

    A child is one molecule without radicals, and none of the parents. The result depends only on the arguments.

    Args:
        parents: canonical SMILES. A parent with several fragments, or with more than twice ``most_atoms`` atoms, has no
            children.
        probabilities: float64, the probability of each parent; the sum is 1.
        n: the number of children; the result has fewer if ``ROUNDS`` times ``TRIES`` attempts at a child fail.
        rng: the source of randomness.
        breeding: the shares of the ways to make a child, and the size of children.
        change_tokens: the function that changes a token; without it, token changes have no share.

    Raises:
        ScoringConfigurationError: only token changes have a share, and there is no ``change_tokens``.
    """
    weights = [
        0.0 if way == "token_change" and change_tokens is None else weight
        for way, weight in zip(WAYS, breeding.weights, strict=True)
    ]
    if not any(weights):
        raise ScoringConfigurationError("only token_change has a share, and it needs the argument change_tokens")
    if not parents:
        return {}
    nursery = _Nursery(parents, list(accumulate(probabilities.tolist())), rng, breeding, change_tokens)
    bounds, known = list(accumulate(weights)), set(parents)
    found: dict[str, tuple[str, ...]] = {}
    for _ in range(ROUNDS):
        for number in rng.random(n - len(found)).tolist():
            way = _WAYS[bisect_right(bounds, number * bounds[-1], hi=len(bounds) - 1)]
            for _ in range(TRIES):
                child, of = way(nursery)
                name = None if child is None else canonical_smiles(child)
                if name is not None and name not in known and name not in found:
                    found[name] = of
                    break
    return found


@dataclass(frozen=True)
class _Nursery:
    """The arguments of all ways to make a child.

    Attributes:
        parents: the SMILES of the parents.
        bounds: the cumulative probabilities of the parents.
        rng: the source of randomness.
        breeding: the settings.
        change_tokens: the function that changes a token; None without one.
    """

    parents: Sequence[str]
    bounds: Sequence[float]
    rng: np.random.Generator
    breeding: Breeding
    change_tokens: ChangeTokens | None

    def parent(self) -> str | None:
        """Draw a parent; return None if the drawn one can have no children."""
        place = bisect_right(self.bounds, self.rng.random() * self.bounds[-1], hi=len(self.bounds) - 1)
        text, most = self.parents[place], 2 * self.breeding.most_atoms
        if not text or "." in text:
            return None
        # The distances between all atoms of a very large molecule would take seconds at every edit.
        if len(text) > most and ((found := cuttable(text)) is None or found.atoms > most):
            return None
        return text

    def couple(self) -> tuple[str, str] | None:
        """Draw two parents; return None if one of them can have no children."""
        one, other = self.parent(), self.parent()
        return None if one is None or other is None else (one, other)

    def child(self, text: str | None, *parents: str, old_rings: bool = False) -> Chem.Mol | None:
        """Return the molecule of a SMILES string; None if it is not acceptable as a child.

        Args:
            text: the string; None is no molecule.
            parents: the SMILES of the parents; the rings of a child may be as large as theirs.
            old_rings: whether the child has only rings of the parents, which need no check.
        """
        molecule = None if text is None else parse_smiles(text)
        if molecule is None or not 0 < molecule.GetNumHeavyAtoms() <= self.breeding.most_atoms:
            return None
        if len(molecule.GetAtomsMatchingQuery(_RADICAL)):
            return None
        return molecule if old_rings or self._accepts_rings(molecule, parents) else None

    def _accepts_rings(self, molecule: Chem.Mol, parents: Sequence[str]) -> bool:
        """Return whether the rings of a child have no cumulated double bonds, and are not too large.

        The largest ring may have ``largest_ring`` atoms, or as many as the largest ring of a parent.
        """
        if matches(molecule, CUMULATED):
            return False
        largest = _largest_ring(molecule)
        return largest <= self.breeding.largest_ring or any(largest <= _largest_ring(kekule(each)) for each in parents)


_Birth = tuple[Chem.Mol | None, tuple[str, ...]]
"""The child of one attempt, None if the attempt failed, and its parents."""
_NO_CHILD: _Birth = (None, ())


def _by_fragments(nursery: _Nursery) -> _Birth:
    if (couple := nursery.couple()) is None:
        return _NO_CHILD
    one, other = map(cuttable, couple)
    if one is None or other is None:
        return _NO_CHILD
    text = cross_fragments(one, other, nursery.rng, nursery.breeding.most_atoms)
    return _perhaps_mutated(nursery.child(text, old_rings=True), nursery, *couple), couple


def _by_tokens(nursery: _Nursery) -> _Birth:
    if nursery.change_tokens is None or (parent := nursery.parent()) is None:
        return _NO_CHILD
    return nursery.child(_whole(nursery.change_tokens(parent, nursery.rng)), parent), (parent,)


def _by_rings(nursery: _Nursery) -> _Birth:
    if (couple := nursery.couple()) is None:
        return _NO_CHILD
    one, other = map(kekule, couple)
    text = _whole(cross_rings(one, other, nursery.rng, nursery.breeding.most_atoms))
    return _perhaps_mutated(nursery.child(text, *couple), nursery, *couple), couple


def _by_mutation(nursery: _Nursery) -> _Birth:
    if (parent := nursery.parent()) is None:
        return _NO_CHILD
    return nursery.child(_whole(mutate(kekule(parent), nursery.rng)), parent), (parent,)


_WAYS = (_by_fragments, _by_tokens, _by_rings, _by_mutation)
"""The functions of the ways, in the order of ``breeding.WAYS``."""


def _perhaps_mutated(child: Chem.Mol | None, nursery: _Nursery, *parents: str) -> Chem.Mol | None:
    """Return a child of two parents, mutated with probability ``mutation_rate``; None if the mutation fails."""
    rate = nursery.breeding.mutation_rate
    if child is None or rate == 0 or nursery.rng.random() >= rate:
        return child
    return nursery.child(_whole(mutate(kekule_form(child), nursery.rng)), *parents)


def _whole(text: str | None) -> str | None:
    """Return a SMILES string if it has a single fragment, else None."""
    return None if text is None or "." in text else text


def _largest_ring(molecule: Chem.Mol) -> int:
    return max(map(len, molecule.GetRingInfo().AtomRings()), default=0)


@lru_cache(CACHED)
def kekule(smiles: str) -> Chem.Mol:
    """Return the Kekulé form of a molecule, from a cache, so that it must not be changed.

    A string that is no molecule gives a molecule without atoms.
    """
    molecule = parse_smiles(smiles)
    return Chem.MolFromSmiles("") if molecule is None else kekule_form(molecule)
