"""The tables of samplers that change the molecules of another sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from molbuffer.kinds import Count, checked
from molbuffer.samplers.tables.base import RunParts, TokenSource
from molbuffer.samplers.tables.family import OuterTable
from molbuffer.samplers.tables.model import Policy, SamplingKeys

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize


@checked
@dataclass(frozen=True, kw_only=True)
class ContrastiveSamplerTable(SamplingKeys, OuterTable):
    """Pairs: sources from any other sampler, and targets for each of them from a conditional model.

    Attributes:
        output_model: the conditional policy that draws the targets, named like the policy of a model sampler.
        repeats: the number of targets of each source.
    """

    output_model: Policy = "agent"
    repeats: Count = 1

    @property
    def token_source(self) -> TokenSource:
        return self.source_of(self.output_model)

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.contrastive import ContrastiveSampler

        return ContrastiveSampler(
            name,
            self.base(name, parts),
            parts.policy(self.output_model),
            size=size,
            repeats=self.repeats,
            sampling=self.sampling,
            standardisation=parts.standardisation,
        )


@checked
@dataclass(frozen=True, kw_only=True)
class MutationSamplerTable(OuterTable):
    """Molecules of another sampler with tokens replaced, inserted, deleted and swapped.

    Attributes:
        mutations: the number of changes of each parent.
        valid_only: repeat the changes of a parent until the result is a molecule other than the parent.
    """

    mutations: Count = 1
    valid_only: bool = True

    @property
    def token_source(self) -> TokenSource:
        return TokenSource()

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.mutation import MutationSampler

        base, vocabulary = self.base(name, parts), parts.prior.vocabulary
        return MutationSampler(name, base, vocabulary, size=size, mutations=self.mutations, valid_only=self.valid_only)
