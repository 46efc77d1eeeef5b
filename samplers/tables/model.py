"""The table of model samplers, and the keys of all samplers that draw from a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt, Le

from molbuffer.kinds import Count, Outermost, PolicyName, Text, Typed, checked
from molbuffer.samplers.tables.base import RunParts, SamplerTable, TokenSource
from molbuffer.storage import truncates

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize
    from molbuffer.samplers.models import Sampling

Policy = Annotated[str, Typed(Text), PolicyName()]


@dataclass(frozen=True, kw_only=True)
class SamplingKeys(SamplerTable):
    """The sampling of a model.

    Attributes:
        temperature: the divisor of the logits; below 1 draws likelier molecules, above 1 more diverse ones.
        top_k: draw each token from the k likeliest tokens only; default: from all.
        top_p: draw each token from the smallest set of tokens with this probability, in (0, 1]; default: from all.
    """

    temperature: Annotated[float, Gt(0)] = 1.0
    top_k: Annotated[int | None, Typed(Count | None)] = None
    top_p: Annotated[float | None, Typed(Annotated[float, Gt(0), Le(1)] | None)] = None

    @property
    def sampling(self) -> Sampling:
        """The changes to the token distribution."""
        from molbuffer.samplers.models import Sampling

        return Sampling(self.temperature, self.top_k or 0, self.top_p or 1.0)

    def source_of(self, policy: str) -> TokenSource:
        """Return the distribution of tokens that a policy draws with these settings."""
        return TokenSource(policy, self.temperature, truncates(self.top_k, self.top_p))


@dataclass(frozen=True, kw_only=True)
class PolicyKeys(SamplingKeys):
    """The policy of a sampler.

    Attributes:
        policy: "agent" (the policy in training), "best" (the agent of the run whose draws had the highest mean reward),
            "prior", a bundled policy, a folder, or a sha256 in the store.
    """

    policy: Policy = "agent"

    @property
    def token_source(self) -> TokenSource:
        return self.source_of(self.policy)


@checked
@dataclass(frozen=True, kw_only=True)
class ModelSamplerTable(PolicyKeys):
    """Molecules of a generative model.

    Attributes:
        unique: true: keep each molecule once in a build of the buffer, and once in the draws for a batch; "run": keep
            no molecule that the run has drawn before, so that each reward is a new one. Repetitions are stored as
            rejected by `duplicate`, without a score, and replaced by further draws.
    """

    unique: Annotated[bool | Literal["run"], Outermost()] = False

    @property
    def in_chunks(self) -> bool:
        """Whether chunks are allowed; not with ``unique``, since a chunk does not know the molecules of the others."""
        return not self.unique

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.model import ModelSampler

        policy = parts.policy(self.policy)
        return ModelSampler(name, policy, size=size, sampling=self.sampling, unique=self.unique)
