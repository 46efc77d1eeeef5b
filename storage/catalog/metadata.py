"""Changes of DuckLake's own tables under the commit lock, which make no snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog.catalog import Catalog


def change_metadata(catalog: Catalog, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Execute a statement of trusted SQL that changes DuckLake's own tables, named as in ``Catalog.metadata``.

    Raises:
        CatalogUnavailableError: DuckDB refused the statement; nothing was changed.
    """
    with catalog.locked():
        catalog.metadata(sql, parameters)


def change_all_metadata(catalog: Catalog, statements: Sequence[tuple[str, pa.Table | None]]) -> None:
    """Execute statements of trusted SQL in one transaction.

    Args:
        catalog: the catalog of the store.
        statements: the statements, each with the rows that it reads as the table ``given``, or None.

    Raises:
        CatalogUnavailableError: DuckDB refused a statement; nothing was changed.
    """
    with catalog.locked(), closing(catalog.cursor()) as cursor, catalog.rolled_back(cursor):
        cursor.execute("BEGIN TRANSACTION")
        for sql, given in statements:
            if given is not None:
                cursor.register("given", given)
            cursor.execute(catalog.metadata_sql(sql))
        cursor.execute("COMMIT")


def expire_versions(catalog: Catalog, versions: Sequence[int]) -> None:
    """Expire snapshots in one step. Files that no other snapshot has are listed for deletion, but not deleted.

    Raises:
        CatalogUnavailableError: DuckDB refused the statement; no snapshot was expired.
    """
    numbers = ", ".join(str(int(version)) for version in versions)
    with catalog.locked(), closing(catalog.cursor()) as cursor:
        expire = f"CALL ducklake_expire_snapshots({quote(catalog.alias)}, versions => [{numbers}])"
        catalog.run(cursor, expire)


def set_compression(catalog: Catalog, codec: str) -> None:
    """Set the codec with which all processes compress new Parquet files.

    Raises:
        CatalogUnavailableError: DuckDB refused the codec.
    """
    with catalog.locked(), closing(catalog.cursor()) as cursor:
        set_codec = f"CALL {quote_name(catalog.alias)}.set_option('parquet_compression', ?)"
        catalog.run(cursor, set_codec, parameters=[codec])
