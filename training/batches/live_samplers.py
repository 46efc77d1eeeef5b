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
        pipeline: what turns drawn strings into scored samples.
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
            The build, and the stored rows that it refers to; None for a build with samples of its own.
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
    """A live build, its trainable rows, and the rows that come on top of the ``wanted`` ones.

    Attributes:
        number: the place of the sampler.
        build: the build.
        kept: the rows that count: of a build of its own, or those that it recalls.
        wanted: the number of rows that the sampler owed.
        invalid: the rows that are no molecule, which come on top; None without.
    """

    number: int
    build: Build
    kept: NumberedRows | Recall
    wanted: int
    invalid: NumberedRows | None = None

    @property
    def counted(self) -> int:
        """The number of rows that count."""
        return len(self.kept)

    @property
    def made(self) -> int:
        """The number of rows that the sampler kept, or recalled, whether or not their scores failed."""
        return len(self.build.references) or int(sum(self.build.samples.kept))

    @property
    def blocks(self) -> list[Block]:
        """The rows for the batch."""
        name, build = self.build.sampler, self.build
        if isinstance(self.kept, Recall):
            blocks = [Block(name, self.kept.drawn.rows, partial(list, self.kept.smiles))]
        else:
            parts = (self.kept, *([] if self.invalid is None else [self.invalid]))
            blocks = [Block(name, part.rows, partial(part.smiles, build)) for part in parts]
        return [block for block in blocks if len(block)]

    @cached_property
    def new_rows(self) -> LiveRows | None:
        """The rows that the buffer does not have yet; None for rows that are stored already."""
        if isinstance(self.kept, Recall):
            return None
        return LiveRows.of(self.build, [self.kept, *([] if self.invalid is None else [self.invalid])])


def in_order(draws: Sequence[LiveDraw]) -> list[LiveDraw]:
    """Return the draws of an iteration in the history's order."""
    return sorted(draws, key=lambda draw: (draw.number, draw.build.chunk))
