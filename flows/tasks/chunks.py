"""Making the chunks of a build of the buffer, in a Prefect task or without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.lab import BufferBuilder, Chunk, ScoreFailures, Training, commit_chunk
from molbuffer.samplers import load_policy
from molbuffer.storage import BuildReceipt

MakeChunk = Callable[[BuildRequest], BuildReceipt]
"""Makes and commits one chunk, unless an earlier attempt has."""
Maker = Callable[[Campaign], MakeChunk]
"""Returns what makes the chunks of a campaign."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at a chunk; without Prefect it has no ids.

    Attributes:
        flow_run_id: the flow run.
        task_run_id: the task run.
        attempt_id: the attempt of that task run.
    """

    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""


def build_chunk(campaign: Campaign, request: BuildRequest, attempt: Attempt = Attempt()) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has; return the receipt."""
    agent = load_policy(campaign.store.policies.folder(request.agent), campaign.prior.model.device)
    # All that the run drew in earlier iterations is committed when its buffer is built.
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
    return commit_chunk(campaign.context, sampler, chunk)


def made_here(campaign: Campaign) -> MakeChunk:
    """Return what makes chunks in this process, without a task."""
    return lambda request: build_chunk(campaign, request)


def make_chunks(requests: Sequence[BuildRequest], make: MakeChunk, failures: ScoreFailures) -> list[BuildReceipt]:
    """Make chunks one after another, so that ``new`` counts each molecule where it occurs first, and the budget of
    oracle calls is kept to the molecule.

    Raises:
        FailedScoresError: so many scores failed that those to come make no difference.
    """
    receipts, to_come = [], sum(request.wanted for request in requests)
    for request in requests:
        receipts.append(make(request))
        to_come -= request.wanted
        failures.look(to_come)
    return receipts


def chunk_builder(campaign: Campaign, training: Training, failures: ScoreFailures, make: MakeChunk) -> BufferBuilder:
    """Return a builder of the buffer of a training, with the present policy."""

    def chunks(iteration: int, agent: str, latents: Mapping[str, str], asked: Sequence[str]) -> list[BuildReceipt]:
        requests = build_requests(campaign, iteration, agent, training.drawn, latents, asked)
        return make_chunks(requests, make, failures)

    return BufferBuilder(training, failures, chunks)


def local_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, in this process and without Prefect."""
    return chunk_builder(campaign, training, failures, made_here(campaign))
