"""The sampler and the chunk of a request, made in the process that draws the chunk."""

from __future__ import annotations

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.tasks.attempts import Attempt
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.lab import Chunk
from molbuffer.samplers import Sampler, load_policy


def chunk_of(campaign: Campaign, request: BuildRequest, attempt: Attempt = Attempt()) -> tuple[Sampler, Chunk]:
    """Return the sampler of a request, with the requested policy and latents, and the chunk to draw from it."""
    agent = load_policy(campaign.store.policies.folder(request.agent), campaign.prior.model.device)
    # When the buffer is built, all rows of earlier iterations are committed.
    sampler = campaign.samplers(lambda: agent, lambda: request.iteration, request.latents)[request.sampler]
    chunk = Chunk(
        request.iteration,
        request.sampler,
        request.chunk,
        request.wanted,
        drawn_before=request.drawn_before,
        flow_run_id=attempt.flow_run_id,
        task_run_id=attempt.task_run_id,
        attempt_id=attempt.attempt_id,
        asked=request.asked,
    )
    return sampler, chunk
