"""Making the chunks of a build of the buffer, in a Prefect task or without one, here or by the workers of the run."""

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
"""Makes and commits one chunk, unless an earlier attempt has."""
Maker = Callable[[Campaign], MakeChunk]
"""Returns what makes the chunks of a campaign."""


@runtime_checkable
class MakesAhead(Protocol):
    """What makes chunks, and begins with those to come before it is asked for them."""

    def expect(self, requests: Sequence[BuildRequest]) -> None:
        """Begin with some chunks, which it will be asked for in this order."""

    def forget(self) -> None:
        """Take note that it will be asked for nothing more."""


def build_chunk(campaign: Campaign, request: BuildRequest, attempt: Attempt = Attempt()) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has; return the receipt."""
    return commit_chunk(campaign.context, *chunk_of(campaign, request, attempt))


def made_here(campaign: Campaign) -> MakeChunk:
    """Return what makes chunks without tasks: by the workers of the campaign, or in this process.

    A chunk is tried again as often as that of a task, and for the same errors.
    """

    def make(request: BuildRequest) -> BuildReceipt:
        def attempt(number: int) -> BuildReceipt:
            return build_chunk(campaign, request, attempt_of_run(request.run_id, number))

        return tried_again(attempt, request.title)

    return shared_chunks(campaign) or make


def shared_chunks(campaign: Campaign) -> SharedChunks | None:
    """Return what has the workers of a campaign make its chunks; None where it has none, or they score instead."""
    workers = campaign.workers
    if not isinstance(workers, TaskWorkers) or not shares_chunks(campaign):
        return None
    return SharedChunks(campaign, workers)


def make_chunks(requests: Sequence[BuildRequest], make: MakeChunk, failures: ScoreFailures) -> list[BuildReceipt]:
    """Make chunks, and commit them one after another, so that ``new`` counts each molecule where it occurs first, and
    the budget of oracle calls is kept to the molecule.

    Raises:
        FailedScoresError: so many scores failed that those to come make no difference.
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
    """Return a builder of the buffer of a training, with the present policy."""

    def chunks(iteration: int, agent: str, latents: Mapping[str, str], asked: Sequence[str]) -> list[BuildReceipt]:
        requests = build_requests(
            campaign=campaign, iteration=iteration, agent=agent, drawn=training.drawn, latents=latents, asked=asked
        )
        return make_chunks(requests, make, failures)

    return BufferBuilder(training, failures, chunks)


def local_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, in this process and without Prefect."""
    return chunk_builder(campaign, training, failures, made_here(campaign))
