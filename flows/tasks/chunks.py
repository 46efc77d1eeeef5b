"""Make the chunks of a build of the buffer, in Prefect tasks or without, in this process or by the run's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.tasks.attempts import Attempt, attempt_of_run
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.flows.tasks.requested_chunk import chunk_of
from molbuffer.flows.tasks.retries import tried_again
from molbuffer.flows.tasks.shared_chunks import SharedChunks, shares_chunks
from molbuffer.flows.tasks.workers import TaskWorkers
from molbuffer.lab import BufferBuilder, ScoreFailures, Training, commit_chunk
from molbuffer.storage import BuildReceipt

MakeChunk = Callable[[BuildRequest], BuildReceipt]
"""A function that makes and commits one chunk, unless an earlier attempt has done so."""
Maker = Callable[[Campaign], MakeChunk]
"""A function that returns the function that makes the chunks of a campaign."""


@runtime_checkable
class MakesAhead(Protocol):
    """A maker of chunks that begins with the next chunks before they are requested."""

    def expect(self, requests: Sequence[BuildRequest]) -> None:
        """Begin with chunks, which will be requested in this order."""

    def forget(self) -> None:
        """Drop all chunks that were begun: none of them will be requested."""


def build_chunk(campaign: Campaign, request: BuildRequest, attempt: Attempt = Attempt()) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has done so, and return the receipt."""
    return commit_chunk(campaign.context, *chunk_of(campaign, request, attempt))


def made_here(campaign: Campaign) -> MakeChunk:
    """Return a function that makes chunks without tasks, by the workers of the campaign or in this process.

    A chunk is tried again as often as in a task, and after the same errors.
    """

    def make(request: BuildRequest) -> BuildReceipt:
        def attempt(number: int) -> BuildReceipt:
            return build_chunk(campaign, request, attempt_of_run(request.run_id, number))

        return tried_again(attempt, request.title)

    return shared_chunks(campaign) or make


def shared_chunks(campaign: Campaign) -> SharedChunks | None:
    """Return a maker of chunks by the workers of a campaign; None if it has no workers, or if they only score."""
    workers = campaign.workers
    if not isinstance(workers, TaskWorkers) or not shares_chunks(campaign):
        return None
    return SharedChunks(campaign, workers)


def make_chunks(requests: Sequence[BuildRequest], make: MakeChunk, failures: ScoreFailures) -> list[BuildReceipt]:
    """Make chunks, and commit them one after another.

    The order makes ``new`` count each molecule at its first occurrence, and keeps the budget of oracle calls exactly.

    Raises:
        FailedScoresError: so many scores failed that the share of failures exceeds the limit whatever the rest gives.
    """
    receipts, to_come = [], sum(request.wanted for request in requests)
    with _begun(make, requests):
        for request in requests:
            receipts.append(make(request))
            to_come -= request.wanted
            failures.look(to_come)
    return receipts


@contextmanager
def _begun(make: MakeChunk, requests: Sequence[BuildRequest]) -> Iterator[None]:
    made: object = make
    if not isinstance(made, MakesAhead):
        yield
        return
    made.expect(requests)
    try:
        yield
    finally:
        made.forget()


def chunk_builder(campaign: Campaign, training: Training, failures: ScoreFailures, make: MakeChunk) -> BufferBuilder:
    """Return a builder of the buffer of a training, which makes chunks by ``make`` with the present policy."""

    def chunks(iteration: int, agent: str, latents: Mapping[str, str], asked: Sequence[str]) -> list[BuildReceipt]:
        requests = build_requests(
            campaign=campaign, iteration=iteration, agent=agent, drawn=training.drawn, latents=latents, asked=asked
        )
        return make_chunks(requests, make, failures)

    return BufferBuilder(training, failures, chunks)


def local_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, in this process and without Prefect."""
    return chunk_builder(campaign, training, failures, made_here(campaign))
