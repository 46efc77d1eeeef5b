"""Which build to make: its place in a run, and the rows that it owes."""

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
        sampler_order: the position of its sampler in the campaign.
        wanted: the kept rows to make.
        campaign_seed: the campaign's seed, from which the build's is derived.
        chunk: the number of the chunk, where several builds share the rows of a sampler.
        flow_run_id: the Prefect flow run that makes the build.
        task_run_id: the Prefect task run that makes the build.
        attempt_id: identifies the attempt of that task run.
        drawn_before: the rows that the sampler drew in the run before, where a sampler with epochs continues.
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
