"""Claims: who is computing an expensive score, so that no other process computes it too.

A claim expires, so that a scorer that was killed blocks nobody for long. Claims are short-lived and need transactions
of their own, so they live beside the catalog and not in it: in a small SQLite file, or where the catalog is in
Postgres, in a table there (``molbuffer.storage.backends.postgres``).

A scorer that was granted a claim looks the score up once more before it computes: another may have computed, recorded
and released it between the first look-up and the claim.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from molbuffer.storage.errors import StoreError, StoreModeError
from molbuffer.storage.files.places import PRIVATE_FILE

_BUSY_SECONDS = 60.0
_TABLE = """CREATE TABLE IF NOT EXISTS claims (
    component TEXT, version TEXT, smiles TEXT, owner TEXT NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (component, version, smiles)
) WITHOUT ROWID"""


class ScoreClaims(Protocol):
    """The claims of a store on scores to be computed. Safe to use from any thread and process that uses the store."""

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        """Asks for the right to compute scores, for a time.

        Args:
            owner: who asks; an owner's claim is granted again, with a new expiry.
            seconds: until the claim expires; longer than computing all of ``smiles`` takes.

        Returns:
            The molecules granted. The others are being computed by someone else.
        """

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        """Gives claims back, once the scores are recorded or will not be computed; those of others stay."""


class SqliteClaims:
    """Claims in a SQLite file, for the processes of one host.

    Args:
        path: of the file; made with the first claim.
        clock: seconds since the epoch; the processes that share claims must share it.
        refusal: what an attempt to claim is told where nothing may be written; None where it may.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, refusal: str | None = None) -> None:
        self._path = path
        self._refusal = refusal
        self._clock = clock

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        with self._transaction() as connection:
            instant = self._clock()
            connection.execute("DELETE FROM claims WHERE expires <= ?", [instant])
            connection.executemany(
                "INSERT INTO claims VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET expires = excluded.expires "
                "WHERE owner = excluded.owner",
                [(component, version, text, owner, instant + seconds) for text in set(smiles)],
            )
            mine = connection.execute(
                "SELECT smiles FROM claims WHERE component = ? AND version = ? AND owner = ?",
                [component, version, owner],
            )
            return set(smiles) & {text for (text,) in mine}

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE component = ? AND version = ? AND smiles = ? AND owner = ?",
                [(component, version, text, owner) for text in set(smiles)],
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._refusal is not None:
            raise StoreModeError(self._refusal)
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                if self._path.stat().st_size == 0:
                    self._path.chmod(PRIVATE_FILE)
                # IMMEDIATE takes the write lock first: two that read before they write could not both go on.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"the claims {self._path} cannot be used: {error}") from error
