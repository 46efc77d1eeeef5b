"""Neighbours: all pairs of molecules of a list whose similarity is within bounds.

The Tanimoto similarity of count fingerprints, Σ min(a, b) / Σ max(a, b), equals that of sets if a feature that occurs c
times counts as c different features. The number of features that two molecules share is then a product of matrices of
zeros and ones. Features of many molecules are multiplied as a dense matrix, the many features of few molecules as a
sparse one. Only molecules whose sizes allow the least similarity are compared: the similarity of a pair is at most the
ratio of the smaller to the larger size. The result is exact, since counts are whole numbers that float32 represents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from molbuffer.scoring.errors import ScoringConfigurationError, ScoringError
from molbuffer.scoring.molecules.parsing import parse_smiles
from molbuffer.scoring.molecules.similarity.fingerprints import Fingerprint, count_fingerprint
from molbuffer.scoring.workers import map_chunks

DENSE_SHARE = 0.02
"""The share of the molecules from which on a feature is cheaper to multiply in a dense matrix."""
BLOCK_CELLS = 4_000_000
"""The number of pairs that are compared in one matrix of 16 MB."""
MOST_PENDING = 1_000_000
"""The number of pairs that are collected before those that are not among the most similar are dropped."""
SLACK = 0.01
"""The tolerance for rounding in the first comparison of a pair; pairs that pass it are compared exactly."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SimilarityBounds:
    """The bounds, both inclusive, of the similarity of two molecules.

    Attributes:
        minimum: the least Tanimoto similarity, in [0, 1].
        maximum: the greatest Tanimoto similarity, in [0, 1].
        fingerprint: the fingerprint that is compared.
        radius: the radius of the fingerprint in bonds.
    """

    minimum: float
    maximum: float = 1.0
    fingerprint: Fingerprint = Fingerprint.MORGAN
    radius: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum <= 1:
            raise ScoringConfigurationError(
                f"a similarity needs 0 <= minimum <= maximum <= 1, got {self.minimum:g} and {self.maximum:g}"
            )


@dataclass(frozen=True)
class SimilarPairs:
    """Ordered pairs of molecules of a list by index; for each first molecule the most similar second one comes first.

    Attributes:
        first: int64 [n], the index of the first molecule. Pairs are ordered by first, falling similarity and second.
        second: int64 [n], the index of the second molecule.
        similarity: float64 [n], in [0, 1].
    """

    first: Indices
    second: Indices
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)


def similar_pairs(
    molecules: Sequence[str],
    bounds: SimilarityBounds,
    *,
    most: int | None = None,
    accepts: Callable[[Indices, Indices], NDArray[np.bool_]] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> SimilarPairs:
    """Return all ordered pairs, (a, b) and (b, a), of different molecules whose similarity is within the bounds.

    The time grows with the square of the number of molecules, at about 10⁸ pairs a second.

    Args:
        molecules: SMILES.
        bounds: the bounds of the similarity.
        most: the largest number of pairs of each first molecule. The most similar ones are kept, and of equally similar
            ones those whose second molecule has the lower index. None keeps all.
        accepts: a function of the indices [n] of first and second molecules that returns the mask [n] of the pairs to
            keep; it is applied before ``most``.
        progress: called with the number of molecules that are compared with all others so far.

    Raises:
        ScoringError: a string is no molecule.
    """
    features = _Features.of(molecules, bounds)
    found, pending = [_EMPTY], 0
    for rows, columns in features.blocks(bounds.minimum):
        pairs = _both_ways(features.within(rows, columns, bounds))
        if accepts is not None:
            pairs = _chosen(pairs, accepts(pairs.first, pairs.second))
        found.append(pairs)
        pending += len(pairs)
        if most is not None and pending > max(MOST_PENDING, 2 * most * len(molecules)):
            found, pending = [_most_similar(found, most)], 0
        progress(rows.stop)
    return _most_similar(found, most)


@dataclass(frozen=True)
class _Features:
    """The features of the molecules in ascending order of size, as matrices of zeros and ones.

    Attributes:
        places: int64 [n], the index of each molecule in the list.
        sizes: float64 [n], the number of features of each molecule, ascending.
        common: float32 [n, c], the features that many molecules have.
        rare: the other features, as a sparse matrix.
    """

    places: Indices
    sizes: NDArray[np.float64]
    common: NDArray[np.float32]
    rare: sparse.csr_array

    @classmethod
    def of(cls, molecules: Sequence[str], bounds: SimilarityBounds) -> _Features:
        counted = map_chunks(_feature_counts, molecules, bounds.fingerprint, bounds.radius)
        for place, (text, features) in enumerate(zip(molecules, counted, strict=True)):
            if features is None:
                raise ScoringError(f"expected molecules, got {text!r} at index {place}, which is none")
        kinds = [features[0] for features in counted if features is not None]
        counts = np.concatenate([_NO_COUNTS, *(features[1] for features in counted if features is not None)])
        rows = np.repeat(np.arange(len(molecules)), [len(ids) for ids in kinds])
        sizes = np.bincount(rows, counts, minlength=len(molecules)).astype(np.int64)
        order = np.argsort(sizes, kind="stable")
        place_of = np.empty_like(order)
        place_of[order] = np.arange(len(order))
        # A feature that occurs c times becomes the features (feature, 0) … (feature, c - 1).
        numbers = np.unique(np.concatenate([_NO_KINDS, *kinds]), return_inverse=True)[1]
        occurrence = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        key = np.repeat(numbers, counts) * (int(counts.max(initial=0)) + 1) + occurrence
        _, columns, molecules_with = np.unique(key, return_inverse=True, return_counts=True)
        shape = (len(molecules), len(molecules_with))
        ones = np.ones(len(columns), np.float32)
        matrix = sparse.csr_array((ones, (place_of[np.repeat(rows, counts)], columns)), shape=shape)
        common = molecules_with > DENSE_SHARE * len(molecules)
        return cls(order, sizes[order].astype(np.float64), matrix[:, common].toarray(), matrix[:, ~common])

    def blocks(self, minimum: float) -> Iterator[tuple[slice, slice]]:
        """Yield blocks of rows, each with the columns from its first row on whose sizes allow the least similarity."""
        n, start = len(self.sizes), 0
        while start < n:
            rows = slice(start, min(n, start + max(1, BLOCK_CELLS // n)))
            # With some slack, so that rounding excludes no pair that just reaches the minimum.
            largest = np.inf if minimum == 0 else self.sizes[rows.stop - 1] / minimum + SLACK
            yield rows, slice(start, int(np.searchsorted(self.sizes, largest, "right")))
            start = rows.stop

    def within(self, rows: slice, columns: slice, bounds: SimilarityBounds) -> SimilarPairs:
        """Return the pairs of a block that are within the bounds, each once, in any order."""
        shared: NDArray[np.float32] = self.common[rows] @ self.common[columns].T
        rest = (self.rare[rows] @ self.rare[columns].T).tocoo()
        shared[rest.row, rest.col] += rest.data
        # similarity >= t exactly where shared >= t / (1 + t) · (size + size)
        share = bounds.minimum / (1 + bounds.minimum)
        least = np.add.outer(self.sizes[rows] * share - SLACK, self.sizes[columns] * share).astype(np.float32)
        row, column = np.nonzero(shared >= least)
        common = shared[row, column].astype(np.float64)
        union = self.sizes[rows][row] + self.sizes[columns][column] - common
        similarity = np.divide(common, union, out=np.zeros_like(union), where=union > 0)
        row, column = row + rows.start, column + columns.start
        inside = (similarity >= bounds.minimum) & (similarity <= bounds.maximum) & (row < column)
        return SimilarPairs(self.places[row[inside]], self.places[column[inside]], similarity[inside])


_NO_KINDS: NDArray[np.uint64] = np.zeros(0, np.uint64)
_NO_COUNTS: NDArray[np.int64] = np.zeros(0, np.int64)
_EMPTY = SimilarPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def _feature_counts(
    molecules: Sequence[str], kind: Fingerprint, radius: int
) -> list[tuple[NDArray[np.uint64], NDArray[np.int64]] | None]:
    """Return the features of each molecule with their counts; None where a string is no molecule."""
    found: list[tuple[NDArray[np.uint64], NDArray[np.int64]] | None] = []
    for text in molecules:
        if (molecule := parse_smiles(text)) is None:
            found.append(None)
        else:
            features = count_fingerprint(molecule, kind, radius).GetNonzeroElements()
            n = len(features)
            found.append((np.fromiter(features.keys(), np.uint64, n), np.fromiter(features.values(), np.int64, n)))
    return found


def _chosen(pairs: SimilarPairs, which: NDArray[np.bool_]) -> SimilarPairs:
    return SimilarPairs(pairs.first[which], pairs.second[which], pairs.similarity[which])


def _both_ways(pairs: SimilarPairs) -> SimilarPairs:
    return SimilarPairs(
        np.concatenate([pairs.first, pairs.second]),
        np.concatenate([pairs.second, pairs.first]),
        np.concatenate([pairs.similarity, pairs.similarity]),
    )


def _most_similar(parts: Sequence[SimilarPairs], most: int | None) -> SimilarPairs:
    """Merge the pairs of all parts in order, at most ``most`` of each first molecule."""
    first, second, similarity = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "similarity")
    )
    order = np.lexsort((second, -similarity, first))
    pairs = SimilarPairs(first[order], second[order], similarity[order])
    return pairs if most is None else _chosen(pairs, _rank(pairs.first) < most)


def _rank(ordered: Indices) -> Indices:
    """Return the number of equal values before each value, in an array whose equal values are adjacent."""
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    return np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
