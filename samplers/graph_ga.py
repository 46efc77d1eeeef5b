"""GraphGASampler: a genetic algorithm on molecules whose population is the best of the stored history.

It follows Jensen 2019 (doi:10.1039/C8SC05372C), but has no generations: its draws are stored and scored like all
samples, and the best of them become parents, together with the best of all other samplers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.seeds import derive_seed, numpy_generator
from molbuffer.samplers.tokens import TokenChanges, Vocabulary
from molbuffer.scoring import Breeding, children, standardise_many

PARENTS_OF_A_CHILD = 2
"""The largest number of parents of a child."""


class MoleculeHistory(Protocol):
    """The history that parents are taken from."""

    def best_molecules(self, n: int) -> Mapping[str, float]:
        """Return the n different molecules with the best rewards, as rewards by canonical SMILES, the best first."""
        ...


@checked
@dataclass(frozen=True)
class GraphGASampler(Sampler):
    """Draws children of molecules with good rewards; its rows have no likelihood.

    Attributes:
        history: the stored rows at the time of a draw, as ``run.stored_rows()`` returns them.
        base_sampler: the sampler that draws the missing parents while the history has fewer molecules than a draw has
            children.
        vocabulary: the vocabulary of the policy in training, from which new tokens are drawn.
        parents: the number of best molecules that have children, at least 2.
        weighting: the probability of a parent by its rank among n parents, where the best has rank 0: "harmonic":
            proportional to 1 / (k n + rank); "linear": proportional to n - rank. Parents with equal rewards have the
            mean of their probabilities.
        k: the share of the parents that are about as likely as the best, for "harmonic".
        immigrants: the probability that a parent is a new molecule of the base sampler, in [0, 1). Without immigrants,
            all children are made of parts of a few molecules in the end.
        breeding: the shares of the ways to make a child, and the size of children.
        unique: "run": refuse children that the run has drawn before; true: refuse children that the build has kept.
    """

    name: str
    history: MoleculeHistory
    base_sampler: Sampler
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    parents: int = 1024
    weighting: Literal["harmonic", "linear"] = "harmonic"
    k: float = 0.01
    immigrants: float = 0.0
    breeding: Breeding = Breeding()
    unique: bool | Literal["run"] = False
    kind: ClassVar[str] = "graph_ga"

    def __post_init__(self) -> None:
        if self.parents < 2:
            raise ValueError(f"parents must be at least 2, got {self.parents}")
        if not self.k > 0:
            raise ValueError(f"k must be above 0, got {self.k:g}")
        if not 0 <= self.immigrants < 1:
            raise ValueError(f"immigrants must be in [0, 1), got {self.immigrants:g}")

    def draw(self, n: int, seed: int) -> Draw:
        """Draw up to n different children, fewer if the parents have no more."""
        parents = self._parents(n, seed)
        rewards = np.array(list(parents.values()))
        probabilities = by_rank(rewards, None if self.weighting == "linear" else self.k * len(parents))
        if fresh := self._fresh(math.ceil(PARENTS_OF_A_CHILD * self.immigrants * n), seed, parents):
            share = np.full(len(fresh), self.immigrants / len(fresh))
            probabilities = np.concatenate([(1 - self.immigrants) * probabilities, share])
        found = children(
            parents=[*parents, *fresh],
            probabilities=probabilities,
            n=n,
            rng=numpy_generator(seed, "children"),
            breeding=self.breeding,
            change_tokens=self._token_changes,
        )
        return Draw(list(found), encode_rows(list(found), self.vocabulary), parents=list(found.values()))

    def _parents(self, n: int, seed: int) -> Mapping[str, float]:
        """Return the rewards of the parents by canonical SMILES, the best first.

        Parents of the base sampler come last, with a reward of -inf.
        """
        best = self.history.best_molecules(self.parents)
        missing = min(self.parents, max(n, 2)) - len(best)
        if missing <= 0:
            return best
        drawn = self._drawn_by_base(missing, derive_seed(seed, "parents"))
        return {**best, **{text: -math.inf for text in drawn if text not in best}}

    def _fresh(self, n: int, seed: int, parents: Mapping[str, float]) -> list[str]:
        """Return up to n different molecules of the base sampler that are not among the parents."""
        return [text for text in self._drawn_by_base(n, derive_seed(seed, "immigrants")) if text not in parents]

    def _drawn_by_base(self, n: int, seed: int) -> list[str]:
        """Return the different molecules among n rows of the base sampler, as canonical SMILES."""
        if not n:
            return []
        drawn = standardise_many(self.base_sampler.draw(n, seed).raw)
        return list(dict.fromkeys(text for text in drawn if text is not None))

    @cached_property
    def _token_changes(self) -> TokenChanges:
        return TokenChanges(self.vocabulary)


def by_rank(rewards: NDArray[np.float64], best: float | None) -> NDArray[np.float64]:
    """Return the probabilities [n] of parents, whose sum is 1; parents with equal rewards are equally likely.

    Args:
        rewards: the rewards [n], the best first.
        best: the constant c in probabilities proportional to 1 / (c + rank); None makes them fall linearly.
    """
    ranks = np.arange(len(rewards), dtype=np.float64)
    weights: NDArray[np.float64] = len(rewards) - ranks if best is None else 1 / (best + ranks)
    # Parents with equal rewards are equally good: while all rewards are 0, every parent has children.
    _, group = np.unique(rewards, return_inverse=True)
    shared: NDArray[np.float64] = (np.bincount(group, weights) / np.bincount(group))[group]
    shared /= shared.sum()
    return shared
