"""The contract of the databases in which DuckLake keeps a store's catalog: a SQLite file, or a schema of Postgres.

Either keeps all of a version or nothing, and numbers the versions with a primary key, so that of two transactions that
began from one version only one commits (``Catalog.transact`` begins the other again). What differs is how writers
queue, so that they need not fail and begin again, and where claims on expensive scores are kept.
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
    """A lock that one holder has at a time, among all processes that use a store."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StoreBusyError: others had it for too long.
            OSError: the disk refused.
        """
        yield


class Backend(Protocol):
    """The database that a catalog is kept in."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions of DuckDB that it needs, beside DuckLake."""

    @property
    def loses_answers(self) -> bool:
        """Whether a COMMIT can be done and seem to have failed, as that of a server whose answer is lost."""

    def attach_sql(self, alias: str, tables: str, *, read_only: bool, create: bool = False) -> str:
        """Return the statement that attaches the catalog under a name.

        Args:
            alias: the name.
            tables: the place of the Parquet files.
            read_only: whether nothing can be written through it.
            create: whether a catalog is made when there is none.
        """

    def lost(self) -> str | None:
        """Return why there is no catalog: missing or empty; None when there may be one, which attaching tells."""

    def identity(self) -> tuple[int, ...] | None:
        """Return what distinguishes the file of the catalog from any other; None where it is none, or is not there."""

    @property
    def journal(self) -> Path | None:
        """The path of the journal of the catalog; None when it has none."""

    def keep_open_sql(self, alias: str) -> str | None:
        """Return a statement that opens the catalog in a transaction without a lock; None when that gains nothing."""

    def own_tables(self, alias: str) -> str:
        """Return the name of the database in which DuckLake keeps its own tables, once the catalog is attached."""

    def writers(self, seconds: float) -> Lock:
        """Return the lock around commits; ``seconds`` is how long others are waited for."""

    def maintainers(self) -> Lock:
        """Return the lock around maintenance, for which nobody waits."""

    def archiving(self, pin: Place) -> Lock:
        """Return the lock of the process that makes the archive of a pin (``molbuffer.storage.maintenance.pins``)."""

    def claims(self, refusal: str | None) -> ScoreClaims:
        """Return the claims on expensive scores; with a refusal, nothing can be claimed."""

    def unreadable(self) -> StorePlaceError | None:
        """Return why the catalog cannot be attached for reading, when the place is to blame; None when it is not."""


def attach_statement(source: str, alias: str, tables: str, options: list[str], *, create: bool = False) -> str:
    """Return the ATTACH of any backend."""
    options = [
        f"DATA_PATH {quote(tables.rstrip('/') + '/')}",
        # A moved folder's catalog names the place where it was made.
        "OVERRIDE_DATA_PATH true",
        # Every row goes to a Parquet file: those are what a query connection without the catalog can read.
        "DATA_INLINING_ROW_LIMIT 0",
        # DuckLake makes one by default: a store without its catalog would seem to be empty.
        *([] if create else ["CREATE_IF_NOT_EXISTS false"]),
        *options,
    ]
    return f"ATTACH {quote(f'ducklake:{source}')} AS {quote_name(alias)} ({', '.join(options)})"


LONGEST_CLAIM_SECONDS = 3600.0
"""A claim that expires later than this from now was made under a clock that is wrong, and counts as expired."""


@dataclass(frozen=True)
class ClaimHolder:
    """Who has a claim.

    Attributes:
        owner: as it was given.
        seconds: until it expires, unless it is renewed.
    """

    owner: str
    seconds: float

    @property
    def name(self) -> str:
        """The host and the process of the owner, where it names them."""
        return self.owner.partition(" ")[0].rpartition(":")[0] or self.owner


class ScoreClaims(Protocol):
    """The claims of a store on scores to be computed. Safe to use from any thread and process that uses the store."""

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        """Ask for the right to compute scores, for a time.

        Args:
            component: the name of the component.
            version: the hash of the component's definition.
            smiles: the molecules.
            owner: who asks; an owner's claim is granted again, with a new expiry.
            seconds: until the claim expires, longer than the time between two renewals; at most an hour.

        Returns:
            The molecules granted. The others are being computed by someone else.

        Raises:
            ValueError: ``seconds`` is out of range.
        """

    def holders(self, component: str, version: str, smiles: Sequence[str]) -> dict[str, ClaimHolder]:
        """Return who has claims on some molecules now; those that nobody has claimed are left out."""

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        """Give claims back, once the scores are recorded or will not be computed; those of others stay."""

    def close(self) -> None:
        """Close what is open; the claims stay. What is used again is opened again."""


def check_claim(seconds: float) -> None:
    """Refuse a claim for a time that no claim may have.

    Raises:
        ValueError: it is less than 0, or more than an hour.
    """
    if not 0 <= seconds <= LONGEST_CLAIM_SECONDS:
        raise ValueError(f"a claim is for 0 to {LONGEST_CLAIM_SECONDS:g} s, got {seconds}: renew it")


@dataclass(frozen=True)
class CatalogPlace:
    """The place of a store's catalog.

    Attributes:
        backend: the database that keeps it.
        tables: the place of its Parquet files.
        root: the store's folder, by which errors name the store.
    """

    backend: Backend
    tables: Place
    root: Path

    def attach_sql(self, alias: str, *, read_only: bool, create: bool = False) -> str:
        """Return the statement that attaches the catalog under a name, for this process or any other DuckDB."""
        return self.backend.attach_sql(alias, str(self.tables), read_only=read_only, create=create)
