"""The interface by which stores of the same rows are compared, and molbuffer's store; others are in ``other_stores``.

Each store is used as in its own documentation: builds are appended one at a time, another process opens the store,
reads rows at random positions (0 is the first stored row) and runs common queries on the history. The durability of a
store is its guarantee when ``ingest`` returns:

    RAM                in the memory of the process: a SIGKILL loses it
    survives SIGKILL   with the operating system: a power cut loses it
    fsynced            on the disk
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from rows import LATENTS, OBJECTIVE, WIDTH, bench_run

from molbuffer.storage import Build, Commit, DecodedCache, IndexScope, SampleStore

Ids = NDArray[np.int64]
ARRAYS = {"tokens": (np.uint8, WIDTH), "log_probs": (np.float32, WIDTH), "latents": (np.float32, LATENTS)}
COUNT, KNOWN = "count", "which of 10k molecules are known"
QUERIES = {
    "mean reward an iteration": "SELECT iteration, count(*), avg(reward) FROM samples GROUP BY iteration",
    "best 100": "SELECT smiles, reward FROM samples ORDER BY reward DESC LIMIT 100",
    "rows of a molecule": "SELECT iteration, reward FROM samples WHERE smiles = '[molecule]'",
}
"""The queries as SQL over a table with all columns."""


@dataclass(frozen=True)
class Asked:
    """The arguments of the queries: a stored molecule, and 10,000 molecules of which half are stored."""

    molecule: str
    molecules: Sequence[str]


class Peer(Protocol):
    """An open store, which is made if it does not exist.

    Attributes:
        package: the package that it needs; empty if molbuffer's own dependencies suffice.
        durability: the durability of a build when ``ingest`` returns.
        shared: whether several processes may write at once.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    durability: ClassVar[str]
    shared: ClassVar[bool]

    def __init__(self, folder: Path, rows: int) -> None:
        """Open the store in a folder; ``rows`` is its final number of rows."""

    def ingest(self, build: Build) -> None:
        """Add the rows of a build."""

    def finish(self) -> None:
        """Finish the store after the last build, so that other processes can read it."""

    def load(self) -> None:
        """Prepare an open store for the first ``gather``."""

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        """Return the arrays [n, ...] of the rows at n positions, by name."""

    def count(self) -> int:
        """Return the number of rows that a reader sees."""

    def queries(self, asked: Asked) -> dict[str, Callable[[], Any]]:
        """Return functions for the queries that it can answer, by the names of ``COUNT``, ``QUERIES`` and ``KNOWN``."""

    def close(self) -> None:
        """Close the store."""


class Molbuffer:
    """molbuffer's store: commits, an index over the decoded cache, and queries of users."""

    name, package, shared = "molbuffer", "", True
    durability = "fsynced"

    def __init__(self, folder: Path, rows: int) -> None:
        there = (folder / "store").exists()
        self.store = SampleStore.open_or_create(folder / "store")
        if not there:
            self.store.start_run(bench_run())
        self.cache = DecodedCache(self.store.cache_key, self.store._open.layout.arrays, folder / "cache")

    def ingest(self, build: Build) -> None:
        self.store.commit(Commit([build]))

    def finish(self) -> None:
        """Do nothing, since acknowledged builds are complete."""

    def load(self) -> None:
        self.index = self.store.index(IndexScope(objective_sha256=OBJECTIVE), cache=self.cache)

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        rows = self.index.gather(ids)
        return {name: getattr(rows, name) for name in ARRAYS}

    def count(self) -> int:
        return int(self.store.read_arrow("SELECT count(*) AS n FROM {samples}")["n"][0].as_py())

    def queries(self, asked: Asked) -> dict[str, Callable[[], Any]]:
        def ask(sql: str) -> Callable[[], Any]:
            text = sql.replace("samples", "sample_history").replace("[molecule]", asked.molecule)
            return lambda: self.store.query(text)

        return {
            COUNT: ask("SELECT count(*) FROM samples"),
            **{name: ask(sql) for name, sql in QUERIES.items()},
            KNOWN: lambda: self.store.known_molecules(asked.molecules),
        }

    def close(self) -> None:
        self.store.close()
