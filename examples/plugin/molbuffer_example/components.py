"""A score component: the share of heteroatoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from molbuffer.scoring import parse_smiles


@dataclass(frozen=True)
class Heteroatoms:
    """The share of the heavy atoms that are no carbon, in [0, 1].

    Attributes:
        halogens: count halogens as heteroatoms.
        name: the component's name in the history.
    """

    halogens: bool = True
    name: str = "heteroatoms"
    bounded: ClassVar[bool] = True

    @property
    def version(self) -> str:
        """A text that changes when the values change; molbuffer adds the hash of this module's source to it."""
        return f"heteroatoms, halogens={self.halogens}"

    def values(self, molecules: Sequence[str]) -> list[float | None]:
        """Return the value of each canonical SMILES; None for a string that cannot be parsed."""
        return [self._share(smiles) for smiles in molecules]

    def _share(self, smiles: str) -> float | None:
        molecule = parse_smiles(smiles)
        if molecule is None:
            return None
        carbon = {"C"} if self.halogens else {"C", "F", "Cl", "Br", "I"}
        symbols = [atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1]
        return sum(symbol not in carbon for symbol in symbols) / max(len(symbols), 1)
