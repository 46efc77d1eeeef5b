"""TorchRL's memory-mapped storage, Lance, SQLite and plain Parquet, as subclasses of ``peers.Peer``."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from peers import ARRAYS, COUNT, KNOWN, QUERIES, Asked, Ids
from rows import make_build

from molbuffer.storage import Build

Query = Callable[[], Any]


def as_table(build: Build) -> pa.Table:
    """Return the rows of a build with all their columns; arrays are lists of fixed size."""
    samples = build.samples
    arrays = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(getattr(samples.rows, name).ravel()), width)
        for name, (_, width) in ARRAYS.items()
    }
    rewards = [reward.value for reward in build.rewards]
    iterations = np.full(len(samples), build.iteration)
    return pa.table({"iteration": iterations, "smiles": samples.smiles, "reward": rewards, **arrays})


def as_arrays(table: pa.Table) -> dict[str, Any]:
    """Return the arrays of a table's rows."""
    lists = {name: table[name].combine_chunks() for name in ARRAYS}
    return {name: lists[name].flatten().to_numpy().reshape(-1, width) for name, (_, width) in ARRAYS.items()}


class SQLite:
    """A SQLite table with the arrays as blobs and an index of the molecules."""

    name, package, durability, shared = "SQLite", "", "fsynced", True

    def __init__(self, folder: Path, rows: int) -> None:
        self.connection = sqlite3.connect(folder / "rows.sqlite", timeout=60)
        self.connection.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS samples (id INTEGER PRIMARY KEY, iteration INTEGER, smiles TEXT, reward REAL,
                tokens BLOB, log_probs BLOB, latents BLOB);
            CREATE INDEX IF NOT EXISTS by_molecule ON samples (smiles)"""
        )

    def ingest(self, build: Build) -> None:
        samples = build.samples
        blobs = [[row.tobytes() for row in getattr(samples.rows, name)] for name in ARRAYS]
        rows = zip(samples.smiles, [reward.value for reward in build.rewards], *blobs, strict=True)
        with self.connection:
            sql = f"INSERT INTO samples VALUES (NULL, {build.iteration}, ?, ?, ?, ?, ?)"
            self.connection.executemany(sql, rows)

    def finish(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def load(self) -> None:
        """Nothing."""

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        sql = f"SELECT {', '.join(ARRAYS)} FROM json_each(?) JOIN samples ON samples.id = value ORDER BY key"
        blobs = zip(*self.connection.execute(sql, [json.dumps((ids + 1).tolist())]), strict=True)
        return {
            name: np.frombuffer(b"".join(column), kind).reshape(-1, width)
            for (name, (kind, width)), column in zip(ARRAYS.items(), blobs, strict=True)
        }

    def count(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM samples").fetchone()[0])

    def queries(self, asked: Asked) -> dict[str, Query]:
        def ask(sql: str, *parameters: str) -> Query:
            return lambda: self.connection.execute(sql.replace("[molecule]", asked.molecule), parameters).fetchall()

        known = "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM samples WHERE smiles = value)"
        queries = {name: ask(sql) for name, sql in QUERIES.items()}
        return {COUNT: self.count, **queries, KNOWN: ask(known, json.dumps(asked.molecules))}

    def close(self) -> None:
        self.connection.close()


class Parquet:
    """One Parquet file for each build, synced with its folder; DuckDB queries, and PyArrow gathers rows."""

    name, package, durability, shared = "Parquet", "", "fsynced", True

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder / "rows"
        self.folder.mkdir(exist_ok=True)
        self.files = f"read_parquet('{self.folder}/*.parquet')"

    def ingest(self, build: Build) -> None:
        path = self.folder / f"{build.iteration:08d}"
        pyarrow.parquet.write_table(as_table(build), path)
        for written in (path, self.folder):
            descriptor = os.open(written, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
            # Readers see whole files only.
            if written == path:
                path.rename(path.with_suffix(".parquet"))

    def finish(self) -> None:
        """Nothing."""

    def load(self) -> None:
        self.dataset = pyarrow.dataset.dataset(sorted(map(str, self.folder.glob("*.parquet"))))

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        return as_arrays(self.dataset.take(pa.array(ids), columns=list(ARRAYS)))

    def count(self) -> int:
        # Nothing matches the pattern before the first file is there.
        return int(self._ask("SELECT count(*) FROM samples")[0][0]) if any(self.folder.glob("*.parquet")) else 0

    def queries(self, asked: Asked) -> dict[str, Query]:
        def ask(sql: str) -> Query:
            return lambda: self._ask(sql.replace("[molecule]", asked.molecule))

        wanted = pa.table({"smiles": asked.molecules})
        known = "SELECT DISTINCT smiles FROM samples SEMI JOIN wanted USING (smiles)"
        queries = {name: ask(sql) for name, sql in QUERIES.items()}
        return {COUNT: self.count, **queries, KNOWN: lambda: self._ask(known, wanted=wanted)}

    def _ask(self, sql: str, **tables: pa.Table) -> list[Any]:
        with duckdb.connect() as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return connection.execute(sql.replace("samples", self.files)).fetchall()

    def close(self) -> None:
        """Nothing is open."""


class Lance:
    """A Lance dataset to which each build is appended; a build is visible once its files have their final names."""

    name, package, durability, shared = "Lance", "lance", "survives SIGKILL", True

    def __init__(self, folder: Path, rows: int) -> None:
        import lance

        self.lance, self.path = lance, str(folder / "rows.lance")
        if not Path(self.path).exists():
            empty = as_table(make_build(0, 1, np.random.default_rng(7), latents=True, rewarded=True)).slice(0, 0)
            lance.write_dataset(empty, self.path)
        self.load()

    def ingest(self, build: Build) -> None:
        self.lance.write_dataset(as_table(build), self.path, mode="append")

    def finish(self) -> None:
        """Nothing."""

    def load(self) -> None:
        self.dataset = self.lance.dataset(self.path)

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        return as_arrays(self.dataset.take(ids.tolist(), columns=list(ARRAYS)))

    def count(self) -> int:
        # The open dataset is fixed to one version.
        self.load()
        return int(self.dataset.count_rows())

    def queries(self, asked: Asked) -> dict[str, Query]:
        def columns(*names: str, where: str | None = None) -> pa.Table:
            return self.dataset.to_table(columns=list(names), filter=where)

        def ask(sql: str, names: list[str], **tables: pa.Table) -> Query:
            def answer() -> list[Any]:
                with duckdb.connect() as connection:
                    for name, table in {"samples": columns(*names), **tables}.items():
                        connection.register(name, table)
                    return connection.execute(sql).fetchall()

            return answer

        wanted = pa.table({"smiles": asked.molecules})
        known = "SELECT DISTINCT smiles FROM samples SEMI JOIN wanted USING (smiles)"
        mean, best, rows = QUERIES
        return {
            COUNT: self.count,
            mean: ask(QUERIES[mean], ["iteration", "reward"]),
            best: ask(QUERIES[best], ["smiles", "reward"]),
            rows: lambda: columns("iteration", "reward", where=f"smiles = '{asked.molecule}'"),
            KNOWN: ask(known, ["smiles"], wanted=wanted),
        }

    def close(self) -> None:
        """Nothing is open."""


class TorchRL:
    """A replay buffer over memory-mapped files, without strings; ``dumps`` copies the files, ``loads`` opens them."""

    name, package, shared = "TorchRL", "torchrl", False
    durability = "RAM until dumps"

    def __init__(self, folder: Path, rows: int) -> None:
        import torch
        from torchrl.data import LazyMemmapStorage, ReplayBuffer

        # On a busy machine, several threads would mostly wait for each other.
        torch.set_num_threads(1)
        self.saved = folder / "saved"
        storage = LazyMemmapStorage(rows, scratch_dir=None if self.saved.exists() else folder / "rows")
        self.buffer = ReplayBuffer(storage=storage, batch_size=256)
        if self.saved.exists():
            self.buffer.loads(self.saved)

    def ingest(self, build: Build) -> None:
        import torch
        from tensordict import TensorDict

        rows = {name: torch.from_numpy(getattr(build.samples.rows, name)) for name in ARRAYS}
        rows |= {"reward": torch.tensor([reward.value for reward in build.rewards])}
        self.buffer.extend(TensorDict(rows, batch_size=[len(build.samples)]))

    def finish(self) -> None:
        self.buffer.dumps(self.saved)

    def load(self) -> None:
        """Nothing."""

    def gather(self, ids: Ids) -> Mapping[str, Any]:
        import torch

        return dict(self.buffer[torch.from_numpy(ids)].items())

    def count(self) -> int:
        return len(self.buffer)

    def queries(self, asked: Asked) -> dict[str, Query]:
        return {COUNT: self.count, "best 100": lambda: self.buffer[:]["reward"].topk(100)}

    def close(self) -> None:
        """Nothing is open."""


OTHERS = (TorchRL, Lance, SQLite, Parquet)
