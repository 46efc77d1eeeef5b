"""Children of molecules by crossover and mutation, as in a graph genetic algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.genetic.crossover import cross_over
from molbuffer.scoring.genetic.mutations import mutate
from molbuffer.scoring.molecules import canonical_smiles, parse_smiles

TRIES = 20
"""The attempts for each wanted child."""


@dataclass(frozen=True)
class Breeding:
    """The rates of crossover and mutation, and the size of children.

    Attributes:
        crossover_rate: the probability that a child has two parents, in [0, 1]; otherwise it is a mutant of one.
        mutation_rate: the probability that a child of two parents is also mutated, in [0, 1].
        most_atoms: the most heavy atoms of a child.
    """

    crossover_rate: float = 0.8
    mutation_rate: float = 0.5
    most_atoms: int = 50

    def __post_init__(self) -> None:
        for name in ("crossover_rate", "mutation_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ScoringConfigurationError(f"{name} must be in [0, 1], got {getattr(self, name):g}")
        if self.most_atoms < 1:
            raise ScoringConfigurationError(f"most_atoms must be at least 1, got {self.most_atoms}")


def children(
    parents: Sequence[str],
    probabilities: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    breeding: Breeding = Breeding(),
) -> list[str]:
    """Return up to n different children as canonical SMILES, none of them a parent.

    Args:
        parents: SMILES; a string that is no molecule, has several fragments, or more than twice ``most_atoms`` atoms,
            has no children.
        probabilities: float64, the probability of each parent, of sum 1.
        n: the wanted children; the result has fewer if ``TRIES`` attempts for each find no more.
        rng: the source of randomness.
        breeding: the rates of crossover and mutation.
    """
    usable = [
        (molecule, p) for text, p in zip(parents, probabilities, strict=True) if (molecule := _parent(text, breeding))
    ]
    if not usable:
        return []
    molecules = [molecule for molecule, _ in usable]
    weights = np.array([p for _, p in usable]) / sum(p for _, p in usable)
    known = {canonical_smiles(molecule) for molecule in molecules}
    found: dict[str, None] = {}
    for _ in range(TRIES * n):
        if len(found) == n:
            break
        pair = [molecules[i] for i in rng.choice(len(molecules), 2, p=weights)]
        child = _child(pair[0], pair[1], rng, breeding)
        if child is not None and child not in known:
            found[child] = None
    return list(found)


def _parent(text: str, breeding: Breeding) -> Chem.Mol | None:
    molecule = parse_smiles(text)
    # The distances between all atoms of a very large molecule would take seconds at every edit.
    if molecule is None or molecule.GetNumAtoms() > 2 * breeding.most_atoms:
        return None
    return molecule if len(Chem.GetMolFrags(molecule)) == 1 else None


def _child(one: Chem.Mol, other: Chem.Mol, rng: np.random.Generator, breeding: Breeding) -> str | None:
    if rng.random() < breeding.crossover_rate:
        made = cross_over(one, other, rng, breeding.most_atoms)
        if made is not None and rng.random() < breeding.mutation_rate:
            made = mutate(made, rng)
    else:
        made = mutate(one, rng)
    if made is None or made.GetNumHeavyAtoms() > breeding.most_atoms:
        return None
    smiles = canonical_smiles(made)
    # The SMILES of a few unusual ring systems cannot be parsed: a child must be a molecule for every reader.
    return smiles if parse_smiles(smiles) is not None else None
