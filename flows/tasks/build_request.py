"""The chunks of a build of the buffer, as references that any process can follow.

These classes are here, and not beside the task, because Prefect loads a flow's file under a name of its own, and an
object of a class from there could not be sent to another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from molbuffer.flows.campaign import Campaign
from molbuffer.lab import chunk_rows
from molbuffer.samplers import DrawCounts


@dataclass(frozen=True)
class BuildRequest:
    """One chunk of one sampler's build.

    Attributes:
        store: the folder of the store.
        run_id: the run that the build belongs to.
        iteration: the iteration of the build.
        sampler: the position of the sampler in the configuration, from 0.
        chunk: the number of the chunk, from 0.
        wanted: the number of kept rows.
        agent: the sha256 of the policy in training, in the store.
        drawn_before: the number of rows that the sampler drew in the run before the first chunk of this build.
        latents: the sha256 of the latents of samplers, in the store, by the samplers' names.
        device: the name of the device to draw on.
        asked: the molecules that live draws of the iteration have asked the objective for before the build, which are
            not committed yet; none where the run has no budget of oracle calls.
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
        """What the chunk is called in messages.

        Examples:
            >>> BuildRequest("lab", "3f2a", iteration=4, sampler=0, chunk=1, wanted=64, agent="0a1b").title
            'chunk 1 of sampler 0 in iteration 4'
        """
        return f"chunk {self.chunk} of sampler {self.sampler} in iteration {self.iteration}"


@dataclass(frozen=True)
class ScoreRequest:
    """Molecules to score by the components of one call, whose scores are stored as they come.

    Attributes:
        store: the folder of the store.
        run_id: the run that asks.
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
        """What the request is called in messages.

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
    """Return the chunks of a build of the buffer, in row order.

    Args:
        campaign: the campaign.
        iteration: the iteration of the build.
        agent: the sha256 of the policy in training.
        drawn: the number of rows that each sampler has drawn in the run; None is none.
        latents: the sha256 of the latents of samplers, by the samplers' names.
        asked: the molecules that live draws of the iteration have asked the objective for.
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
