"""What an iteration takes from the buffer: it is built where that is due or it cannot give enough, and rows in flight
are waited for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol

import numpy as np

from molbuffer.storage import BuildReceipt
from molbuffer.training.batches.buffer import Buffer, BufferRows
from molbuffer.training.batches.in_flight import RowsInFlight
from molbuffer.training.batches.live_samplers import LiveSamplers
from molbuffer.training.errors import BatchShortError

FAILED_SCORES = (
    "; molecules whose score failed do not count: SELECT component, error FROM scores WHERE status = 'failed'"
)


class BuildBuffer(Protocol):
    """A function that makes the builds of the buffer; it commits all that the run drew before."""

    def __call__(self, iteration: int) -> Sequence[BuildReceipt]: ...


@dataclass
class Supply:
    """The rows of the buffer for one iteration.

    Attributes:
        buffer: the stored rows.
        iteration: the iteration.
        build_buffer: the function that builds the buffer; None never builds.
        live: the live samplers, which learn what a build has drawn; None without any.
        in_flight: the rows of builds whose rewards are to come; None where builds wait for them.
        built: receipts of the builds of the iteration.
        seconds_waiting: the time that selecting and reading stored rows took, and waiting for others.
    """

    buffer: Buffer
    iteration: int
    _: KW_ONLY
    build_buffer: BuildBuffer | None
    live: LiveSamplers | None
    in_flight: RowsInFlight | None
    built: Sequence[BuildReceipt] = field(default=(), init=False)
    seconds_waiting: float = field(default=0.0, init=False)

    @property
    def spent(self) -> bool:
        """Whether the budget of oracle calls is used up: the batch is then what there is."""
        calls = None if self.live is None else self.live.pipeline.calls
        return calls is not None and calls.used_up

    def ensure(self, rows: int, *, due: bool) -> None:
        """Build the buffer when that is due, or when it cannot give ``rows``, those in flight included; at most once.
        Wait for those in flight as far as they are needed (R14).

        Raises:
            BatchShortError: the buffer has fewer rows even so.
        """
        if self.build_buffer is None:
            return
        if not due and self._will_suffice(rows):
            self._wait(rows)
            if self.buffer.available >= rows:
                return
        before = self.buffer.available
        self._build(self.build_buffer)
        self._wait(rows)
        if self.buffer.available < rows and not self.spent:
            made = sum(receipt.kept for receipt in self.built)
            in_flight = "" if self.in_flight is None else self.in_flight.advice()
            raise BatchShortError(
                f"iteration {self.iteration} needs {rows} rows from the buffer and {self.buffer.available} are "
                f"available: {before} before the build, which kept {made}{in_flight or _advice_on_rows(made)}",
                wanted=rows,
                available=self.buffer.available,
            )

    def build_for(self, rows: int) -> None:
        """Build the buffer if it has fewer than ``rows`` rows, and the iteration has not built it yet."""
        samplers = () if self.live is None else self.live.samplers
        fills = any(sampler.size.buffer_size_at(self.iteration) for sampler in samplers)
        if self.build_buffer is None or self.built or self.spent or not fills or self._will_suffice(rows):
            return
        self._build(self.build_buffer)

    def take(self, n: int, rng: np.random.Generator) -> BufferRows:
        """Return ``n`` rows, or as many as the selection offers."""
        with self.waiting():
            return self.buffer.take(n, rng)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what happens within as waiting for stored rows."""
        started = time.perf_counter()
        yield
        self.seconds_waiting += time.perf_counter() - started

    def _will_suffice(self, rows: int) -> bool:
        """Return whether the buffer has so many rows, or will have once the rewards of those in flight are there."""
        missing = rows - self.buffer.available
        return missing <= 0 or (self.in_flight is not None and self.in_flight.count() >= missing)

    def _wait(self, rows: int) -> None:
        """Wait until the buffer can give ``rows``, as long as rows are in flight and somebody scores them."""
        if self.in_flight is None:
            return
        with self.waiting():
            while (missing := rows - self.buffer.available) > 0 and self.in_flight.wait(self.iteration, missing):
                self.in_flight.settle()
                self._pin()

    def _build(self, build_buffer: BuildBuffer) -> None:
        self.built = build_buffer(self.iteration)
        if self.live is not None:
            for receipt in self.built:
                self.live.drawn.add(receipt.sampler, receipt.drawn)
        with self.waiting():
            self._pin()

    def _pin(self) -> None:
        """Move the buffer to the newest snapshot, with the own rows up to this iteration."""
        self.buffer.pin(self.buffer.store.snapshot(), up_to_iteration=self.iteration)
        self.buffer.iteration = self.iteration


def _advice_on_rows(made: int) -> str:
    advice = "; raise a sampler's buffer_size or p_batch, or loosen the filters"
    return f"{advice}{FAILED_SCORES if made else ''}"
