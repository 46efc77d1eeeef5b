"""The ``[[samplers]]`` tables: the samplers, and their shares of the buffer and of each batch."""

from __future__ import annotations

from typing import Annotated, Self

from annotated_types import Ge
from pydantic import model_validator

from molbuffer import samplers
from molbuffer.kinds import Count, KindTable, Share, Text, refuse
from molbuffer.samplers import SamplerTable


class SamplerSettings(KindTable):
    """The sizes and the schedule of a sampler of the campaign."""

    name: Text
    """The sampler's name in the history and in the metrics; unique in the campaign."""

    buffer_size: Annotated[int, Ge(0)] = 0
    """The number of kept molecules that each build of the buffer adds; 0: the sampler takes no part in builds."""

    p_batch: Share = 0.0
    """The share of each training batch that is drawn live, in [0, 1]. The shares of all samplers add up to at most
    1; the rest of the batch comes from the buffer."""

    build_buffer: bool = True
    """false: the sampler takes no part in builds, whatever its buffer_size."""

    sample_batch: bool = True
    """false: the sampler draws nothing live, whatever its p_batch; its share comes from the buffer."""

    from_iteration: Annotated[int, Ge(0)] = 0
    """The first iteration in which it draws."""

    until_iteration: Count | None = None
    """The first iteration in which it no longer draws; default: it never stops."""

    @model_validator(mode="after")
    def _has_rows_for_the_buffer(self) -> Self:
        if self.buffer_size and not self.table.new_rows:
            message = (
                f"got {self.buffer_size}, but a sampler of kind {self.kind} gives stored rows, which the buffer has "
                "already; leave the key out, and set in buffer.selection how often rows come (consume_once has epochs)"
            )
            refuse(type(self).__name__, [(("buffer_size",), message)])
        return self

    @property
    def table(self) -> SamplerTable:
        """The table with the keys of the sampler's kind, from which a run makes the sampler."""
        made: SamplerTable = self.build()
        return made

    @property
    def draws_live(self) -> bool:
        """Whether the sampler draws a share of some batches live."""
        return self.sample_batch and self.p_batch > 0

    @property
    def fills_buffer(self) -> bool:
        """Whether the sampler adds rows to builds of the buffer."""
        return self.build_buffer and self.buffer_size > 0

    @property
    def size(self) -> samplers.SamplerSize:
        """The numbers of rows that the sampler draws, and the iterations in which it draws."""
        return samplers.SamplerSize(
            self.buffer_size if self.build_buffer else 0,
            self.p_batch if self.sample_batch else 0.0,
            self.from_iteration,
            self.until_iteration,
        )
