"""The contract of the databases in which DuckLake keeps a store's catalog: a SQLite file, or a schema of Postgres.

Both databases keep all of a snapshot or nothing, and number the snapshots with a primary key, so that of two
transactions that began at one snapshot only one commits (``Catalog.transact`` repeats the other). They differ in how
writers queue, which avoids such repetitions, and in where they keep claims on expensive scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from molbuffer.storage.backends.engine import quote, quote_name
from molbuffer.storage.errors import StorePlaceError
from molbuffer.storage.files import Place


class Lock(Protocol):
    """A lock with one holder at a time, among all processes that use a store."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StoreBusyError: other processes held the lock for too long.
            OSError: the disk refused to open or write the file of the lock.
        """
        yield


class Backend(Protocol):
    """A database that keeps a catalog."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """The DuckDB extensions that the database needs, beside DuckLake."""

    @property
    def loses_answers(self) -> bool:
        """Whether a COMMIT can succeed and seem to fail, because the answer of a server is lost."""

    def attach_sql(self, alias: str, tables: str, *, read_only: bool, create: bool = False) -> str:
        """Return the statement that attaches the catalog under a name.

        Args:
            alias: the name.
            tables: the place of the Parquet files.
            read_only: whether the catalog is attached for reading only.
            create: whether a missing catalog is made.
        """

    def lost(self) -> str | None:
        """Return why there is no catalog, "missing" or "empty"; None if there may be one, which attaching shows."""

    def identity(self) -> tuple[int, ...] | None:
        """Return the identity of the catalog's file in the file system; None if there is no file."""

    @property
    def journal(self) -> Path | None:
        """The path of the journal of the catalog; None if the catalog has no journal."""

    def keep_open_sql(self, alias: str) -> str | None:
        """Return a statement that opens the catalog in a transaction without a lock; None if that has no benefit."""

    def own_tables(self, alias: str) -> str:
        """Return the name of the database in which DuckLake keeps its own tables, once the catalog is attached."""

    def writers(self, seconds: float) -> Lock:
        """Return the lock for commits, which is waited for up to ``seconds``."""

    def maintainers(self) -> Lock:
        """Return the lock for maintenance, which is not waited for."""

    def archiving(self, pin: Place) -> Lock:
        """Return the lock of the process that makes the archive of a pin (``molbuffer.storage.maintenance.pins``)."""

    def claims(self, refusal: str | None) -> ScoreClaims:
        """Return the claims on expensive scores; with a refusal, each use raises an error with this text."""

    def unreadable(self) -> StorePlaceError | None:
        """Return the error if the place of the catalog prevents reading it; None if it does not."""


def attach_statement(source: str, alias: str, tables: str, options: list[str], *, create: bool = False) -> str:
    """Return the ATTACH statement for a DuckLake catalog in any database.

    Args:
        source: the database, as DuckLake names it.
        alias: the name under which the catalog is attached.
        tables: the place of the Parquet files.
        options: further options of the backend.
        create: whether a missing catalog is made.
    """
    options = [
        f"DATA_PATH {quote(tables.rstrip('/') + '/')}",
        # The catalog of a moved folder names the place where it was made.
        "OVERRIDE_DATA_PATH true",
        # Every row goes to a Parquet file, since a query connection without the catalog reads Parquet files only.
        "DATA_INLINING_ROW_LIMIT 0",
        # DuckLake makes a missing catalog by default: a store without its catalog would seem to be empty.
        *([] if create else ["CREATE_IF_NOT_EXISTS false"]),
        *options,
    ]
    return f"ATTACH {quote(f'ducklake:{source}')} AS {quote_name(alias)} ({', '.join(options)})"


LONGEST_CLAIM_SECONDS = 3600.0
"""The longest time until a claim expires; a claim with a later expiry comes from a wrong clock, and has expired."""


@dataclass(frozen=True)
class ClaimHolder:
    """The holder of a claim.

    Attributes:
        owner: the name of the owner, as it was given.
        seconds: the time until the claim expires unless it is renewed, in seconds.
    """

    owner: str
    seconds: float

    @property
    def name(self) -> str:
        """The host and process number of the owner if the owner's name has them, or else the whole name."""
        return self.owner.partition(" ")[0].rpartition(":")[0] or self.owner


class ScoreClaims(Protocol):
    """The claims of a store on scores to be computed. Safe to use from any thread and process that uses the store."""

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        """Ask for the right to compute scores, for a limited time.

        Args:
            component: the name of the component.
            version: the hash of the component's definition.
            smiles: the molecules.
            owner: the name of the scorer that asks; its own claims are granted again, with a new expiry.
            seconds: the time until the claim expires, from 0 to 3600 s and longer than the time between two renewals.

        Returns:
            The molecules that were granted. Other scorers compute the rest.

        Raises:
            ValueError: ``seconds`` is out of range.
        """

    def holders(self, component: str, version: str, smiles: Sequence[str]) -> dict[str, ClaimHolder]:
        """Return the present holders of claims by molecule; molecules without a claim are left out."""

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        """Give back the claims of an owner, once the scores are recorded or will not be computed."""

    def close(self) -> None:
        """Close the connections; the claims stay, and the next use opens a connection again."""


def check_claim(seconds: float) -> None:
    """Refuse a claim for a time outside 0 to 3600 s.

    Raises:
        ValueError: the time is less than 0 s, or more than 3600 s.
    """
    if not 0 <= seconds <= LONGEST_CLAIM_SECONDS:
        raise ValueError(f"a claim is for 0 to {LONGEST_CLAIM_SECONDS:g} s, got {seconds}: renew it for a longer time")


@dataclass(frozen=True)
class CatalogPlace:
    """The place of a store's catalog.

    Attributes:
        backend: the database that keeps it.
        tables: the place of its Parquet files.
        root: the folder of the store, which errors name.
    """

    backend: Backend
    tables: Place
    root: Path

    def attach_sql(self, alias: str, *, read_only: bool, create: bool = False) -> str:
        """Return the statement that attaches the catalog under a name, for this process or any other DuckDB."""
        return self.backend.attach_sql(alias, str(self.tables), read_only=read_only, create=create)
