"""Which chunks a build of the buffer consists of, as references that any process can follow.

These classes are here, and not beside the task, because Prefect loads a flow's file under a name of its own, and an
object of a class from there could not be sent to another process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from molbuffer.flows.campaign.campaign import Campaign
from molbuffer.flows.campaign.samplers import sampler_size
from molbuffer.samplers.builds.drawn_counts import DrawnRows

CHUNK_ROWS = 2048
"""Kept rows of a task: about a second of work or more, and little to lose when a worker is killed."""


@dataclass(frozen=True)
class BuildRequest:
    """Which chunk of which sampler's build is made.

    Attributes:
        store: the folder of the store. sampler: its place in the configuration, from 0.
        wanted: kept rows. agent: sha256 of the policy in training, in the store.
        drawn_before: rows that the sampler drew in the run before the first chunk of this build.
        latents: sha256 of what samplers of latent vectors draw from, in the store, by their names.
    """

    store: str
    run_id: str
    iteration: int
    sampler: int
    chunk: int
    wanted: int
    agent: str
    drawn_before: int = 0
    latents: Mapping[str, str] = field(default_factory=dict)


def build_requests(
    campaign: Campaign,
    iteration: int,
    agent: str,
    drawn: DrawnRows | None = None,
    latents: Mapping[str, str] | None = None,
) -> list[BuildRequest]:
    """The chunks of a build of the buffer, in row order; ``drawn`` tells how far the run has come before it."""
    requests = []
    store, run_id, versions = str(campaign.store.path), campaign.run_id, latents or {}
    for number, sampler in enumerate(campaign.settings.samplers):
        rows = sampler_size(sampler).buffer_size_at(iteration)
        chunk_rows = CHUNK_ROWS if sampler.in_chunks else max(rows, 1)
        chunks = math.ceil(rows / chunk_rows)
        for chunk in range(chunks):
            wanted = min(chunk_rows, rows - chunk * chunk_rows)
            before = drawn.of(sampler.name) if drawn is not None else 0
            requests.append(
                BuildRequest(
                    store=store,
                    run_id=run_id,
                    iteration=iteration,
                    sampler=number,
                    chunk=chunk,
                    wanted=wanted,
                    agent=agent,
                    drawn_before=before,
                    latents=versions,
                )
            )
    return requests
