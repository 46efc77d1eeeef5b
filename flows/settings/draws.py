"""What the tables of samplers have in common: what draws, how a model draws, how much, and when."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from molbuffer.flows.settings.base import Count, Section, Share, Text


class DrawKeys(Section):
    """What everything that draws molecules has, a sampler of the campaign or one inside another."""

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that it draws from, by the names they have in a configuration."""
        return ()

    @property
    def inner(self) -> DrawKeys | None:
        """What draws inside of it."""
        return None

    @property
    def in_chunks(self) -> bool:
        """Whether what it draws for a build of the buffer can be shared out among tasks."""
        return True


class SamplingKeys(DrawKeys):
    """How a model draws."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits; below 1 draws likelier molecules, above 1 more diverse ones."""

    top_k: Count | None = None
    """Draw each token from the k likeliest only; default: from all."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw each token from the smallest set of tokens with this probability, in (0, 1]; default: from all."""


class PolicyKeys(SamplingKeys):
    """Who draws."""

    policy: Text = "agent"
    """Who draws: "agent" (the policy in training), "prior", a bundled policy, a folder, or a sha256 in the store."""

    @property
    def policies(self) -> tuple[str, ...]:
        return (self.policy,)


class SizeKeys(Section):
    """How much a sampler of the campaign draws, and when."""

    name: Text
    """The sampler's name in the history and in the metrics; no two samplers share one."""

    buffer_size: Annotated[int, Field(ge=0)] = 0
    """Kept molecules that each build of the buffer adds; 0 = the sampler takes no part in builds."""

    p_batch: Share = 0.0
    """Share of each training batch drawn live, in [0, 1]; 0 = none. The shares of all samplers add up to at most 1;
    what they leave comes from the buffer."""

    build_buffer: bool = True
    """false: the sampler takes no part in builds, whatever its buffer_size."""

    sample_batch: bool = True
    """false: the sampler draws nothing live, whatever its p_batch; the buffer gives its share."""

    from_iteration: Annotated[int, Field(ge=0)] = 0
    """The first iteration in which it draws."""

    until_iteration: Count | None = None
    """The first iteration in which it draws no more; default: it never stops."""
