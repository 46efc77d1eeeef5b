"""Requests for parts of a build, as references to the store that any process can resolve.

These classes are not in the file of the task, because Prefect loads a flow's file as a module with another name, and
objects of its classes could not be sent to another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from molbuffer.flows.campaign import Campaign
from molbuffer.lab import chunk_rows
from molbuffer.samplers import DrawCounts


@dataclass(frozen=True)
class BuildRequest:
    """A request for one chunk of one sampler's build.

    Attributes:
        store: the folder of the store.
        run_id: the run that the build belongs to.
        iteration: the iteration of the build.
        sampler: the position of the sampler in the configuration, from 0.
        chunk: the number of the chunk, from 0.
        wanted: the number of rows to keep.
        agent: the sha256 of the policy in training, in the store.
        drawn_before: the number of rows that the sampler drew in the run before the first chunk of this build.
        latents: the sha256 of the latents of samplers, in the store, by the samplers' names.
        device: the name of the device to draw on.
        asked: the molecules of live draws of the iteration that are oracle calls already and not committed yet; empty
            if the run has no budget of oracle calls.
        stage: the number of the stage of the run; None without stages.
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
    device: str = "cpu"
    asked: tuple[str, ...] = ()
    stage: int | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """The place of the chunk in the row order of the run."""
        return self.iteration, self.sampler, self.chunk

    @property
    def title(self) -> str:
        """The name of the chunk in messages.

        Examples:
            >>> BuildRequest("lab", "3f2a", iteration=4, sampler=0, chunk=1, wanted=64, agent="0a1b").title
            'chunk 1 of sampler 0 in iteration 4'
        """
        return f"chunk {self.chunk} of sampler {self.sampler} in iteration {self.iteration}"


@dataclass(frozen=True)
class ScoreRequest:
    """A request to score molecules by the components of one call, and to store each score at once.

    Attributes:
        store: the folder of the store.
        run_id: the run that the scores belong to.
        components: the names of the components.
        molecules: canonical SMILES.
        stage: the number of the stage of the run; None without stages.
    """

    store: str
    run_id: str
    components: tuple[str, ...]
    molecules: tuple[str, ...]
    stage: int | None = None

    @property
    def title(self) -> str:
        """The name of the request in messages.

        Examples:
            >>> ScoreRequest("lab", "3f2a", ("docking",), ("CCO", "CCN")).title
            'scoring 2 molecules by docking'
        """
        return f"scoring {len(self.molecules)} molecules by {', '.join(self.components)}"


def build_requests(
    campaign: Campaign,
    iteration: int,
    agent: str,
    drawn: DrawCounts | None = None,
    latents: Mapping[str, str] | None = None,
    asked: Sequence[str] = (),
) -> list[BuildRequest]:
    """Return the requests for the chunks of a build of the buffer, in row order.

    Args:
        campaign: the campaign.
        iteration: the iteration of the build.
        agent: the sha256 of the policy in training.
        drawn: the number of rows that each sampler has drawn in the run; None is none.
        latents: the sha256 of the latents of samplers, by the samplers' names.
        asked: the molecules of live draws of the iteration that are oracle calls already.
    """
    requests = []
    known = tuple(asked) if campaign.settings.campaign.max_oracle_calls is not None else ()
    store, run_id, versions = str(campaign.store.path), campaign.run_id, latents or {}
    most = campaign.settings.buffer.chunk_rows
    for number, sampler in enumerate(campaign.settings.samplers):
        rows = sampler.size.buffer_size_at(iteration)
        for chunk, wanted in enumerate(chunk_rows(rows, in_chunks=sampler.table.in_chunks, most=most)):
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
                    device=campaign.device,
                    asked=known,
                    stage=campaign.stage,
                )
            )
    return requests
