"""The samplers of a campaign as sources of live rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from molbuffer.samplers import BuildSpec, DrawCounts, Pipeline, Recall, Sampler, draw_build
from molbuffer.storage import Build, Event
from molbuffer.training.batches.batch import Block, NumberedRows
from molbuffer.training.batches.candidates import LiveRows


@dataclass(frozen=True)
class LiveSamplers:
    """The samplers of a campaign, in configuration order, as sources of live rows.

    Attributes:
        samplers: the samplers.
        pipeline: the steps that make scored samples of drawn strings.
        run_id: the run in training.
        campaign_seed: the seed that all draws follow from.
        made: called with each build as soon as it exists, so that later builds of the run know its molecules.
        drawn: the number of rows that each sampler has drawn in the run, builds of the buffer included.
    """

    samplers: Sequence[Sampler]
    pipeline: Pipeline
    run_id: str
    campaign_seed: int
    made: Callable[[Build], None] = lambda _: None
    drawn: DrawCounts = field(default_factory=DrawCounts)

    def draw(self, number: int, iteration: int, wanted: int, chunk: int = 0) -> tuple[Build, Recall | None]:
        """Draw ``wanted`` kept rows from one sampler for the batch of an iteration.

        Returns:
            The build, and the stored rows that it refers to; None instead of these if the build has samples of its own.
        """
        sampler = self.samplers[number]
        if self.pipeline.calls is not None:
            self.pipeline.calls.begin(iteration)
        spec = BuildSpec(
            run_id=self.run_id,
            iteration=iteration,
            event=Event.SAMPLE_BATCH,
            sampler_order=number,
            wanted=wanted,
            campaign_seed=self.campaign_seed,
            chunk=chunk,
            attempt_id=self.run_id,
            drawn_before=self.drawn.of(sampler.name),
        )
        build, recalled = draw_build(sampler, spec, self.pipeline)
        self.drawn.add(sampler.name, len(build.samples))
        self.made(build)
        return build, recalled


@dataclass(frozen=True)
class LiveDraw:
    """A live build and its rows for the batch.

    Attributes:
        number: the place of the sampler in the configuration.
        build: the build.
        kept: the rows that count towards the quota: rows of the build, or stored rows that it refers to.
        wanted: the number of rows that the sampler was asked for.
        invalid: the rows that are not molecules, which are added beyond the quota; None if they are not trained on.
    """

    number: int
    build: Build
    kept: NumberedRows | Recall
    wanted: int
    invalid: NumberedRows | None = None

    @property
    def counted(self) -> int:
        """The number of rows that count towards the quota."""
        return len(self.kept)

    @property
    def made(self) -> int:
        """The number of rows that the sampler kept or recalled, failed scores included."""
        return len(self.build.references) or int(sum(self.build.samples.kept))

    @property
    def blocks(self) -> list[Block]:
        """The rows as blocks of a batch, without empty ones."""
        name, build = self.build.sampler, self.build
        if isinstance(self.kept, Recall):
            blocks = [Block(name, self.kept.drawn.rows, partial(list, self.kept.smiles))]
        else:
            parts = (self.kept, *([] if self.invalid is None else [self.invalid]))
            blocks = [Block(name, part.rows, partial(part.smiles, build)) for part in parts]
        return [block for block in blocks if len(block)]

    @cached_property
    def new_rows(self) -> LiveRows | None:
        """The rows to be added to the buffer; None if the build refers to rows that are stored already."""
        if isinstance(self.kept, Recall):
            return None
        return LiveRows.of(self.build, [self.kept, *([] if self.invalid is None else [self.invalid])])


def in_order(draws: Sequence[LiveDraw]) -> list[LiveDraw]:
    """Return the draws of an iteration in the order of the history: by sampler, then by chunk."""
    return sorted(draws, key=lambda draw: (draw.number, draw.build.chunk))
