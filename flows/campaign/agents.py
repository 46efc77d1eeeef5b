"""The agents of a campaign: runs of one configuration on one store, each with a policy and a seed of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from molbuffer.samplers import derive_seed


@dataclass(frozen=True)
class AgentPlace:
    """The place of a run in a group of agents.

    Attributes:
        first: the run of the first agent, which the others name as their parent.
        number: the number of this agent; 0 is the first one.
    """

    first: str
    number: int = 0

    @property
    def run_id(self) -> str:
        """The run of this agent."""
        return agent_run_id(self.first, self.number)

    @property
    def parent_run_id(self) -> str | None:
        """The run that this one names as its parent; None for the first agent."""
        return self.first if self.number else None

    def seed(self, of_campaign: int) -> int:
        """Return the seed of this agent: the campaign's for the first agent, one derived from it for the others."""
        return derive_seed(of_campaign, "agent", self.number) if self.number else of_campaign


def agent_run_id(first: str, number: int) -> str:
    """Return the run_id of an agent, which stays the same when the group is resumed."""
    if number == 0:
        return first
    return hashlib.sha256(f"{first}\x1fagent\x1f{number}".encode()).hexdigest()[:32]
