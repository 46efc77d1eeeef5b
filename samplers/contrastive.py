"""ContrastiveSampler: draws sources from any sampler, and their targets from a conditional model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.files import EpochPosition, epoch_sampler
from molbuffer.samplers.models import UNTRUNCATED, Condition, ConditionKind, Sampling
from molbuffer.samplers.policies import Policy, draw_rows, given_policy
from molbuffer.samplers.seeds import derive_seed, torch_generator
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import Standardisation, standardise_many
from molbuffer.storage import RowId

SOURCE_ROUNDS = 5
"""The largest number of draws of sources; each further draw replaces the unusable sources of the draw before."""


@checked
@dataclass(frozen=True)
class ContrastiveSampler(Sampler):
    """Draws pairs (source, target); ``scoring.ContrastiveTemplate`` decides which of them are kept.

    Sources are canonical SMILES, on which conditional models are trained. They become samples of the history only if
    ``base_sampler`` makes builds of its own.

    Attributes:
        base_sampler: the sampler that draws the sources. If it draws pairs, their targets are the sources.
        output_model: a function that returns the policy at the time of a draw.
        repeats: the number of consecutive targets of each source. The last source of a draw may have fewer; if the
            sources come from a file in epochs, the next draw has the others.
        standardisation: the campaign's standardisation, by which drawn strings become sources.
    """

    name: str
    base_sampler: Sampler
    output_model: Callable[[], Policy]
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    repeats: int = 1
    sampling: Sampling = UNTRUNCATED
    standardisation: Standardisation = Standardisation()
    kind: ClassVar[str] = "contrastive"

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1, got {self.repeats}")
        model = given_policy("output_model", self.output_model).model
        if model.condition_kind is not ConditionKind.SOURCES:
            raise ConditionError(
                f"the output_model of the sampler {self.name!r} is of kind {model.kind!r}, conditioned on "
                f"{model.condition_kind}; expected a model conditioned on sources, such as one of "
                "`molbuffer pretrain --model seq2seq`"
            )

    @property
    def policy_sha256(self) -> str:
        return self.output_model().sha256

    @property
    def has_epochs(self) -> bool:
        """Whether the base sampler draws epochs of a file: every source once before any is drawn again."""
        return epoch_sampler(self.base_sampler) is not None

    def draw(self, n: int, seed: int) -> Draw:
        """Draw n pairs; fewer only when the sources are exhausted, or too few of them are usable."""
        return self._pairs(n, seed, 0, self.base_sampler.draw)

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        """Draw n pairs from the next sources of a file; other sources replace the unusable ones."""
        base = epoch_sampler(self.base_sampler)
        assert base is not None
        first, drawn_of_it = divmod(position.start, self.repeats)
        in_turn = replace(position, start=first)
        return self._pairs(n, seed, drawn_of_it, lambda wanted, own: base.draw_from(in_turn, wanted, own))

    def _pairs(self, n: int, seed: int, drawn_of_first: int, draw: Callable[[int, int], Draw]) -> Draw:
        """Draw up to n pairs of the sources that ``draw`` returns, without the first ``drawn_of_first`` pairs."""
        policy = self.output_model()
        found = self._sources(-(-(drawn_of_first + n) // self.repeats) if n else 0, seed, policy.vocabulary, draw)
        pairs = max(0, min(n, len(found.smiles) * self.repeats - drawn_of_first))
        of_pair = (drawn_of_first + np.arange(pairs)) // self.repeats
        tokens, lengths = policy.vocabulary.encode_many(found.smiles)
        tokens, lengths = tokens[of_pair], lengths[of_pair]
        condition = Condition(
            sources=torch.from_numpy(tokens.astype(np.int64)), source_lengths=torch.from_numpy(lengths.astype(np.int64))
        )
        drawn = draw_rows(policy, pairs, self.sampling, torch_generator(seed, "targets"), condition)
        return replace(
            drawn,
            rows=replace(drawn.rows, source_tokens=tokens, source_lengths=lengths),
            source_smiles=[found.smiles[at] for at in of_pair.tolist()],
            source_rows=[found.stored[at] for at in of_pair.tolist()],
            sources_unusable=found.unusable,
        )

    def _sources(self, wanted: int, seed: int, vocabulary: Vocabulary, draw: Callable[[int, int], Draw]) -> _Sources:
        """Draw up to ``wanted`` molecules that the vocabulary can express; further draws replace other strings."""
        found, missing = _Sources(), wanted
        for attempt in range(SOURCE_ROUNDS):
            if not missing:
                break
            drawn = draw(missing, derive_seed(seed, "sources", attempt))
            # Replacements are not taken in the order of the file, since the next draw would repeat them.
            missing, draw = 0, self.base_sampler.draw
            for number, molecule in enumerate(standardise_many(drawn.raw, self.standardisation)):
                if molecule is not None and vocabulary.can_encode(molecule):
                    found.smiles.append(molecule)
                    found.stored.append(drawn.stored[number] if drawn.stored is not None else None)
                else:
                    missing += 1
            found.unusable += missing
        return found


@dataclass
class _Sources:
    """The sources of a draw.

    Attributes:
        smiles: the canonical SMILES that the model receives.
        stored: the identity of each source that is a stored row, else None.
        unusable: the number of drawn strings that are no molecule, or not expressible.
    """

    smiles: list[str] = field(default_factory=list)
    stored: list[RowId | None] = field(default_factory=list)
    unusable: int = 0
