"""The molecules of a store that are most similar to a given molecule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molbuffer.pages.facts import BITS, RADIUS, Neighbour, Scope, sample_molecules
from molbuffer.scoring import parse_small

NEAREST = 12
MOST_COMPARED = 10_000
"""The most molecules to compare with; their fingerprints take a second or two, once a snapshot."""


class Neighbourhood:
    """The fingerprints of the molecules of a scope that have a reward, or of a sample of them.

    The fingerprint of a molecule is computed once, and reused for later snapshots.

    Args:
        most: the most molecules that are compared.
    """

    def __init__(self, most: int = MOST_COMPARED) -> None:
        self.most = most
        self.total = 0
        self._prints: dict[str, DataStructs.ExplicitBitVect | None] = {}
        self._of: tuple[int, tuple[str, ...], str] | None = None
        self._smiles: Sequence[str] = ()
        self._generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)

    @property
    def compared(self) -> int:
        """The number of molecules that are compared, a sample of ``total`` molecules."""
        return len(self._smiles)

    def nearest(self, scope: Scope, objective_sha256: str, smiles: str) -> list[Neighbour]:
        """Return the ``NEAREST`` molecules most similar to another one, nearest first; empty if its SMILES cannot be
        read.
        """
        molecule = parse_small(smiles)
        if molecule is None:
            return []
        self._follow(scope, objective_sha256)
        wanted = self._generator.GetFingerprint(molecule)
        pairs = ((each, self._prints[each]) for each in self._smiles if each != smiles)
        known = [(each, fingerprint) for each, fingerprint in pairs if fingerprint is not None]
        if not known:
            return []
        similarities = np.array(DataStructs.BulkTanimotoSimilarity(wanted, [fingerprint for _, fingerprint in known]))
        order = np.argsort(-similarities, kind="stable")[:NEAREST]
        return [Neighbour(smiles, known[at][0], float(similarities[at])) for at in order.tolist()]

    def _follow(self, scope: Scope, objective_sha256: str) -> None:
        """Read the sample of a scope and compute its fingerprints, unless it is the present one."""
        wanted = (scope.snapshot, scope.run_ids, objective_sha256)
        if self._of == wanted:
            return
        sample = sample_molecules(scope, objective_sha256, self.most)
        self._smiles, self.total = sample.molecules["smiles"].to_list(), sample.total
        kept = {}
        for text in self._smiles:
            if text in self._prints:
                kept[text] = self._prints[text]
            else:
                molecule = parse_small(text)
                kept[text] = None if molecule is None else self._generator.GetFingerprint(molecule)
        self._prints, self._of = kept, wanted
