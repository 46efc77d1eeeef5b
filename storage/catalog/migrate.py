"""Schemas of stores: the check that this release can use a store's schema, and the migration of an older schema.

A store is migrated by a command, never by opening it. The migration holds the commit lock: a backup is made
(``catalog.backup``), each missing migration runs in a transaction of its own together with the row that records it, and
at the end ``store.toml`` names the new format. After a kill, the store is still refused, and the next migration
continues at the same point; of two processes that migrate at once, the second waits and finds nothing to do.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from molbuffer.storage.backends import quote_name
from molbuffer.storage.boundary import boundary
from molbuffer.storage.catalog.backup import back_up
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.identity import check_identity
from molbuffer.storage.catalog.metadata import set_compression
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS, TABLES, Migration
from molbuffer.storage.catalog.schema.views import VIEWS, bind
from molbuffer.storage.catalog.transaction import Transaction
from molbuffer.storage.description import STORE_FORMAT, Description
from molbuffer.storage.errors import StoreFormatError
from molbuffer.storage.files import Place, Sync, sync_paths
from molbuffer.storage.layout import Layout, check_place
from molbuffer.storage.records import now

COMPRESSION = "lz4_raw"
"""The codec of the Parquet files of a store made by this release. A scan of strings takes most of its time for their
decompression: a scan of 1,000,000 molecules takes 38 ms, and 77 ms with Snappy, DuckDB's default; the files are 8 %
larger."""

_HAS_MIGRATIONS = (
    "SELECT table_id FROM METADATA.ducklake_table WHERE table_name = 'migrations' AND end_snapshot IS NULL"
)


@dataclass(frozen=True)
class MigrationReceipt:
    """The result of a migration.

    Attributes:
        old_schema: the number of the newest migration before.
        schema: the number of the newest migration now.
        old_format: the format in ``store.toml`` before.
        format: the format in ``store.toml`` now.
        applied: the names of the migrations that were applied; empty if there was nothing to do.
        backup: the folder of the backup; None if there was nothing to do.
    """

    old_schema: int
    schema: int
    old_format: int
    format: int
    applied: tuple[str, ...]
    backup: Place | None


def applied(catalog: Catalog) -> int:
    """Return the number of the newest migration that a store has had; 0 for an empty catalog."""
    if not catalog.metadata(_HAS_MIGRATIONS):
        return 0
    return int(catalog.read("SELECT max(number) AS newest FROM {migrations}")["newest"][0].as_py() or 0)


def create_schema(catalog: Catalog) -> None:
    """Make the tables of a new store, or the missing tables of a store whose creation was interrupted.

    Raises:
        StoreFormatError: the catalog is of a newer release.
    """
    with catalog.locked():
        found = applied(catalog)
        _refuse_newer(found, MIGRATIONS)
        if not found:
            set_compression(catalog, COMPRESSION)
            _make(catalog, MIGRATIONS)
        else:
            _apply(catalog, [migration for migration in MIGRATIONS if migration.number > found])


def check_schema(
    catalog: Catalog,
    layout: Layout,
    description: Description,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> None:
    """Refuse a store whose schema or format differs from that of this release.

    Raises:
        StoreFormatError: the store has another schema or format.
    """
    found, newest = applied(catalog), migrations[-1].number
    _refuse_newer(found, migrations)
    if (found, description.format) == (newest, STORE_FORMAT):
        return
    raise StoreFormatError(
        f"the store {layout.root} has schema {found} and format {description.format}, this release uses schema "
        f"{newest} and format {STORE_FORMAT}: run `molbuffer migrate --store {shlex.quote(str(layout.root))}`, which "
        "keeps a backup"
    )


def migrate_store(
    path: str | Path,
    *,
    migrations: Sequence[Migration] = MIGRATIONS,
    newest_format: int = STORE_FORMAT,
    sync: Sync = sync_paths,
) -> MigrationReceipt:
    """Migrate an older store to the schema and format of this release; a store that has them is left unchanged.

    Programs of an older release that have the store open can continue; their commits have no values in new columns.

    Args:
        path: the folder of the store.
        migrations: the migrations of the release.
        newest_format: the format of the release.
        sync: makes files and directories durable.

    Raises:
        StoreNotFoundError: there is no store.
        StoreFormatError: the store is damaged, or of a newer release.
        CatalogLostError: the store has its data, but not its catalog.
        StorePlaceError: the store is on a network file system.
        StoreBusyError: other processes held the commit lock, or the catalog, for too long.
        StoreWriteError: the disk is full or failed; the migrations before that are applied.
        CatalogUnavailableError: a migration failed and has no effect; the migrations before it are applied.
    """
    root = Path(path).resolve()
    description = Description.read(root / "store.toml", newest=newest_format)
    layout = description.layout(root)
    check_place(layout, description.uuid)
    with (
        boundary(root),
        closing(Catalog(layout.catalog, read_only=False, sync=sync)) as catalog,
        catalog.locked(),
    ):
        check_identity(catalog, layout, description.uuid)
        # Another process may have migrated the store while this one waited for the lock.
        description, found = Description.read(layout.description, newest=newest_format), applied(catalog)
        _refuse_newer(found, migrations)
        missing = [migration for migration in migrations if migration.number > found]
        backup = None
        if missing or description.format < newest_format:
            backup = back_up(layout, f"schema-{found}-version-{catalog.newest()}", sync)
            _apply(catalog, missing)
            if description.format < newest_format:
                # Last, so that a store with the new format has all migrations.
                dataclasses.replace(description, format=newest_format).write(layout.description, sync)
    return MigrationReceipt(
        old_schema=found,
        schema=migrations[-1].number,
        old_format=description.format,
        format=newest_format,
        applied=tuple(migration.name for migration in missing),
        backup=backup,
    )


def _refuse_newer(found: int, migrations: Sequence[Migration]) -> None:
    newest = migrations[-1].number
    if found > newest:
        raise StoreFormatError(f"the store has schema {found}, this release knows up to {newest}: update molbuffer")


def _make(catalog: Catalog, migrations: Sequence[Migration]) -> None:
    """Apply all migrations to an empty catalog in one transaction; the caller must hold the commit lock.

    A new store is complete or does not exist, and has one snapshot for all migrations.
    """

    def change(transaction: Transaction) -> None:
        for migration in migrations:
            _change(catalog, migration, transaction)
        _record(migrations, transaction)
        _make_views(catalog, transaction)

    catalog.transact("molbuffer", "creation", {"migration": migrations[-1].number}, change)


def _apply(catalog: Catalog, missing: Sequence[Migration]) -> None:
    """Apply migrations in order, each in a transaction; the caller must hold the commit lock."""

    def change(migration: Migration, transaction: Transaction) -> None:
        _change(catalog, migration, transaction)
        _record([migration], transaction)
        if migration is missing[-1]:
            _make_views(catalog, transaction)

    for migration in missing:
        said, extra = f"migration {migration.number}: {migration.name}", {"migration": migration.number}
        catalog.transact("molbuffer", said, extra, partial(change, migration))


def _change(catalog: Catalog, migration: Migration, transaction: Transaction) -> None:
    transaction.watch({*TABLES, *migration.adds})
    for statement in migration.statements:
        # A migration may add tables that are not in TABLES.
        transaction.change(bind(statement, catalog.table, names=migration.adds))


def _record(migrations: Sequence[Migration], transaction: Transaction) -> None:
    """Add the rows that record the migrations of the store."""
    applied_at = now()
    rows = [{"number": each.number, "name": each.name, "applied": applied_at} for each in migrations]
    transaction.insert("migrations", pa.Table.from_pylist(rows))


def _make_views(catalog: Catalog, transaction: Transaction) -> None:
    """Write the views of the catalog, for other programs that attach it.

    The views may read tables of any migration, so that they are made after the last one; names in a view are resolved
    in its own catalog.
    """
    for view, sql in VIEWS.items():
        transaction.change(f"CREATE OR REPLACE VIEW {catalog.table(view)} AS {bind(sql, quote_name)}")
