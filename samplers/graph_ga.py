"""GraphGASampler: a genetic algorithm on molecular graphs whose population is the best of the stored history.

After Jensen 2019 (doi:10.1039/C8SC05372C), without generations of its own: its draws are stored and scored as all
samples are, and the best of them become parents, beside the best of every other sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.seeds import derive_seed, numpy_generator
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import Breeding, children
from molbuffer.storage import HistoryIndex


@checked
@dataclass(frozen=True)
class GraphGASampler(Sampler):
    """Draws children of good molecules, without a likelihood (R19).

    Attributes:
        history: returns the stored rows as they are at the time of a draw.
        base_sampler: draws the missing parents while the history has fewer than ``parents`` molecules.
        vocabulary: the vocabulary of the policy in training.
        parents: the number of best molecules that have children, at least 2. The probability of a parent falls
            linearly with its rank, to nearly 0 for the last.
        breeding: the rates of crossover and mutation.
    """

    name: str
    history: Callable[[], HistoryIndex]
    base_sampler: Sampler
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    parents: int = 100
    breeding: Breeding = Breeding()
    kind: ClassVar[str] = "graph_ga"

    def __post_init__(self) -> None:
        if self.parents < 2:
            raise ValueError(f"parents must be at least 2, got {self.parents}")

    def draw(self, n: int, seed: int) -> Draw:
        """Draw up to n children, fewer when the parents have no more children that differ from them."""
        parents = self._parents(seed)
        rng = numpy_generator(seed, "children")
        found = children(parents, _by_rank(len(parents)), n, rng, self.breeding)
        return Draw(found, encode_rows(found, self.vocabulary))

    def _parents(self, seed: int) -> list[str]:
        """Return the parents, the best first and those of the base sampler last."""
        index = self.history()
        best = [text for text in index.smiles(index.best_of_each_molecule[: self.parents]) if text]
        missing = self.parents - len(best)
        first: Sequence[str] = self.base_sampler.draw(missing, derive_seed(seed, "parents")).raw if missing else ()
        return [*best, *first]


def _by_rank(n: int) -> NDArray[np.float64]:
    """Return probabilities [n] that fall linearly from the first to the last."""
    weights: NDArray[np.float64] = np.arange(n, 0, -1, dtype=np.float64)
    weights /= weights.sum()
    return weights
