"""Stored rows for samplers: in the vocabulary of the policy in training, or selected by scaffold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import scaffolds_of
from molbuffer.storage import HistoryIndex, Positions, Rows, SelectableRows


def expressible(index: HistoryIndex, vocabulary: Vocabulary, *, unparseable: bool = False) -> HistoryIndex:
    """Return the index without the rows of other vocabularies that a vocabulary cannot express.

    Args:
        index: the rows.
        vocabulary: the vocabulary of the policy in training.
        unparseable: whether the index has rows that are no molecule. Whether these are expressible was not checked
            when they were drawn, and a row of a file may have no tokens at all.
    """
    vocabularies = [sha256 != vocabulary.sha256 for sha256 in index.builds["vocabulary_sha256"].to_pylist()]
    without_policy = [unparseable and sha256 is None for sha256 in index.policy_sha256s]
    foreign_builds = np.array(vocabularies, bool) | np.array(without_policy, bool)
    foreign = np.flatnonzero(foreign_builds[index.build_numbers])
    raw = index.raw(foreign) if len(foreign) else []
    lacking = {at for at, text in zip(foreign.tolist(), raw, strict=True) if not vocabulary.can_encode(text)}
    if index.sources and len(foreign):
        sources = zip(foreign.tolist(), index.read("source_smiles", foreign), strict=True)
        lacking |= {at for at, text in sources if text is not None and not vocabulary.can_encode(text)}
    return index.without(np.array(sorted(lacking), np.int64)) if lacking else index


def stored_rows(index: HistoryIndex, positions: Positions, vocabulary: Vocabulary) -> Rows:
    """Return rows of an index in a vocabulary; rows of another vocabulary are encoded again, both ends of pairs.

    Rows that are encoded again keep nothing of the model that drew them: log-probabilities and latents are NaN.

    Args:
        index: rows that the vocabulary can express.
        positions: int64 [n], the rows to return.
        vocabulary: the vocabulary of the policy in training.
    """
    rows = index.gather(positions)
    native = np.array([sha256 == vocabulary.sha256 for sha256 in index.vocabularies], bool)
    foreign = np.flatnonzero(~native[index.vocabulary_numbers(positions)])
    if len(foreign):
        sources = None if rows.source_tokens is None else index.read("source_smiles", positions[foreign])
        encoded = encode_rows(index.raw(positions[foreign]), vocabulary, sources)
        encoded = replace(encoded, rewards=index.rewards[positions[foreign]])
        rows = Rows.placed(len(rows), [(slice(None), rows), (foreign, encoded)])
    return replace(rows, vocabulary_sha256=vocabulary.sha256)


@dataclass
class ByScaffold:
    """A selection stratified by Bemis-Murcko scaffold: all scaffolds have the same chance, whatever their rows.

    Every scaffold is drawn once before any is drawn a second time. Molecules without a ring share one scaffold. A
    scaffold takes about 0.1 ms, once for each different molecule.
    """

    _of_molecule: dict[int, str] = field(default_factory=dict)

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return len(rows)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        if not len(rows):
            return np.zeros(0, np.int64)
        scaffolds = self._numbers(rows)
        order = rng.permutation(len(rows))
        # The position of each row among those of its scaffold, in random order.
        by_scaffold = order[np.argsort(scaffolds[order], kind="stable")]
        sizes = np.unique(scaffolds, return_counts=True)[1]
        turns = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        # The scaffolds of one turn come in random order, too.
        return by_scaffold[np.lexsort((rng.random(len(rows)), turns))[:n]]

    def _numbers(self, rows: SelectableRows) -> NDArray[np.int64]:
        """Return a number for each row [n], equal for equal scaffolds."""
        molecules, first, of_row = np.unique(rows.molecules, return_index=True, return_inverse=True)
        missing = np.flatnonzero([molecule not in self._of_molecule for molecule in molecules.tolist()])
        if len(missing):
            smiles = [text or "" for text in rows.smiles(first[missing])]
            self._of_molecule |= dict(zip(molecules[missing].tolist(), scaffolds_of(smiles), strict=True))
        scaffolds = [self._of_molecule[molecule] for molecule in molecules.tolist()]
        numbers: NDArray[np.int64] = np.unique(scaffolds, return_inverse=True)[1]
        return numbers[of_row]
