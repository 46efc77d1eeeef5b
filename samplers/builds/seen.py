"""The molecules that a run has drawn before, with which the metric ``new`` compares a build.

The row order of a run is (iteration, event, sampler order, chunk, row), with build_buffer before sample_batch. "Before"
refers to this order, so that a retried or resumed run has the same metrics as the first attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from molbuffer.storage import RUN_AND_ACTORS, Build, Event, SampleStore

_BEFORE = """
    SELECT DISTINCT s.smiles
    FROM {samples} s JOIN {builds} b USING (build_id) [asked]
    WHERE s.smiles IS NOT NULL AND b.run_id = ? AND (
        b.iteration < ?
        OR (b.iteration = ? AND b.event = 'build_buffer'
            AND (? = 'sample_batch' OR (b.sampler_order, b.chunk) < (?, ?))))
"""
_ASKED = "SEMI JOIN asked ON asked.smiles = s.smiles"
_WITH_ACTORS = """
    SELECT DISTINCT s.smiles
    FROM {samples} s JOIN {builds} b USING (build_id) SEMI JOIN asked ON asked.smiles = s.smiles
    WHERE b.run_id IN [run]""".replace("[run]", RUN_AND_ACTORS)
_OF_BUILDS = """
    SELECT DISTINCT smiles FROM {samples}
    WHERE smiles IS NOT NULL AND build_id IN (SELECT build_id FROM wanted)"""


@dataclass(frozen=True)
class SeenBefore:
    """The molecules of a run that are committed before one build, for a process that makes only this build.

    Each call queries the store, so that the history is never read into memory.
    """

    store: SampleStore
    run_id: str
    iteration: int
    event: Event
    sampler_order: int = 0
    chunk: int = 0

    def __call__(self, smiles: Sequence[str]) -> set[str]:
        """Return those of the canonical SMILES that the run has drawn before."""
        asked = pa.table({"smiles": pa.array(smiles, pa.string())})
        sql = _BEFORE.replace("[asked]", _ASKED)
        found = self.store.read_arrow(sql, parameters=self._parameters, asked=asked)
        return set(found.column("smiles").to_pylist())

    def all(self) -> set[str]:
        """Return all molecules that the run has drawn before."""
        found = self.store.read_arrow(_BEFORE.replace("[asked]", ""), parameters=self._parameters)
        return set(found.column("smiles").to_pylist())

    @property
    def _parameters(self) -> list[str | int]:
        event = self.event.value
        return [self.run_id, self.iteration, self.iteration, event, self.sampler_order, self.chunk]


@dataclass(frozen=True)
class SeenWithActors:
    """The molecules of a training and its actors that are committed at the moment.

    Rows that other processes draw at the same time are not included, so that the metric ``new`` is approximate.
    """

    store: SampleStore
    run_id: str

    def __call__(self, smiles: Sequence[str]) -> set[str]:
        """Return those of the canonical SMILES that one of the runs has drawn before."""
        asked = pa.table({"smiles": pa.array(smiles, pa.string())})
        found = self.store.read_arrow(_WITH_ACTORS, parameters=[self.run_id], asked=asked)
        return set(found.column("smiles").to_pylist())


@dataclass
class SeenMolecules:
    """The molecules of a run so far, committed or not, for a training, which needs them for each live batch.

    The molecules are kept in memory.
    """

    store: SampleStore
    run_id: str
    _molecules: set[str] = field(default_factory=set)

    def read(self, iteration: int, event: Event, sampler_order: int = 0, chunk: int = 0) -> None:
        """Add the molecules of the run that are committed before a build."""
        self._molecules |= SeenBefore(
            self.store, self.run_id, iteration, event, sampler_order=sampler_order, chunk=chunk
        ).all()

    def read_builds(self, build_ids: Iterable[str]) -> None:
        """Add the molecules of the given committed builds."""
        wanted = pa.table({"build_id": pa.array(build_ids, pa.string())})
        self._molecules.update(self.store.read_arrow(_OF_BUILDS, wanted=wanted)["smiles"].to_pylist())

    def add(self, build: Build) -> None:
        """Add the molecules of a build that is not committed yet."""
        self._molecules.update(text for text in build.samples.smiles if text is not None)

    def __call__(self, smiles: Sequence[str]) -> set[str]:
        """Return those of the canonical SMILES that the run has drawn before."""
        return self._molecules.intersection(smiles)
