"""The diversity of molecules: internal diversity and different scaffolds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molbuffer.scoring.molecules.parsing import parse_canonical
from molbuffer.scoring.molecules.scaffolds import scaffold_of


@dataclass(frozen=True)
class Diversity:
    """The diversity of molecules; a repeated molecule counts as often as it occurs.

    Attributes:
        internal: mean over all pairs of 1 − the Tanimoto similarity of their Morgan fingerprints (2,048 bits, radius
            2), in [0, 1]; None for fewer than two molecules. MOSES calls it IntDiv1 (Polykovskiy et al. 2020,
            doi:10.3389/fphar.2020.565644), and also counts the similarity of 1 of each molecule with itself.
        scaffolds: different Bemis-Murcko scaffolds / molecules, in (0, 1]; None without molecules. All molecules
            without a ring share the empty scaffold.
    """

    internal: float | None
    scaffolds: float | None


def diversity_of(smiles: Sequence[str]) -> Diversity:
    """Return the diversity of canonical SMILES, in about 0.13 ms a molecule."""
    molecules = [parse_canonical(text) for text in smiles]
    different = {scaffold_of(molecule) for molecule in molecules}
    return Diversity(_internal(molecules), len(different) / len(molecules) if molecules else None)


def _internal(molecules: Sequence[Chem.Mol]) -> float | None:
    n = len(molecules)
    if n < 2:
        return None
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(molecule) for molecule in molecules]
    similar = sum(sum(DataStructs.BulkTanimotoSimilarity(fingerprints[i], fingerprints[:i])) for i in range(1, n))
    return 1 - float(similar) / (n * (n - 1) / 2)
