"""A catalog in Postgres, for several hosts: its locks, its claims, and the store that a schema holds.

The client, psycopg, is an extra: ``pip install 'molbuffer[postgres]'``. An address that is written into a store never
has a password: libpq takes passwords from PGPASSWORD or ~/.pgpass, here and within DuckDB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.parse import quote as quote_percent

from molbuffer.storage.backends import postgres
from molbuffer.storage.backends.base import (
    LONGEST_CLAIM_SECONDS,
    ClaimHolder,
    Lock,
    ScoreClaims,
    attach_statement,
    check_claim,
)
from molbuffer.storage.backends.engine import quote, quote_name
from molbuffer.storage.backends.waiting import wait_for
from molbuffer.storage.errors import (
    CatalogUnavailableError,
    ExtensionError,
    StoreModeError,
    StorePlaceError,
)
from molbuffer.storage.files import Place

if TYPE_CHECKING:
    import psycopg

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# A host that lost its connection or its power holds locks and transactions until the server notices: within 30 seconds.
_OF_THE_SERVER = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_OF_THE_CLIENT = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_LONGEST_NAME = 63


def check_address(uri: str, schema: str) -> None:
    """Refuse an address that is not valid or has a password, and a schema whose name needs quotes.

    Raises:
        StorePlaceError: the address or the name of the schema is refused.
    """
    try:
        parts = urlsplit(uri)
        password = parts.password
    except ValueError as error:
        raise StorePlaceError(f"expected an address such as postgres://user@host/database, got {uri!r}") from error
    if "://" not in uri or parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise StorePlaceError(f"expected an address such as postgres://user@host/database, got {uri!r}")
    if password is not None or "password" in parts.query:
        raise StorePlaceError(
            "the address of the catalog has a password, which would be written into store.toml: leave it out, and put "
            "it into ~/.pgpass or PGPASSWORD"
        )
    if not _SCHEMA.fullmatch(schema):
        raise StorePlaceError(f"a schema needs a name of lower-case letters, digits and _, got {schema!r}")


def watched(uri: str) -> str:
    """Return the address of a database with options by which client and server detect a broken connection.

    Options that the address has already are kept. Without these options, a host would wait a quarter of an hour for an
    answer, while its system repeats the request, and the server would keep the locks of a lost host for two hours.
    """
    address, _, query = uri.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    options = " ".join(f"-c {name}={value}" for name, value in _OF_THE_SERVER.items())
    all_of_it = {**_OF_THE_CLIENT, **given, "options": f"{options} {given.get('options', '')}".strip()}
    return f"{address}?{urlencode(all_of_it, quote_via=quote_percent)}"


def connect(uri: str) -> psycopg.Connection[Any]:
    """Return a connection on which every statement commits by itself.

    Raises:
        ExtensionError: psycopg is not installed.
        CatalogUnavailableError: the server cannot be reached.
    """
    try:
        import psycopg
    except ImportError as error:
        raise ExtensionError("a catalog in Postgres needs psycopg: pip install 'molbuffer[postgres]'") from error
    try:
        return psycopg.connect(watched(uri), autocommit=True)
    except psycopg.Error as error:
        raise CatalogUnavailableError(f"the catalog {uri} cannot be reached: {str(error).strip()}") from error


class AdvisoryLock:
    """An advisory lock of the database server, which releases it when the connection of its holder ends.

    Args:
        uri: the address of the database.
        schema: the schema of the catalog.
        purpose: the purpose of the lock; each schema and purpose has a lock of its own.
        seconds: how long to wait for other holders, in seconds; 0 means not at all.
    """

    def __init__(self, uri: str, schema: str, purpose: str, seconds: float) -> None:
        self._uri = uri
        self._key = int.from_bytes(hashlib.sha256(f"molbuffer {schema} {purpose}".encode()).digest()[:8], signed=True)
        self._what = f"the lock for {purpose} of {schema} in {uri}"
        self._seconds = seconds

    @contextmanager
    def held(self) -> Iterator[None]:
        import psycopg

        # A new connection each time: the server may have ended an older one.
        with closing(connect(self._uri)) as connection:
            try:
                wait_for(
                    self._what,
                    lambda seconds: self._take(connection, seconds),
                    self._seconds,
                    lambda: self._holder(connection),
                )
            except psycopg.Error as error:
                raise CatalogUnavailableError(f"{self._what} cannot be taken: {str(error).strip()}") from error
            try:
                yield
            finally:
                self._give_back(connection)

    def _take(self, connection: psycopg.Connection[Any], seconds: float) -> bool:
        import psycopg

        if not seconds:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [self._key]).fetchone()
            return row is not None and bool(row[0])
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{max(1, int(seconds * 1000))}ms"])
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [self._key])
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _holder(self, connection: psycopg.Connection[Any]) -> str | None:
        """Return a description of the server process that holds the lock; None if there is none."""
        row = connection.execute(
            """SELECT pid, usename, client_addr, client_port FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND (classid::bigint << 32 | objid::bigint) = %s""",
            [self._key],
        ).fetchone()
        return row and f"the server process {row[0]} of {row[1]} at {row[2] or 'this host'}:{row[3]}"

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        import psycopg

        # The lock is released before the connection is closed, since the server notices the end only after some time. A
        # broken connection has released the lock already.
        with suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(%s)", [self._key])


class PostgresClaims:
    """Claims in a table beside the catalog, which expire by the server's clock."""

    def __init__(self, uri: str, schema: str, refusal: str | None = None) -> None:
        self._uri = uri
        self._table = f"{quote_name(schema)}.molbuffer_claims"
        self._refusal = refusal

    def claim(self, component: str, version: str, smiles: Sequence[str], owner: str, seconds: float) -> set[str]:
        check_claim(seconds)
        with self._transaction() as connection:
            connection.execute(
                f"DELETE FROM {self._table} WHERE expires <= now() OR expires > now() + %s * interval '1 second'",
                [LONGEST_CLAIM_SECONDS],
            )
            connection.execute(
                f"""INSERT INTO {self._table} AS claims
                SELECT %s, %s, unnest(%s::text[]), %s, now() + %s * interval '1 second'
                ON CONFLICT (component, version, smiles) DO UPDATE SET expires = excluded.expires
                WHERE claims.owner = excluded.owner""",
                [component, version, sorted(set(smiles)), owner, seconds],
            )
            mine = connection.execute(
                f"SELECT smiles FROM {self._table} WHERE component = %s AND version = %s AND owner = %s",
                [component, version, owner],
            )
            return set(smiles) & {text for (text,) in mine}

    def holders(self, component: str, version: str, smiles: Sequence[str]) -> dict[str, ClaimHolder]:
        with self._transaction() as connection:
            found = connection.execute(
                f"""SELECT smiles, owner, extract(epoch FROM expires - now()) FROM {self._table}
                WHERE component = %s AND version = %s AND smiles = ANY(%s)
                AND expires > now() AND expires <= now() + %s * interval '1 second'""",
                [component, version, sorted(set(smiles)), LONGEST_CLAIM_SECONDS],
            )
            return {text: ClaimHolder(owner, float(seconds)) for text, owner, seconds in found}

    def release(self, component: str, version: str, smiles: Sequence[str], owner: str) -> None:
        with self._transaction() as connection:
            connection.execute(
                f"""DELETE FROM {self._table}
                WHERE component = %s AND version = %s AND smiles = ANY(%s) AND owner = %s""",
                [component, version, sorted(set(smiles)), owner],
            )

    def close(self) -> None:
        """Do nothing: each use has a connection of its own."""

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        if self._refusal is not None:
            raise StoreModeError(self._refusal)
        connected = connect(self._uri)
        import psycopg

        try:
            with connected as connection, connection.transaction():
                # Two transactions that insert the same molecules in different orders would wait for each other.
                connection.execute(f"LOCK TABLE {self._table} IN SHARE ROW EXCLUSIVE MODE")
                yield connection
        except psycopg.Error as error:
            raise CatalogUnavailableError(f"the claims in {self._uri} cannot be used: {str(error).strip()}") from error


def copy_schema(uri: str, schema: str, name: str) -> str:
    """Copy all tables of a schema into a new schema, unless an earlier copy has made it.

    Args:
        uri: the address of the database.
        schema: the schema to copy.
        name: the suffix of the new schema's name.

    Returns:
        The name of the new schema.

    Raises:
        CatalogUnavailableError: the server cannot be reached, or does not allow this user to make a schema.
    """
    import psycopg

    target = f"{schema}_{re.sub(r'[^a-z0-9_]', '_', name)}"[:_LONGEST_NAME]
    with connect(uri) as connection:
        try:
            with connection.transaction():
                if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [target]).fetchone():
                    return target
                connection.execute(f"CREATE SCHEMA {quote_name(target)}")
                tables = connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]
                ).fetchall()
                for (table,) in tables:
                    made, read = (f"{quote_name(of)}.{quote_name(table)}" for of in (target, schema))
                    connection.execute(f"CREATE TABLE {made} (LIKE {read} INCLUDING ALL)")
                    connection.execute(f"INSERT INTO {made} SELECT * FROM {read}")
        except psycopg.Error as error:
            raise CatalogUnavailableError(f"no backup can be made in {uri}: {str(error).strip()}") from error
    return target


def settle(uri: str, schema: str, uuid: str, data_path: str) -> tuple[str, str]:
    """Make the schema of a store if it does not exist, and return the store that it holds.

    Args:
        uri: the address of the database.
        schema: the name of the schema.
        uuid: the identity of a new store.
        data_path: the data path of a new store.

    Returns:
        The uuid and data path of the store that the schema holds.

    Raises:
        CatalogUnavailableError: the server cannot be reached, or does not allow this user to make a schema.
    """
    import psycopg

    named = quote_name(schema)
    with connect(uri) as connection:
        try:
            with connection.transaction():
                # If two processes make one store at once, the second waits here.
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"molbuffer {schema}"])
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {named}")
                connection.execute(f"CREATE TABLE IF NOT EXISTS {named}.molbuffer_store (uuid TEXT, data_path TEXT)")
                connection.execute(
                    f"""CREATE TABLE IF NOT EXISTS {named}.molbuffer_claims (component TEXT, version TEXT, smiles TEXT,
                    owner TEXT NOT NULL, expires TIMESTAMPTZ NOT NULL, PRIMARY KEY (component, version, smiles))"""
                )
                found = connection.execute(f"SELECT uuid, data_path FROM {named}.molbuffer_store").fetchone()
                if found is None:
                    connection.execute(f"INSERT INTO {named}.molbuffer_store VALUES (%s, %s)", [uuid, data_path])
                    return uuid, data_path
                return str(found[0]), str(found[1])
        except psycopg.Error as error:
            raise CatalogUnavailableError(f"no store can be made in {uri}: {str(error).strip()}") from error


@dataclass(frozen=True)
class PostgresBackend:
    """A catalog in a schema of a Postgres database, for writers on any number of hosts.

    Attributes:
        uri: the address of the database, without a password.
        schema: the schema of the store's tables.
        extensions: the DuckDB extensions that the database needs.
        loses_answers: whether a COMMIT can succeed and seem to fail; true for a server.
    """

    uri: str
    schema: str

    extensions: tuple[str, ...] = ("postgres_scanner",)
    loses_answers: bool = True

    def __str__(self) -> str:
        return f"{self.uri} (schema {self.schema})"

    @property
    def journal(self) -> Path | None:
        # No journal: hosts that append to one file overwrite each other's lines, and an object store cannot append.
        return None

    def lost(self) -> str | None:
        return None

    def identity(self) -> tuple[int, ...] | None:
        return None

    def attach_sql(self, alias: str, tables: str, *, read_only: bool, create: bool = False) -> str:
        options = [f"META_SCHEMA {quote(self.schema)}", *(["READ_ONLY"] if read_only else [])]
        return attach_statement(f"postgres:{watched(self.uri)}", alias, tables, options, create=create)

    def keep_open_sql(self, alias: str) -> str | None:
        return None

    def own_tables(self, alias: str) -> str:
        return f"{quote_name(f'__ducklake_metadata_{alias}')}.{quote_name(self.schema)}"

    def writers(self, seconds: float) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, "commits", seconds)

    def maintainers(self) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, "maintenance", 0)

    def archiving(self, pin: Place) -> Lock:
        return postgres.AdvisoryLock(self.uri, self.schema, pin.name, 0)

    def claims(self, refusal: str | None) -> ScoreClaims:
        return postgres.PostgresClaims(self.uri, self.schema, refusal=refusal)

    def unreadable(self) -> StorePlaceError | None:
        return None
