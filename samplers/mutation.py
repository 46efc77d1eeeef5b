"""MutationSampler: changes single tokens of the molecules of any other sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.files import EpochPosition, epoch_sampler
from molbuffer.samplers.seeds import derive_seed, numpy_generator
from molbuffer.samplers.tokens import TokenChanges, Vocabulary
from molbuffer.scoring import are_other_molecules, standardise_many

TRIES = 50
"""The number of attempts to change a parent before it counts as one without mutants; about 4 of 5 succeed."""


@checked
@dataclass(frozen=True)
class MutationSampler(Sampler):
    """Replaces, inserts, deletes and swaps tokens of molecules; its rows have no likelihood.

    Attributes:
        base_sampler: the sampler that draws the parents.
        vocabulary: the vocabulary of the policy in training, from which new tokens are drawn.
        mutations: the number of changes of each parent, at least 1.
        valid_only: whether the change of a parent is repeated until the result is a molecule other than the parent.

    Example:
        >>> from pathlib import Path
        >>> vocabulary = lab.policy("zinc-gru").vocabulary
        >>> actives = mb.DatasetSampler("actives", Path("actives.smi"), vocabulary, replacement=True)
        >>> mutants = mb.MutationSampler("mutants", actives, vocabulary).draw(4, seed=0)
        >>> len(mutants), {"CCO", "CCN", "CCC"}.isdisjoint(mutants.raw)
        (4, True)
    """

    name: str
    base_sampler: Sampler
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    mutations: int = 1
    valid_only: bool = True
    kind: ClassVar[str] = "mutation"

    def __post_init__(self) -> None:
        if self.mutations < 1:
            raise ValueError(f"mutations must be at least 1, got {self.mutations}")

    @property
    def has_epochs(self) -> bool:
        """Whether the base sampler draws epochs of a file: every parent once before any is drawn again."""
        return epoch_sampler(self.base_sampler) is not None

    def draw(self, n: int, seed: int) -> Draw:
        """Draw a mutant of each of n parents, fewer if there are fewer parents, or parents without mutants."""
        rng = numpy_generator(seed, "mutations")
        parents = self.base_sampler.draw(n, derive_seed(seed, "parents")).raw
        return self._drawn(self._mutants(parents, rng))

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw mutants of the next n parents of a file; other parents replace those without mutants."""
        base = epoch_sampler(self.base_sampler)
        assert base is not None
        rng = numpy_generator(seed, "mutations")
        mutants = self._mutants(base.draw_from(position, n, derive_seed(seed, "parents")).raw, rng)
        if missing := n - len(mutants):
            # The position in the file follows from the number of drawn rows: with fewer, a draw would start too early.
            others = self.base_sampler.draw(missing, derive_seed(seed, "others")).raw
            mutants += self._mutants(others, rng)
        return self._drawn(mutants)

    def _drawn(self, mutants: Sequence[tuple[str, str]]) -> Draw:
        raw = [mutant for mutant, _ in mutants]
        parents = list(dict.fromkeys(parent for _, parent in mutants))
        # A string that is no molecule stays as it is.
        names = {text: name or text for text, name in zip(parents, standardise_many(parents), strict=True)}
        return Draw(raw, encode_rows(raw, self.vocabulary), parents=[(names[parent],) for _, parent in mutants])

    def _mutants(self, parents: Sequence[str], rng: np.random.Generator) -> list[tuple[str, str]]:
        """Return a mutant of each parent that has one, with its parent."""
        if not self.valid_only:
            return [(self._mutant(parent, rng), parent) for parent in parents]
        mutants: list[str | None] = [None] * len(parents)
        missing = list(range(len(parents)))
        for _ in range(TRIES):
            tried = [self._mutant(parents[at], rng) for at in missing]
            good = are_other_molecules([(mutant, parents[at]) for mutant, at in zip(tried, missing, strict=True)])
            for mutant, at, other in zip(tried, missing, good, strict=True):
                mutants[at] = mutant if other else None
            missing = [at for at in missing if mutants[at] is None]
            if not missing:
                break
        found = zip(mutants, parents, strict=True)
        return [(mutant, parent) for mutant, parent in found if mutant is not None]

    def _mutant(self, parent: str, rng: np.random.Generator) -> str:
        # A string that the grammar cannot express has no tokens to change, and stays as it is.
        return self._changes(parent, rng) or parent

    @cached_property
    def _changes(self) -> TokenChanges:
        return TokenChanges(self.vocabulary, self.mutations, plausible_only=self.valid_only)
