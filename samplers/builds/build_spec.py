"""The specification of a build: its place in a run, and its number of rows."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from molbuffer.samplers.builds.screening import BuildPlace
from molbuffer.storage import Event


@dataclass(frozen=True)
class BuildSpec:
    """The build to make: its identity, its place in the row order of the run, and the origin of its seed.

    Attributes:
        run_id: the run.
        iteration: the iteration of the run.
        event: the event that the build belongs to.
        sampler_order: the position of the sampler in the campaign.
        wanted: the number of rows to keep.
        campaign_seed: the campaign's seed, from which the seed of the build is derived.
        chunk: the number of the chunk, if several chunks divide the rows of a sampler.
        flow_run_id: the Prefect flow run that makes the build.
        task_run_id: the Prefect task run that makes the build.
        attempt_id: the id of the attempt of the task run.
        drawn_before: the number of rows that the sampler drew in the run before, from which a sampler with epochs
            continues.
    """

    run_id: str
    iteration: int
    event: Event
    _: KW_ONLY
    sampler_order: int
    wanted: int
    campaign_seed: int
    chunk: int = 0
    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""
    drawn_before: int = 0

    @property
    def place(self) -> BuildPlace:
        """The place of the build in the row order of the run."""
        return BuildPlace(self.iteration, self.event.value, self.sampler_order, self.chunk)
