"""What stores of the same rows are compared by, and ours; the others are in ``other_stores``.

Each is used as its own documentation shows: appended to a build at a time, opened again by another process, asked for
rows at random positions (0 is the first row that went in) and for what people ask a history. What a store promises when
``ingest`` returns is its durability:

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
"""As SQL over a table that has all columns."""


@dataclass(frozen=True)
class Asked:
    """What the queries ask for: a molecule that is stored, and 10,000 of which half are."""

    molecule: str
    molecules: Sequence[str]


class Peer(Protocol):
    """A store, opened, or made where there is none.

    Attributes:
        package: what must be installed for it; empty when all of it is there with molbuffer.
        durability: of a build when ``ingest`` returns. shared: whether several processes may write at once.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    durability: ClassVar[str]
    shared: ClassVar[bool]

    def __init__(self, folder: Path, rows: int) -> None:
        """Opens it in a folder; ``rows`` is how many it will have."""

    def ingest(self, build: Build) -> None:
        """Adds the rows of a build."""

    def finish(self) -> None:
        """What there is to do after the last build, so that other processes can read."""

    def load(self) -> None:
        """What there is to do between opening and the first ``gather``."""

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        """The arrays of rows, [n, ...], by name."""

    def count(self) -> int:
        """The rows that a reader sees."""

    def queries(self, asked: Asked) -> dict[str, Callable[[], Any]]:
        """What it can answer, by the names of ``COUNT``, ``QUERIES`` and ``KNOWN``."""

    def close(self) -> None:
        """Lets go of it."""


class Molbuffer:
    """Ours: commits, an index over the decoded cache, and queries as users make them."""

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
        """Nothing: it was all there when it was acknowledged."""

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
