"""Brings the tables of a store to the schema of this release."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from storage.catalog import Catalog, Transaction
from storage.errors import StoreError, StoreFormatError
from storage.records import now
from storage.schema import MIGRATIONS, VIEWS, Migration, bind


def applied(catalog: Catalog) -> int:
    """The number of the newest migration that a store has had; 0 for an empty catalog."""
    try:
        newest = catalog.read("SELECT max(number) AS newest FROM {migrations}")
    except StoreError as error:
        if "does not exist" in str(error):
            return 0
        raise
    return int(newest["newest"][0].as_py() or 0)


def migrate(catalog: Catalog, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Applies the migrations that a store has not had, each in a transaction of its own with the row that records it.

    Raises:
        StoreFormatError: the store is of a newer release, or is open for reading and needs a migration.
    """
    newest, found = migrations[-1].number, applied(catalog)
    if found > newest:
        raise StoreFormatError(f"the store has schema {found}, this release knows up to {newest}: update molbuffer")
    if found == newest:
        return
    if catalog.read_only:
        raise StoreFormatError(
            f"the store has schema {found}, this release reads {newest}: open it once for writing, which migrates it"
        )
    for migration in migrations:
        if migration.number > found:
            _apply(catalog, migration)


def _apply(catalog: Catalog, migration: Migration) -> None:
    said = f"migration {migration.number}: {migration.name}"

    def change(transaction: Transaction) -> None:
        # Another process may have applied it while this one waited for the lock.
        if applied(catalog) >= migration.number:
            return
        for statement in migration.statements:
            transaction.change(statement)
        row = {"number": migration.number, "name": migration.name, "applied": now()}
        transaction.insert("migrations", pa.Table.from_pylist([row]))
        for view, sql in VIEWS.items():
            # Views of the catalog are for other programs that attach it; names in them are looked up where they stand.
            transaction.change(f"CREATE OR REPLACE VIEW {catalog.table(view)} AS {bind(sql, lambda name: name)}")

    catalog.transact("molbuffer", said, {"migration": migration.number}, change)
