"""The settings of offspring: the shares of crossovers and mutations, and the size of children."""

from __future__ import annotations

import math
from dataclasses import dataclass

from molbuffer.scoring.errors import ScoringConfigurationError

WAYS = ("fragment_crossover", "token_change", "ring_crossover", "graph_mutation")
"""The ways to make a child."""


@dataclass(frozen=True)
class Breeding:
    """The shares of the ways to make a child, and the size of children.

    The four shares are weights; their sum need not be 1.

    Attributes:
        fragment_crossover: the share of children that join a part of each of two parents by a single bond outside of
            rings.
        token_change: the share of children that are a parent with one token replaced, inserted, deleted or swapped.
        ring_crossover: the share of children that join a part of a ring of each of two parents to a new ring.
        graph_mutation: the share of children that are a parent with one change of an atom or a bond.
        mutation_rate: the probability that a child of two parents is also mutated, in [0, 1].
        most_atoms: the largest number of heavy atoms of a child.
        largest_ring: the largest size of a ring of a child, unless a parent has a ring at least as large.
    """

    fragment_crossover: float = 0.63
    token_change: float = 0.27
    ring_crossover: float = 0.05
    graph_mutation: float = 0.05
    mutation_rate: float = 0.0
    most_atoms: int = 50
    largest_ring: int = 8

    def __post_init__(self) -> None:
        for name in WAYS:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ScoringConfigurationError(f"{name} must be a weight of at least 0, got {getattr(self, name):g}")
        if not any(self.weights):
            raise ScoringConfigurationError(f"one of {', '.join(WAYS)} must be above 0, got 0 for all of them")
        if not 0 <= self.mutation_rate <= 1:
            raise ScoringConfigurationError(f"mutation_rate must be in [0, 1], got {self.mutation_rate:g}")
        for name, least in (("most_atoms", 1), ("largest_ring", 3)):
            if getattr(self, name) < least:
                raise ScoringConfigurationError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the ways, in the order of ``WAYS``."""
        return self.fragment_crossover, self.token_change, self.ring_crossover, self.graph_mutation
