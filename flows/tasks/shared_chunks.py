"""Chunks that workers make at the same time, and the process of the run commits in the order of their rows."""

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
"""Chunks of each worker that are begun or made before the one whose turn it is: one that takes long keeps the others
from work only then."""


def shares_chunks(campaign: Campaign) -> bool:
    """Return whether the workers of a campaign make whole chunks.

    Where a component has a high cost they score its molecules instead, which are more than the chunks, while the
    process of the run draws. It does so, too, where a chunk needs those before it.
    """
    context = campaign.context
    if any(each.component.cost == "high" for each in context.objective.components):
        return False
    return made_in_turn(context, _samplers(campaign)) is None


class SharedChunks:
    """Has workers make chunks, and commits each when it is asked for it.

    Args:
        campaign: the campaign.
        workers: those of the run.
    """

    def __init__(self, campaign: Campaign, workers: TaskWorkers) -> None:
        self._campaign, self._workers = campaign, workers
        self._samplers = _samplers(campaign)
        self._waiting: deque[BuildRequest] = deque()
        self._begun: dict[tuple[int, int, int], Part] = {}

    def expect(self, requests: Sequence[BuildRequest]) -> None:
        """Begin with some chunks, which it will be asked for in this order."""
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
        """Ask for nothing more; what was made and is not committed is left to a vacuum."""
        self._begun.clear()
        self._waiting.clear()

    def _begin(self) -> None:
        while self._waiting and len(self._begun) < AHEAD * self._workers.number:
            request = self._waiting.popleft()
            if not needs_chunk_before(self._samplers[request.sampler], request.chunk):
                self._begun[request.place] = self._workers.make(request)


def _samplers(campaign: Campaign) -> list[Sampler]:
    return campaign.samplers(lambda: campaign.start, lambda: 0)
