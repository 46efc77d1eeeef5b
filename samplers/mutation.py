"""MutationSampler: changes single tokens of the molecules of any other sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.files import EpochPosition, epoch_sampler
from molbuffer.samplers.seeds import derive_seed, numpy_generator
from molbuffer.samplers.tokens import RESERVED, Vocabulary
from molbuffer.scoring import are_other_molecules

TRIES = 50
"""The attempts to change a parent before it counts as one without mutants; about one change in three is a molecule."""


@checked
@dataclass(frozen=True)
class MutationSampler(Sampler):
    """Replaces, inserts, deletes and swaps tokens of molecules, without a likelihood (R19).

    Attributes:
        base_sampler: draws the parents.
        vocabulary: the vocabulary of the policy in training, which new tokens come from.
        mutations: the changes of each parent, at least 1.
        valid_only: repeat the change of a parent until the result is a molecule other than the parent.

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
        """Whether the base sampler draws epochs of a file: every parent once before any comes again."""
        return epoch_sampler(self.base_sampler) is not None

    def draw(self, n: int, seed: int) -> Draw:
        """Draw a mutant of each of n parents, fewer when there are fewer parents, or parents without mutants."""
        vocabulary, rng = self.vocabulary, numpy_generator(seed, "mutations")
        parents = self.base_sampler.draw(n, derive_seed(seed, "parents")).raw
        mutants = self._mutants(parents, vocabulary, rng)
        return Draw(mutants, encode_rows(mutants, vocabulary))

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw mutants of the n parents that are next in a file; other parents replace those without mutants."""
        base = epoch_sampler(self.base_sampler)
        assert base is not None
        vocabulary, rng = self.vocabulary, numpy_generator(seed, "mutations")
        mutants = self._mutants(base.draw_from(position, n, derive_seed(seed, "parents")).raw, vocabulary, rng)
        if missing := n - len(mutants):
            # The rows of a build count the position in the file: with fewer rows, the file would never be passed.
            others = self.base_sampler.draw(missing, derive_seed(seed, "others")).raw
            mutants += self._mutants(others, vocabulary, rng)
        return Draw(mutants, encode_rows(mutants, vocabulary))

    def _mutants(self, parents: Sequence[str], vocabulary: Vocabulary, rng: np.random.Generator) -> list[str]:
        """Return a mutant of each parent that has one."""
        mutants = [self._mutant(parent, vocabulary, rng) for parent in parents]
        return self._mended(mutants, parents, vocabulary, rng) if self.valid_only else mutants

    def _mended(
        self, mutants: list[str], parents: Sequence[str], vocabulary: Vocabulary, rng: np.random.Generator
    ) -> list[str]:
        """Replace or drop the mutants that are no molecule, or that are the molecule of their parent."""
        checked = list(range(len(parents)))
        for _ in range(TRIES):
            good = are_other_molecules([(mutants[at], parents[at]) for at in checked])
            checked = [at for at, other in zip(checked, good, strict=True) if not other]
            for at in checked:
                mutants[at] = self._mutant(parents[at], vocabulary, rng)
        left_out = set(checked)
        return [mutant for at, mutant in enumerate(mutants) if at not in left_out]

    def _mutant(self, parent: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
        try:
            tokens = vocabulary.grammar.split(parent)
        except UnknownTokenError:
            # A string that the grammar cannot express has no tokens to change: it is judged as it is.
            return parent
        choices = vocabulary.tokens[len(RESERVED) :]
        for _ in range(self.mutations):
            tokens = _changed(tokens, choices, rng)
        return vocabulary.grammar.join(tokens)


def _changed(tokens: Sequence[str], choices: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return the tokens after one change; at least one token is left."""
    changed = list(tokens)
    kinds = ("insert", "replace", "delete", "swap") if len(changed) > 1 else ("insert", "replace")
    kind = kinds[int(rng.integers(len(kinds)))]
    place = int(rng.integers(len(changed) + (kind == "insert"))) if changed else 0
    new = choices[int(rng.integers(len(choices)))]
    match kind:
        case "insert":
            changed.insert(place, new)
        case "replace":
            changed[place : place + 1] = [new]
        case "delete":
            del changed[place]
        case "swap":
            other = int(rng.integers(len(changed)))
            changed[place], changed[other] = changed[other], changed[place]
    return changed
