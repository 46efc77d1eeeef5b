"""The supply of an iteration with rows of the buffer: it builds the buffer and waits for rows in flight if need be."""

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
    """A function that makes the builds of the buffer; it first commits all earlier rows of the run."""

    def __call__(self, iteration: int) -> Sequence[BuildReceipt]: ...


@dataclass
class Supply:
    """The rows of the buffer for one iteration.

    Attributes:
        buffer: the stored rows.
        iteration: the iteration.
        build_buffer: the function that builds the buffer; None never builds.
        live: the live samplers, whose counts of drawn rows include builds; None if there are none.
        in_flight: the rows whose rewards are pending; None if builds are stored with all their rewards.
        built: receipts of the builds of the iteration.
        seconds_waiting: the time for selecting and reading stored rows, and for waiting for rewards and actors.
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
        """Whether the budget of oracle calls is used up, so that a batch may be short."""
        calls = None if self.live is None else self.live.pipeline.calls
        return calls is not None and calls.used_up

    def ensure(self, rows: int, *, due: bool) -> None:
        """Make sure that the buffer can give ``rows``: build it at most once, and wait for rows in flight (R14).

        Args:
            rows: the number of rows.
            due: build the buffer in any case; false builds it only if it has too few rows, those in flight included.

        Raises:
            BatchShortError: the buffer has fewer rows after the build and the wait.
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
        """Add the time of the context to ``seconds_waiting``."""
        started = time.perf_counter()
        yield
        self.seconds_waiting += time.perf_counter() - started

    def _will_suffice(self, rows: int) -> bool:
        """Return whether the buffer has so many rows, or will have them with the rows in flight."""
        missing = rows - self.buffer.available
        return missing <= 0 or (self.in_flight is not None and self.in_flight.count() >= missing)

    def _wait(self, rows: int) -> None:
        """Wait until the buffer can give ``rows``, as long as rows are in flight and a process scores them."""
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
