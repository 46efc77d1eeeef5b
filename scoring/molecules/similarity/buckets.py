"""Buckets of molecules that count as alike. The name of a bucket is the SMILES of what its molecules have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rdkit import DataStructs

from molbuffer.scoring.molecules.parsing import parse_canonical
from molbuffer.scoring.molecules.scaffolds import generic_scaffolds_of, scaffolds_of
from molbuffer.scoring.molecules.similarity.fingerprints import Fingerprint, count_fingerprint

BucketName = Literal["scaffold", "generic_scaffold", "molecule", "similarity"]


class Buckets(Protocol):
    """The buckets of a memory."""

    def of(self, smiles: Sequence[str]) -> list[str | None]:
        """Return the bucket of each molecule [n], given as canonical SMILES; None if it belongs to no open bucket."""

    def add(self, smiles: Sequence[str]) -> list[str]:
        """Return the bucket of each molecule [n], in order; a molecule that belongs to no open bucket opens one."""

    def restore(self, buckets: Iterable[str]) -> None:
        """Open the buckets that an earlier part of the run opened, in the same order."""


@dataclass
class FixedBuckets:
    """Buckets that are a function of the molecule alone.

    Attributes:
        function: the function of a list of molecules that returns the bucket of each.
    """

    function: Callable[[Sequence[str]], list[str]]
    _known: dict[str, str] = field(default_factory=dict, init=False)

    def of(self, smiles: Sequence[str]) -> list[str | None]:
        return [*self.add(smiles)]

    def add(self, smiles: Sequence[str]) -> list[str]:
        missing = [text for text in dict.fromkeys(smiles) if text not in self._known]
        self._known |= dict(zip(missing, self.function(missing), strict=True))
        return [self._known[text] for text in smiles]

    def restore(self, buckets: Iterable[str]) -> None:
        """Do nothing: the buckets follow from the molecules."""


@dataclass
class SimilarityBuckets:
    """Buckets around centres, by the Tanimoto similarity of Morgan count fingerprints of radius 2.

    A molecule belongs to the bucket of the most similar centre, of equally similar centres to the earliest. If no
    centre is similar enough, the molecule becomes the centre of a new bucket.

    Attributes:
        least: the least similarity to a centre, in [0, 1].
    """

    least: float
    _centres: list[str] = field(default_factory=list, init=False)
    _fingerprints: list[DataStructs.ULongSparseIntVect] = field(default_factory=list, init=False)

    def of(self, smiles: Sequence[str]) -> list[str | None]:
        return [self._nearest(_fingerprint(text)) for text in smiles]

    def add(self, smiles: Sequence[str]) -> list[str]:
        found = []
        for text in smiles:
            fingerprint = _fingerprint(text)
            if (centre := self._nearest(fingerprint)) is None:
                centre = text
                self._open(text, fingerprint)
            found.append(centre)
        return found

    def restore(self, buckets: Iterable[str]) -> None:
        for centre in dict.fromkeys(buckets):
            self._open(centre, _fingerprint(centre))

    def _open(self, centre: str, fingerprint: DataStructs.ULongSparseIntVect) -> None:
        self._centres.append(centre)
        self._fingerprints.append(fingerprint)

    def _nearest(self, fingerprint: DataStructs.ULongSparseIntVect) -> str | None:
        if not self._centres:
            return None
        of_centres = DataStructs.BulkTanimotoSimilarity(fingerprint, self._fingerprints)
        best = max(range(len(of_centres)), key=of_centres.__getitem__)
        return self._centres[best] if of_centres[best] >= self.least else None


def _fingerprint(smiles: str) -> DataStructs.ULongSparseIntVect:
    return count_fingerprint(parse_canonical(smiles), Fingerprint.MORGAN)


def make_buckets(name: BucketName, least_similarity: float) -> Buckets:
    """Return empty buckets.

    Args:
        name: ``scaffold``: the Bemis-Murcko scaffold; ``generic_scaffold``: the same with carbon atoms and single bonds
            only; ``molecule``: the molecule itself; ``similarity``: the most similar centre of a bucket.
        least_similarity: the least similarity to a centre, in [0, 1], for ``similarity``.
    """
    return SimilarityBuckets(least_similarity) if name == "similarity" else FixedBuckets(_FUNCTIONS[name])


_FUNCTIONS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "scaffold": scaffolds_of,
    "generic_scaffold": generic_scaffolds_of,
    "molecule": list,
}
