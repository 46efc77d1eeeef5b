"""Build the samplers that settings describe."""

from __future__ import annotations

from molbuffer.flows.settings import SamplerSettings
from molbuffer.samplers import RunParts, Sampler


def build_sampler(settings: SamplerSettings, parts: RunParts) -> Sampler:
    """Return the sampler that a table describes."""
    return settings.table.sampler(settings.name, settings.size, parts)
