"""Which molecules a run has met before: what the metric ``new`` compares with.

The row order of a run is (iteration, event, sampler order, chunk, row), with build_buffer before sample_batch. "Before"
is meant in that order, so that a retried or resumed run counts as the first attempt did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from storage import SampleStore
from storage.records import Build, Event

_BEFORE = """
    SELECT DISTINCT s.smiles
    FROM {samples} s JOIN {builds} b USING (build_id)
    WHERE s.smiles IS NOT NULL AND b.run_id = ? AND (
        b.iteration < ?
        OR (b.iteration = ? AND b.event = 'build_buffer'
            AND (? = 'sample_batch' OR (b.sampler_order, b.chunk) < (?, ?))))
"""


@dataclass
class SeenMolecules:
    """The molecules of a run so far, committed ones and those still on their way to the store."""

    store: SampleStore
    run_id: str
    _molecules: set[str] = field(default_factory=set)

    def read(self, iteration: int, event: Event, sampler_order: int = 0, chunk: int = 0) -> None:
        """Adds what is committed of the run before a build."""
        parameters = [self.run_id, iteration, iteration, event.value, sampler_order, chunk]
        found = self.store.read_arrow(_BEFORE, parameters=parameters)
        self._molecules.update(found.column("smiles").to_pylist())

    def add(self, build: Build) -> None:
        """Adds the molecules of a build that is not committed yet."""
        self._molecules.update(text for text in build.samples.smiles if text is not None)

    def __call__(self, smiles: Sequence[str]) -> set[str]:
        """Those of some canonical SMILES that the run has met."""
        return self._molecules.intersection(smiles)
