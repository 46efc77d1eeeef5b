"""Chunks that workers make at the same time, and that the process of the run commits in row order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.flows.tasks.workers import Part, TaskWorkers
from molbuffer.lab import commit_staged, made_in_turn, needs_chunk_before
from molbuffer.samplers import Sampler
from molbuffer.storage import BuildReceipt

AHEAD = 2
"""The number of chunks for each worker that may be begun or made ahead of the next commit. With several, a slow chunk
does not stop the other workers at once."""


def shares_chunks(campaign: Campaign) -> bool:
    """Return whether the workers of a campaign make whole chunks.

    If a component has a high cost, workers score molecules instead, since there are more molecules than chunks, and the
    process of the run draws. The process of the run also draws if a chunk needs the chunks before it.
    """
    context = campaign.context
    if any(each.component.cost == "high" for each in context.objective.components):
        return False
    return made_in_turn(context, _samplers(campaign)) is None


class SharedChunks:
    """A maker of chunks that lets workers make them, and commits each when it is requested.

    Args:
        campaign: the campaign.
        workers: the workers of the run.
    """

    def __init__(self, campaign: Campaign, workers: TaskWorkers) -> None:
        self._campaign, self._workers = campaign, workers
        self._samplers = _samplers(campaign)
        self._waiting: deque[BuildRequest] = deque()
        self._begun: dict[tuple[int, int, int], Part] = {}

    def expect(self, requests: Sequence[BuildRequest]) -> None:
        """Begin with chunks, which will be requested in this order."""
        self._waiting = deque(requests)
        self._begin()

    def __call__(self, request: BuildRequest) -> BuildReceipt:
        """Return the receipt of a chunk once it is made and committed."""
        if request.place not in self._begun:
            self._begun[request.place] = self._workers.make(request)
        made = self._begun[request.place].result()
        receipt = (
            BuildReceipt.from_json(made["committed"])
            if "committed" in made
            else commit_staged(self._campaign.context, made["staged"])
        )
        del self._begun[request.place]
        self._begin()
        return receipt

    def forget(self) -> None:
        """Drop all chunks that were begun; a vacuum removes the files of uncommitted ones."""
        self._begun.clear()
        self._waiting.clear()

    def _begin(self) -> None:
        while self._waiting and len(self._begun) < AHEAD * self._workers.number:
            request = self._waiting.popleft()
            if not needs_chunk_before(self._samplers[request.sampler], request.chunk):
                self._begun[request.place] = self._workers.make(request)


def _samplers(campaign: Campaign) -> list[Sampler]:
    return campaign.samplers(lambda: campaign.start, lambda: 0)
